"""Finds requests by reference, and by keyed hashes of the identities that the requester has stated (REQ-K2).

A hash is searched for as long as the key of the subject exists; ``expiry`` deletes it afterwards, unless it is proved.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from pydantic import Field, JsonValue, StringConstraints

from services.intake.access.auth import Caller, staff_evidence_id
from services.intake.access.grant import Power
from services.intake.core.schemas import Country, Strict
from services.intake.request.aggregate import Request
from services.intake.request.same_person import ProvedPerson
from services.intake.store.repository import read_all
from shared.domain import reference
from shared.domain.identities import LONGEST_EMAIL, Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.text import ONE_LINE
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

MOST: Final = 100
_REFERENCE: Final = "reference"
_INDEXED_TYPES: Final = (IdentityType.EMAIL, IdentityType.ACCOUNT_ID, IdentityType.PHONE)
_ENTER: Final = """
INSERT INTO request_lookup (request_id, kind, hash, proved)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bool[]) ON CONFLICT (request_id, hash) DO NOTHING
"""
_NAMED: Final = f"SELECT request_id FROM request_lookup WHERE hash = $1 AND kind = '{_REFERENCE}'"  # noqa: S608
_FOUND: Final = f"""
SELECT request_id FROM (
    SELECT request_id, bool_or(kind = '{_REFERENCE}') AS named FROM request_lookup WHERE hash = ANY($1) GROUP BY 1
) l JOIN request r USING (request_id) JOIN vault.subject s USING (subject_ref)
WHERE l.named OR s.wrapped_key IS NOT NULL ORDER BY r.accepted_at DESC, r.request_id DESC LIMIT {MOST}
"""  # noqa: S608  # constants


class Search(Strict):
    """The search terms of a member of staff."""

    text: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_EMAIL, pattern=ONE_LINE)
    ] = Field(description="an e-mail address, an account, a telephone number, or the reference of a request")
    region: Country | None = Field(
        default=None, description="in which country a number is dialled; that of the controller, if left out"
    )


async def index_requests(tx: UnitOfWork, stated: Iterable[tuple[UUID, Iterable[Identity], ProvedPerson]]) -> None:
    """Indexes requests by reference and by keyed hashes of stated and proved identities."""
    rows: list[tuple[UUID, str, bytes, bool]] = []
    for request_id, identities, who in stated:
        rows.append((request_id, _REFERENCE, reference.of(request_id).encode(), False))
        known = {(each.type, each.value): each for each in identities if each.type in _INDEXED_TYPES}
        hashes = [(each.type, tx.vault.keyring.fingerprint(each)) for each in known.values()]
        rows += [(request_id, kind, each, each in {who.account, who.email}) for kind, each in hashes]
    await tx.connection.execute(_ENTER, *map(list, zip(*rows, strict=True)))


async def find_by_reference(connection: Connection | asyncpg.Pool, text: str) -> UUID | None:
    """Returns the request that a reference or an id names; None where two share that reference."""
    wanted = reference.read(text)
    found: list[UUID] = [row[0] for row in await connection.fetch(_NAMED, wanted.encode())] if wanted else []
    return found[0] if len(found) == 1 else next((each for each in found if str(each) == text.strip()), None)


async def search(tx: UnitOfWork, caller: Caller, text: str, region: str | None = None) -> Sequence[Request]:
    """Returns the requests with that statement, newest first; the search is on record, but not what was searched for.

    A caller who may not read what people have written finds requests by reference alone.
    """
    caller.must_be("privacy")
    hashes = [wanted.encode()] if (wanted := reference.read(text)) else []
    for kind in _INDEXED_TYPES if Power.FETCH in caller.grant.powers else ():
        with suppress(MalformedIdentity):
            value = normalise(kind, text, region or tx.policy.controller.country)
            hashes.append(tx.vault.keyring.fingerprint(Identity(kind, value)))
    ids = [row[0] for row in await tx.connection.fetch(_FOUND, hashes)]
    detail: dict[str, JsonValue] = {"holder": caller.holder, "found": len(ids)}
    tx.log_evidence(staff_evidence_id(caller.holder), "requests.searched", detail, caller.actor)
    found = {request.request_id: request for request in await read_all(tx.connection, ids)}
    return [found[each] for each in ids]
