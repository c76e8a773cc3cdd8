"""Packages: handed out a few times by links that are good for a day, kept for a few days, then removed.

A link is one download, which is counted when the link is made. It may be fetched in parts (RFC 9110, 14), and is over
with the last byte; after the last download the package is removed. The report in it is read by a link too, which lasts
for its day.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue
from uuid_utils.compat import uuid7

from services.intake.access.auth import Caller
from services.intake.core.errors import Expired, NotReady, RangeNotSatisfiable
from services.intake.core.schemas import Instant
from services.intake.packages import releases
from services.intake.request.aggregate import Request
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.storage import chunks
from shared.storage.chunks import Chunked
from shared.storage.postgres import Connection

_EVERY_SECONDS = 600.0
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")
_AT_A_TIME = 200
CONTINUED = timedelta(days=1)
"""For how long a link is good."""
What = Literal["package", "report", "inspection"]
_OPEN = """
SELECT request_id, package_id, what FROM download WHERE download_id = $1 AND holder = $2 AND began_at > $3
"""
_READS = "SELECT download_id FROM download WHERE package_id = $1 AND holder = $2 AND what = $3 AND began_at > $4"
_TAKEN = """
UPDATE request SET downloads = CASE downloaded WHEN $2 THEN downloads ELSE 0 END + 1, downloaded = $2
WHERE request_id = $1 RETURNING downloads
"""
_USED_UP = "SELECT downloads >= $3 FROM request WHERE request_id = $1 AND downloaded = $2"
_BEGIN = """
INSERT INTO download (download_id, package_id, request_id, holder, what, began_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_END = "DELETE FROM download WHERE download_id = $1"
_FORGET = "DELETE FROM download WHERE began_at <= $1"
_GONE = "UPDATE request SET package_gone = $2 WHERE request_id = $1"
# A new answer makes the package available again, and so does a part that follows.
_DUE = """
SELECT r.request_id, s.sealed_id, s.kind FROM request r JOIN vault.sealed s USING (subject_ref)
WHERE r.package_id IS NOT NULL AND r.responded_at <= $1 AND s.created_at <= $1 AND s.kind IN ('package', 'release')
ORDER BY r.responded_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED
"""
# Fetched as often as it may be, and no download of it can be continued.
_FETCHED = """
SELECT r.request_id, r.package_id FROM request r
WHERE r.downloaded = r.package_id AND r.downloads >= $1 AND r.package_gone IS DISTINCT FROM r.package_id
  AND r.request_id = ANY(coalesce($3, ARRAY(SELECT request_id FROM download WHERE began_at <= $2)))
  AND NOT EXISTS (SELECT FROM download d WHERE d.package_id = r.package_id AND d.began_at > $2)
FOR UPDATE OF r SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Span:
    """From the byte ``first`` to the byte ``last``, or to the end; without ``first``: so many of the ``last`` ones."""

    first: int | None
    last: int | None

    def of(self, size: int) -> tuple[int, int] | None:
        """The bytes ``[first, end)`` of something of that size; None: it has none of these."""
        if self.first is None:
            first, end = max(size - (self.last or 0), 0), size
        else:
            first, end = self.first, size if self.last is None else min(self.last + 1, size)
        return (first, end) if first < end else None


def span_of(header: str | None, if_range: str | None, tag: str) -> Span | None:
    """The range that is asked for, of what has that entity tag now; None: all of it.

    Several ranges, another unit, what is malformed, and a range of what has changed since, ask for all.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or (if_range is not None and if_range != tag):
        return None
    first, last, suffix = (int(each) if each else None for each in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return Span(first, suffix if first is None else last)


class Link(BaseModel):
    """A short-lived link to a package, to the report in it, or to one that is withheld."""

    download_id: UUID
    url: str = Field(
        description="Fetch it with the same key", examples=["/v1/downloads/019c8e2f-7a10-7d33-9b51-3a8f0c2d4e6b"]
    )
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Download:
    """A package of which the bytes ``[first, end)`` are handed out."""

    download_id: UUID
    request_id: UUID
    piece: Chunked
    first: int
    end: int


async def begin(
    tx: UnitOfWork,
    request: Request,
    what: What,
    settings: IntakeSettings,
    caller: Caller,
    download_id: UUID | None = None,
) -> Link | Fault:
    """Makes a link, and counts a download, but of a report only once in a day; or says why it is withheld.

    Raises:
        NotReady: there is no package.
        Expired: it is no longer kept, or was fetched as often as it may be.
        Shredded: the subject's key is gone.
    """
    if request.package_id is None:
        raise NotReady("there is no package: the request is still open, or nothing was found")
    released, package_id = await releases.held(tx, request.request_id), request.package_id
    piece = await _kept(tx, package_id, settings)
    again = await tx.connection.fetchval(_READS, package_id, caller.holder, what, tx.now - CONTINUED)
    goes_on = what == "report" and again
    used_up = await is_used_up(tx.connection, request.request_id, package_id, settings.package_downloads)
    if what != "inspection" and used_up and not goes_on:
        raise _expired(settings)
    if what != "inspection" and (fault := await releases.check(tx, released)):
        return fault
    link = again if goes_on else download_id or uuid7()
    if not goes_on:
        about = (link, package_id, request.request_id, caller.holder, what, tx.now)
        await tx.connection.execute(_BEGIN, *about)
    if what != "inspection" and not goes_on:
        downloads = await tx.connection.fetchval(_TAKEN, request.request_id, package_id)
        detail: dict[str, JsonValue] = {"bytes": piece.size, "downloads": downloads, "holder": caller.holder}
        action = "package.read" if what == "report" else "package.downloaded"
        tx.log_evidence(request.request_id, action, detail, caller.actor)
    return Link(download_id=link, url=f"/v1/downloads/{link}", expires_at=tx.now + CONTINUED)


async def find(connection: Connection, download_id: UUID, caller: Caller, now: datetime) -> tuple[UUID, UUID, What]:
    """The request, the package and what of it a link is for; raises ``Expired``."""
    row = await connection.fetchrow(_OPEN, download_id, caller.holder, now - CONTINUED)
    if row is None:
        raise Expired("this link is over: make another (POST /v1/requests/ID/downloads)")
    return row["request_id"], row["package_id"], row["what"]


async def hand_out(
    tx: UnitOfWork, download_id: UUID, asked: Span | None, settings: IntakeSettings, caller: Caller
) -> Download | Fault:
    """The document of a link, or why it is withheld by now.

    Raises:
        Expired: the link is over, or the package is no longer kept.
        RangeNotSatisfiable: it has no such bytes.
        Shredded: the subject's key is gone.
    """
    request_id, package_id, _ = await find(tx.connection, download_id, caller, tx.now)
    released = await releases.held(tx, request_id)
    if released.package_id != package_id:
        raise Expired("this link is over: the package was made again, so make another link")
    piece = await _kept(tx, package_id, settings)
    bytes_asked = asked.of(piece.size) if asked else (0, piece.size)
    if bytes_asked is None:
        raise RangeNotSatisfiable(f"the package has {piece.size} bytes, and none where Range says", piece.size)
    if fault := await releases.check(tx, released):
        return fault
    return Download(download_id, request_id, piece, *bytes_asked)


async def is_used_up(connection: Connection, request_id: UUID, package_id: UUID, most: int) -> bool:
    """Whether a package was fetched as often as it may be."""
    return bool(await connection.fetchval(_USED_UP, request_id, package_id, most))


async def _kept(tx: UnitOfWork, package_id: UUID, settings: IntakeSettings) -> Chunked:
    if (piece := await chunks.find(tx.connection, tx.vault, package_id)) is None:
        raise _expired(settings)
    return piece


def _expired(settings: IntakeSettings) -> Expired:
    kept = f"{settings.package_days} days and {settings.package_downloads} downloads"
    return Expired(f"the package was kept for {kept}; ask for a new one with a new request")


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
        await asyncio.shield(_end(unit_of_work, download, settings))  # the client may hang up after the last byte


async def _end(unit_of_work: UnitOfWorkFactory, download: Download, settings: IntakeSettings) -> None:
    async with unit_of_work.begin() as tx:
        await releases.held(tx, download.request_id)  # waits for the lock: no job would look for it again
        await tx.connection.execute(_END, download.download_id)
        await _remove_fetched(tx, settings.package_downloads, [download.request_id])


async def _remove_fetched(tx: UnitOfWork, most: int, of: list[UUID] | None) -> int:
    """Removes packages of these requests that were fetched as often as they may be; None: of all that are due."""
    rows = await tx.connection.fetch(_FETCHED, most, tx.now - CONTINUED, of)
    for request_id, package_id in rows:
        await tx.vault.drop_one(tx.connection, package_id)
        await tx.connection.execute(_GONE, request_id, package_id)
        await tx.connection.execute("DELETE FROM download WHERE package_id = $1", package_id)
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
    """Removes some packages that have been available for so long, and by what their rows were found.

    And those that were fetched as often as they may be (``most``) and whose links are over. Returns
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
