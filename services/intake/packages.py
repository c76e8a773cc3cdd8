"""Packages: handed out a few times, kept for a few days, then removed (REQ-S6; retention T1)."""

from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from services.intake import releases
from services.intake.auth import Caller
from services.intake.errors import Expired
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically

_EVERY_SECONDS = 600.0
_AT_A_TIME = 200
_TAKEN = """
UPDATE request SET downloads = CASE downloaded WHEN $2 THEN downloads ELSE 0 END + 1, downloaded = $2
WHERE request_id = $1 RETURNING downloads
"""
_GONE = "UPDATE request SET package_gone = $2 WHERE request_id = $1"
# An answer that is given anew makes the package available anew, and so does a part that follows.
_DUE = """
SELECT r.request_id, s.sealed_id, s.kind FROM request r JOIN vault.sealed s USING (subject_ref)
WHERE r.package_id IS NOT NULL AND r.responded_at <= $1 AND s.created_at <= $1 AND s.kind IN ('package', 'release')
ORDER BY r.responded_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED
"""


async def hand_out(
    tx: UnitOfWork, request_id: UUID, package_id: UUID, settings: IntakeSettings, caller: Caller
) -> bytes | Fault:
    """The package, which this counts as handed out; after the last time it is removed. Or why it is withheld.

    Raises:
        Expired: it is no longer kept.
        Shredded: the subject's key is gone.
    """
    released = await releases.held(tx, request_id)
    content = await tx.vault.open_one(tx.connection, package_id)
    if content is None:
        days, times = settings.package_days, settings.package_downloads
        raise Expired(
            f"the package was kept for {days} days and {times} downloads; ask for a new one with a new request"
        )
    if fault := await releases.check(tx, released, settings):
        return fault
    downloads = await tx.connection.fetchval(_TAKEN, request_id, package_id)
    detail: dict[str, JsonValue] = {"bytes": len(content), "downloads": downloads, "holder": caller.holder}
    tx.log_evidence(request_id, "package.downloaded", detail, caller.actor)
    if downloads >= settings.package_downloads:
        await tx.vault.drop_one(tx.connection, package_id)
        await tx.connection.execute(_GONE, request_id, package_id)
        tx.log_evidence(request_id, "package.removed", {"reason": "downloads"})
    return content


async def run(running: Running, settings: IntakeSettings) -> None:
    """Removes what is due for as long as the service runs."""
    unit_of_work, kept = running.unit_of_work, timedelta(days=settings.package_days)

    async def remove() -> None:
        while await remove_due(unit_of_work, kept):
            running.heartbeats.beat("packages")

    await run_periodically(remove, "packages", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def remove_due(unit_of_work: UnitOfWorkFactory, kept: timedelta) -> int:
    """Removes packages, not all at once, that have been available for so long, and by what their rows were found.

    Returns how many pieces it has removed.
    """
    async with unit_of_work.begin() as tx:
        due = await tx.connection.fetch(_DUE, tx.now - kept, _AT_A_TIME)
        for request_id, sealed_id, kind in due:
            await tx.vault.drop_one(tx.connection, sealed_id)
            if kind == "package":
                await tx.connection.execute(_GONE, request_id, sealed_id)
                tx.log_evidence(request_id, "package.removed", {"reason": "days"})
    return len(due)
