"""Lets two people release a withheld package: each looks into it, and says that all of it is the subject's.

What is looked at is the package itself, opened a chunk at a time from where it lies: no copy of it is made, and it is
counted as no download. The look is on record before the first byte goes out; that they have looked, once the
last one has.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions import deciding
from services.intake.core.errors import Expired
from services.intake.request.aggregate import Request
from services.intake.store import repository
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage import chunks
from shared.storage.chunks import Chunked
from shared.storage.postgres import Connection

# What was seen, or confirmed, for one reason says nothing about another.
_LOOKED = """
INSERT INTO package_look (package_id, fault, holder, request_id, looked_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (package_id, fault, holder) DO UPDATE SET looked_at = excluded.looked_at
"""
_LOOKS = "SELECT holder, looked_at FROM package_look WHERE package_id = $1 AND fault = $2 ORDER BY looked_at"
_HAS_LOOKED = "SELECT EXISTS (SELECT FROM package_look WHERE package_id = $1 AND fault = $2 AND holder = $3)"


@dataclass(frozen=True, slots=True)
class Look:
    """A package that is looked into, and the reason for which it is withheld."""

    request_id: UUID
    fault: str
    piece: Chunked


async def look(tx: UnitOfWork, request_id: UUID, caller: Caller) -> Look:
    """Opens a withheld package for a member of the privacy team.

    Raises:
        NotFound: there is no such request for this caller.
        Forbidden: the caller may not fetch packages.
        IllegalTransition: nothing is withheld.
        Expired: it is no longer kept.
        Shredded: the subject's key is gone.
    """
    request = await deciding.visible(tx.connection, await repository.read(tx.connection, request_id), caller)
    caller.grant.must(Power.FETCH)
    request.must_be_withheld()
    package_id, fault = request.package_id, request.package_fault
    piece = await chunks.find(tx.connection, tx.vault, package_id) if package_id else None
    if piece is None or fault is None:
        raise Expired("the package is no longer kept")
    tx.log_evidence(
        request_id, "package.viewed", {"holder": caller.holder, "bytes": piece.size, "fault": fault}, caller.actor
    )
    return Look(request_id, fault, piece)


async def content(unit_of_work: UnitOfWorkFactory, look: Look, caller: Caller) -> AsyncIterator[bytes]:
    """Streams the package; the reader has looked once the last byte is sent.

    Raises:
        Shredded: the package or the subject's key has gone meanwhile; then the answer breaks off.
    """
    piece = look.piece
    async for chunk in chunks.read(unit_of_work.pool, unit_of_work.vault, piece, 0, piece.size):
        yield chunk
    await asyncio.shield(_note(unit_of_work, look, caller))  # the client may hang up after the last byte


async def _note(unit_of_work: UnitOfWorkFactory, look: Look, caller: Caller) -> None:
    async with unit_of_work.begin() as tx:
        seen = (look.piece.sealed_id, look.fault, caller.holder, look.request_id, tx.now)
        await tx.connection.execute(_LOOKED, *seen)


async def lookers(connection: Connection, request: Request) -> list[tuple[str, datetime]]:
    """Those who have looked into the package since it is withheld for this reason, and when."""
    rows = await connection.fetch(_LOOKS, request.package_id, request.package_fault)
    return [(row[0], row[1]) for row in rows]


async def must_have_looked(connection: Connection, request: Request, caller: Caller) -> None:
    """Raises ``IllegalTransition`` for who has not looked into it for the reason for which it is withheld now."""
    if not await connection.fetchval(_HAS_LOOKED, request.package_id, request.package_fault, caller.holder):
        raise IllegalTransition(
            "look into the package first (`inspection` of POST …/downloads): who releases it says that it is all this"
            " person's"
        )


def about(request: Request) -> str:
    """Names the package and why it is withheld: another one voids the approval."""
    return f"{request.package_id} {request.package_fault}"
