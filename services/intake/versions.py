"""A decision about a request is made for one version of it, and once: a repeat gets the first answer again."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from pydantic import BaseModel

from services.intake.auth import Caller
from services.intake.errors import PreconditionFailed
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.messaging.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Basis:
    """What somebody decides about: a request as it stood in the version that they have seen."""

    request_id: UUID
    version: int
    caller: Caller


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer to a decision: where the request stands, and by when it is due."""

    request_id: UUID
    state: State
    due_on: date


def fingerprint(tx: UnitOfWork, basis: Basis, what: str, bodies: Sequence[BaseModel]) -> bytes:
    """Who decided what, by whichever key; keyed (HMAC-SHA256), since a plain hash of personal data could be guessed."""
    said = ("decision", basis.caller.channel, what, *(body.model_dump_json(exclude_defaults=True) for body in bodies))
    return hmac.digest(tx.vault.keyring.lookup, "\0".join(said).encode(), "sha256")


async def first_answer(tx: UnitOfWork, basis: Basis, made: bytes) -> Decided:
    """What the same decision, on the same version, was answered when it was made.

    Raises:
        PreconditionFailed: the request has changed since by something else.
    """
    row = await tx.connection.fetchrow(
        "SELECT state, due_on FROM decision WHERE request_id = $1 AND version = $2 AND fingerprint = $3",
        *(basis.request_id, basis.version, made),
    )
    if row is None:
        raise PreconditionFailed("nothing was done: read the request again, and decide about it as it stands now")
    return Decided(basis.request_id, State(row[0]), row[1])


async def remember(tx: UnitOfWork, basis: Basis, made: bytes, request: Request) -> Decided:
    """Keeps the answer to a decision that has made that of the request."""
    await tx.connection.execute(
        "INSERT INTO decision (request_id, version, fingerprint, state, due_on) VALUES ($1, $2, $3, $4, $5)",
        *(basis.request_id, basis.version, made, request.state, request.due_on),
    )
    return Decided(request.request_id, request.state, request.due_on)
