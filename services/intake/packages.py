"""Packages: handed out a few times, kept for a few days, then removed (REQ-S6; retention T1).

A download that broke off can be continued by ranges (RFC 9110, 14): whoever has begun one may for a day fetch the rest
of it, which is counted once. It is over with its last byte, and after the last one the package is removed. Whoever
reads the report in it has fetched it too, once in a day.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from services.intake import releases
from services.intake.auth import Caller
from services.intake.errors import Expired, RangeNotSatisfiable
from services.intake.ranges import Span
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.storage import chunks
from shared.storage.chunks import Chunked
from shared.storage.postgres import Connection

_EVERY_SECONDS = 600.0
_AT_A_TIME = 200
CONTINUED = timedelta(days=1)
"""For how long after its beginning a download may be continued."""
_READS = " (reads)"
"""What a holder is called besides in ``package_download``: to read is not to go on with a download."""
_BEGUN = "SELECT began_at FROM package_download WHERE package_id = $1 AND holder = $2 AND began_at > $3"
_TAKEN = """
UPDATE request SET downloads = CASE downloaded WHEN $2 THEN downloads ELSE 0 END + 1, downloaded = $2
WHERE request_id = $1 RETURNING downloads
"""
_USED_UP = "SELECT downloads >= $3 FROM request WHERE request_id = $1 AND downloaded = $2"
_BEGIN = """
INSERT INTO package_download (package_id, holder, request_id, began_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (package_id, holder) DO UPDATE SET began_at = $4
"""
_END = "DELETE FROM package_download WHERE package_id = $1 AND holder = $2"
_FORGET = "DELETE FROM package_download WHERE began_at <= $1"
_GONE = "UPDATE request SET package_gone = $2 WHERE request_id = $1"
# An answer that is given anew makes the package available anew, and so does a part that follows.
_DUE = """
SELECT r.request_id, s.sealed_id, s.kind FROM request r JOIN vault.sealed s USING (subject_ref)
WHERE r.package_id IS NOT NULL AND r.responded_at <= $1 AND s.created_at <= $1 AND s.kind IN ('package', 'release')
ORDER BY r.responded_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED
"""
# Fetched as often as it may be, and nobody may continue a download of it any more.
_FETCHED = """
SELECT r.request_id, r.package_id FROM request r
WHERE r.downloaded = r.package_id AND r.downloads >= $1 AND r.package_gone IS DISTINCT FROM r.package_id
  AND r.request_id = ANY(coalesce($3, ARRAY(SELECT request_id FROM package_download WHERE began_at <= $2)))
  AND NOT EXISTS (SELECT FROM package_download d WHERE d.package_id = r.package_id AND d.began_at > $2)
FOR UPDATE OF r SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Download:
    """A package of which the bytes ``[first, end)`` are handed out; ``by``: to whom, as ``package_download`` has it."""

    request_id: UUID
    by: str
    piece: Chunked
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page, each good for one download; ``used``: one has begun, and it may only go on with that."""

    name: str
    used: bool


async def hand_out(
    tx: UnitOfWork,
    about: tuple[UUID, UUID],
    asked: Span | None,
    settings: IntakeSettings,
    caller: Caller,
    link: Link | None = None,
) -> Download | Fault | None:
    """What is handed out of the package, which this counts unless a download goes on with it; or why it is withheld.

    ``about``: the ids of the request and of its package. None: the link was used, and no download of it goes on.

    Raises:
        Expired: it is no longer kept.
        RangeNotSatisfiable: it has no such bytes.
        Shredded: the subject's key is gone.
    """
    request_id, package_id = about
    released = await releases.held(tx, request_id)
    by = f"{caller.holder} ({link.name})" if link else caller.holder
    goes_on = bool(asked and asked.continues and await _began(tx, package_id, by))
    if link and link.used and not goes_on:
        return None
    piece = await _kept(tx, request_id, package_id, settings, goes_on=goes_on)
    bytes_asked = asked.of(piece.size) if asked else (0, piece.size)
    if bytes_asked is None:
        raise RangeNotSatisfiable(f"the package has {piece.size} bytes, and none where Range says", piece.size)
    if fault := await releases.check(tx, released):
        return fault
    if not goes_on:
        await _count(tx, request_id, piece, by, caller)
    return Download(request_id, by, piece, *bytes_asked)


async def look_into(
    tx: UnitOfWork, request_id: UUID, package_id: UUID, settings: IntakeSettings, caller: Caller
) -> Chunked | Fault:
    """The package, to read the report in it, which counts as fetching it, once in a day; or why it is withheld.

    Raises:
        Expired: it is no longer kept.
        Shredded: the subject's key is gone.
    """
    released = await releases.held(tx, request_id)
    reader = f"{caller.holder}{_READS}"
    goes_on = await _began(tx, package_id, reader)
    piece = await _kept(tx, request_id, package_id, settings, goes_on=goes_on)
    if fault := await releases.check(tx, released):
        return fault
    if not goes_on:
        await _count(tx, request_id, piece, reader, caller)
    return piece


async def is_used_up(connection: Connection, request_id: UUID, package_id: UUID, most: int) -> bool:
    """Whether a package was fetched as often as it may be."""
    return bool(await connection.fetchval(_USED_UP, request_id, package_id, most))


async def _began(tx: UnitOfWork, package_id: UUID, holder: str) -> bool:
    return bool(await tx.connection.fetchval(_BEGUN, package_id, holder, tx.now - CONTINUED))


async def _kept(
    tx: UnitOfWork, request_id: UUID, package_id: UUID, settings: IntakeSettings, *, goes_on: bool
) -> Chunked:
    """The package, unless its days or, of one that is not gone on with, its times are over."""
    piece, most = await chunks.find(tx.connection, tx.vault, package_id), settings.package_downloads
    if piece is None or (not goes_on and await tx.connection.fetchval(_USED_UP, request_id, package_id, most)):
        kept = f"{settings.package_days} days and {most} downloads"
        raise Expired(f"the package was kept for {kept}; ask for a new one with a new request")
    return piece


async def _count(tx: UnitOfWork, request_id: UUID, piece: Chunked, holder: str, caller: Caller) -> None:
    downloads = await tx.connection.fetchval(_TAKEN, request_id, piece.sealed_id)
    await tx.connection.execute(_BEGIN, piece.sealed_id, holder, request_id, tx.now)
    detail: dict[str, JsonValue] = {"bytes": piece.size, "downloads": downloads, "holder": caller.holder}
    action = "package.read" if holder.endswith(_READS) else "package.downloaded"
    tx.log_evidence(request_id, action, detail, caller.actor)


async def content(
    unit_of_work: UnitOfWorkFactory, download: Download, settings: IntakeSettings
) -> AsyncIterator[bytes]:
    """The bytes of a download, a chunk at a time; with the last byte of the package the download is over.

    Raises:
        Shredded: the package or the subject's key has gone meanwhile; then the answer breaks off.
    """
    piece = download.piece
    async for chunk in chunks.read(unit_of_work.pool, unit_of_work.vault, piece, download.first, download.end):
        yield chunk
    if download.end == piece.size:
        await asyncio.shield(_end(unit_of_work, download, settings))  # who has the last byte may hang up at once


async def _end(unit_of_work: UnitOfWorkFactory, download: Download, settings: IntakeSettings) -> None:
    async with unit_of_work.begin() as tx:
        await releases.held(tx, download.request_id)  # waits for whoever has it: nobody would look for it again
        await tx.connection.execute(_END, download.piece.sealed_id, download.by)
        await _remove_fetched(tx, settings.package_downloads, [download.request_id])


async def _remove_fetched(tx: UnitOfWork, most: int, of: list[UUID] | None) -> int:
    """Removes packages of these requests that were fetched as often as they may be; None: of all that are due."""
    rows = await tx.connection.fetch(_FETCHED, most, tx.now - CONTINUED, of)
    for request_id, package_id in rows:
        await tx.vault.drop_one(tx.connection, package_id)
        await tx.connection.execute(_GONE, request_id, package_id)
        await tx.connection.execute("DELETE FROM package_download WHERE package_id = $1", package_id)
        tx.log_evidence(request_id, "package.removed", {"reason": "downloads"})
    return len(rows)


async def run(running: Running, settings: IntakeSettings) -> None:
    """Removes what is due for as long as the service runs."""
    unit_of_work, kept = running.unit_of_work, timedelta(days=settings.package_days)

    async def remove() -> None:
        while await remove_due(unit_of_work, kept, settings.package_downloads):
            running.heartbeats.beat("packages")

    await run_periodically(remove, "packages", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def remove_due(unit_of_work: UnitOfWorkFactory, kept: timedelta, most: int) -> int:
    """Removes packages, not all at once, that have been available for so long, and by what their rows were found.

    And those that were fetched as often as they may be (``most``), of which nobody has come back for the rest. Returns
    how many pieces it has removed.
    """
    async with unit_of_work.begin() as tx:
        due = await tx.connection.fetch(_DUE, tx.now - kept, _AT_A_TIME)
        for request_id, sealed_id, kind in due:
            await tx.vault.drop_one(tx.connection, sealed_id)
            if kind == "package":
                await tx.connection.execute(_GONE, request_id, sealed_id)
                tx.log_evidence(request_id, "package.removed", {"reason": "days"})
        fetched = await _remove_fetched(tx, most, None)
        await tx.connection.execute(_FORGET, tx.now - CONTINUED)
    return len(due) + fetched
