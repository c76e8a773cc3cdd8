"""What a request leaves behind: its timeline, its certificate, its package, and who a task is about."""

from uuid import UUID

import asyncpg
import orjson

from services.intake.auth import Caller
from services.intake.errors import NotFound
from services.intake.request import Request
from shared.domain.errors import Shredded
from shared.downstreams.bus.identity_token import IdentityToken
from shared.downstreams.bus.messages import TaskIdentities
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import evidence
from shared.storage.certificate import build as certified


async def entries(pool: asyncpg.Pool, request_id: UUID) -> list[dict[str, object]]:
    """Everything that was done, oldest first, in codes, counts and references."""
    return [
        {**entry, "service": entry["chain"], "detail": orjson.loads(entry["detail"])}
        for entry in await evidence.entries(pool, request_id)
    ]


async def certificate(unit_of_work: UnitOfWorkFactory, request: Request, view: dict[str, object]) -> dict[str, object]:
    """The signed certificate of a closed request."""
    return certified(view, await evidence.entries(unit_of_work.pool, request.request_id), unit_of_work.vault.keyring)


async def hand_out(unit_of_work: UnitOfWorkFactory, request: Request, caller: Caller) -> bytes:
    """The package, opened; the download is put on record with it.

    Raises:
        NotFound: it is no longer kept.
    """
    request_id, package_id = request.request_id, request.package_id
    async with unit_of_work.begin() as tx:
        content = await tx.vault.open_one(tx.connection, package_id) if package_id else None
        if content is None:
            raise NotFound("the package is no longer kept; ask for a new one with a new request")
        tx.log_evidence(request_id, "package.downloaded", {"bytes": len(content)}, caller.actor)
    return content


async def identities(unit_of_work: UnitOfWorkFactory, token: IdentityToken) -> TaskIdentities:
    """Whom the task of a token is about.

    Raises:
        Shredded: the subject's key is gone.
    """
    async with unit_of_work.pool.acquire() as connection:
        known = await unit_of_work.vault.subject_data(connection, [token.subject_ref])
    if token.subject_ref not in known:
        raise Shredded("the subject's key was shredded: there is nobody left to search for")
    return TaskIdentities.of(token.task_id, known[token.subject_ref].identities)
