"""Hands out packages by links that are good for a day, a few times; removes packages after a few days.

A link is one download, counted when it is made. What breaks off can be fetched again until the last byte was sent.
After the last download the package is removed. A link to the report in it lasts for its day.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import Expired, NotReady
from services.intake.core.schemas import Instant
from services.intake.packages import releases
from services.intake.request.aggregate import Request
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.release import ReleaseFault
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.storage import chunks
from shared.storage.chunks import Chunked
from shared.storage.postgres import Connection

_EVERY_SECONDS = 600.0
_AT_A_TIME = 200
LINK_LASTS = timedelta(days=1)
"""For how long a link is good."""
What = Literal["package", "report", "inspection"]
_OPEN = """
SELECT download_id, request_id, package_id, what FROM download WHERE download_id = $1 AND holder = $2 AND began_at > $3
"""
_READS = "SELECT download_id FROM download WHERE package_id = $1 AND holder = $2 AND what = $3 AND began_at > $4"
_COUNT_DOWNLOAD = "UPDATE package SET downloads = downloads + 1 WHERE request_id = $1 RETURNING downloads"
_USED_UP = "SELECT downloads >= $2 FROM package WHERE request_id = $1"
_BEGIN = """
INSERT INTO download (download_id, package_id, request_id, holder, what, began_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_END = "DELETE FROM download WHERE download_id = $1"
_FORGET = "DELETE FROM download WHERE began_at <= $1"
_GONE = "UPDATE package SET gone = true WHERE request_id = $1 AND package_id = $2"
# A new answer keeps the package available, and so does a part that follows.
_DUE = """
SELECT r.request_id, s.sealed_id, s.kind
FROM package JOIN request r USING (request_id) JOIN vault.sealed s USING (subject_ref)
WHERE r.responded_at <= $1 AND s.created_at <= $1 AND s.kind IN ('package', 'release')
ORDER BY r.responded_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED
"""
# Fetched as often as it may be, and no download of it can be continued.
_FETCHED = """
SELECT r.request_id, p.package_id FROM package p JOIN request r USING (request_id)
WHERE p.downloads >= $1 AND NOT p.gone
  AND p.request_id = ANY(coalesce($3, ARRAY(SELECT request_id FROM download WHERE began_at <= $2)))
  AND NOT EXISTS (SELECT FROM download d WHERE d.package_id = p.package_id AND d.began_at > $2)
FOR UPDATE OF r SKIP LOCKED
"""


class Link(BaseModel):
    """A short-lived link to a package, to the report in it, or to one that is withheld."""

    download_id: UUID
    url: str = Field(
        description="Fetch it with the same key", examples=["/v1/downloads/019c8e2f-7a10-7d33-9b51-3a8f0c2d4e6b"]
    )
    expires_at: Instant


class Download(NamedTuple):
    """A link, and the document that it is for."""

    download_id: UUID
    request_id: UUID
    package_id: UUID
    what: What


async def begin(
    tx: UnitOfWork, request: Request, what: What, settings: IntakeSettings, caller: Caller
) -> Link | ReleaseFault:
    """Makes a link, and counts a download, but of a report only once in a day; or says why it is withheld.

    Raises ``NotReady``, ``Expired``, ``Shredded``.
    """
    if request.package_id is None:
        raise NotReady("there is no package: the request is still open, or nothing was found")
    released, package_id, counts = (
        await releases.lock_package(tx, request.request_id),
        request.package_id,
        what != "inspection",
    )
    piece = await _find_package(tx, package_id, settings)
    known = (package_id, caller.holder, what, tx.now - LINK_LASTS)
    again = await tx.connection.fetchval(_READS, *known) if what == "report" else None
    used_up = await is_used_up(tx.connection, request.request_id, settings.package_downloads)
    if counts and used_up and not again:
        raise _expired(settings)
    if counts and (fault := await releases.check(tx, released)):
        return fault
    link = again or uuid7()
    if not again:
        about = (link, package_id, request.request_id, caller.holder, what, tx.now)
        await tx.connection.execute(_BEGIN, *about)
    if counts and not again:
        downloads = await tx.connection.fetchval(_COUNT_DOWNLOAD, request.request_id)
        detail: dict[str, JsonValue] = {"bytes": piece.size, "downloads": downloads, "holder": caller.holder}
        action = "package.read" if what == "report" else "package.downloaded"
        tx.log_evidence(request.request_id, action, detail, caller.actor)
    return Link(download_id=link, url=f"/v1/downloads/{link}", expires_at=tx.now + LINK_LASTS)


async def find(connection: Connection, download_id: UUID, caller: Caller, now: datetime) -> Download:
    """Returns the download of a link; raises ``Expired``."""
    row = await connection.fetchrow(_OPEN, download_id, caller.holder, now - LINK_LASTS)
    if row is None:
        raise Expired("this link is over: make another (POST /v1/requests/ID/downloads)")
    return Download(*row)


async def hand_out(
    tx: UnitOfWork, download: Download, settings: IntakeSettings, caller: Caller
) -> Chunked | ReleaseFault:
    """Returns the package of a link, or why it is withheld; the evidence names who inspects a withheld one.

    Raises ``Expired``, ``Shredded``.
    """
    released = await releases.lock_package(tx, download.request_id)
    if released.package_id != download.package_id:
        raise Expired("this link is over: the package was made again, so make another link")
    piece = await _find_package(tx, download.package_id, settings)
    if download.what == "inspection":
        releases.log_inspection(tx, released, caller, piece.size)
    elif fault := await releases.check(tx, released):
        return fault
    return piece


async def is_used_up(connection: Connection, request_id: UUID, most: int) -> bool:
    """Whether the package of a request was fetched as often as allowed."""
    return bool(await connection.fetchval(_USED_UP, request_id, most))


async def _find_package(tx: UnitOfWork, package_id: UUID, settings: IntakeSettings) -> Chunked:
    if (piece := await chunks.find(tx.connection, tx.vault, package_id)) is None:
        raise _expired(settings)
    return piece


def _expired(settings: IntakeSettings) -> Expired:
    keep_for = f"{settings.package_days} days and {settings.package_downloads} downloads"
    return Expired(f"the package was kept for {keep_for}; ask for a new one with a new request")


async def content(
    unit_of_work: UnitOfWorkFactory, download: Download, piece: Chunked, settings: IntakeSettings
) -> AsyncIterator[bytes]:
    """The bytes of a package, a chunk at a time; with the last one the link is over; raises ``Shredded``."""
    async for chunk in chunks.read(unit_of_work.pool, unit_of_work.vault, piece, 0, piece.size):
        yield chunk
    await asyncio.shield(_end_download(unit_of_work, download, settings))  # the client may hang up after the last byte


async def _end_download(unit_of_work: UnitOfWorkFactory, download: Download, settings: IntakeSettings) -> None:
    async with unit_of_work.begin() as tx:
        await releases.lock_package(tx, download.request_id)  # waits for the lock: no job would look for it again
        await tx.connection.execute(_END, download.download_id)
        await _remove_fetched(tx, settings.package_downloads, [download.request_id])


async def _remove_fetched(tx: UnitOfWork, most: int, of: list[UUID] | None) -> int:
    """Removes packages of these requests that were fetched as often as they may be; None: of all that are due."""
    rows = await tx.connection.fetch(_FETCHED, most, tx.now - LINK_LASTS, of)
    for request_id, package_id in rows:
        await tx.vault.drop_one(tx.connection, package_id)
        await tx.connection.execute(_GONE, request_id, package_id)
        await tx.connection.execute("DELETE FROM download WHERE package_id = $1", package_id)
        tx.log_evidence(request_id, "package.removed", {"reason": "downloads"})
    return len(rows)


async def run(running: Running, settings: IntakeSettings) -> None:
    """Removes what is due for as long as the service runs."""
    unit_of_work, keep_for = running.unit_of_work, timedelta(days=settings.package_days)

    async def remove() -> None:
        while await remove_due(unit_of_work, keep_for, settings.package_downloads):
            running.heartbeats.beat("packages")

    await run_periodically(remove, "packages", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def remove_due(unit_of_work: UnitOfWorkFactory, keep_for: timedelta, most: int) -> int:
    """Removes some packages whose days or downloads (``most``) are over, with what they were checked by; how many."""
    async with unit_of_work.begin() as tx:
        due = await tx.connection.fetch(_DUE, tx.now - keep_for, _AT_A_TIME)
        for request_id, sealed_id, kind in due:
            await tx.vault.drop_one(tx.connection, sealed_id)
            if kind == "package":
                await tx.connection.execute(_GONE, request_id, sealed_id)
                tx.log_evidence(request_id, "package.removed", {"reason": "days"})
        fetched = await _remove_fetched(tx, most, None)
        await tx.connection.execute(_FORGET, tx.now - LINK_LASTS)
    return len(due) + fetched
