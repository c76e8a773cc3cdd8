"""Packages: handed out a few times, kept for a few days, then removed (REQ-S6; retention T1)."""

from datetime import timedelta
from uuid import UUID

from services.intake.auth import Caller
from services.intake.errors import Expired
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically

_EVERY_SECONDS = 600.0
_AT_A_TIME = 200
# Locked, so that of two at once the second sees what the first has left.
_TAKEN = "UPDATE request SET downloads = downloads + 1 WHERE request_id = $1 RETURNING downloads"
# An answer that is given anew makes the package available anew.
_DUE = """
SELECT r.request_id, s.sealed_id FROM request r JOIN vault.sealed s ON s.sealed_id = r.package_id
WHERE r.package_id IS NOT NULL AND r.responded_at <= $1
ORDER BY r.responded_at LIMIT $2 FOR UPDATE OF s SKIP LOCKED
"""


async def hand_out(
    tx: UnitOfWork, request_id: UUID, package_id: UUID, settings: IntakeSettings, caller: Caller
) -> bytes:
    """The package, which this counts as handed out; after the last time it is removed.

    Raises:
        Expired: it is no longer kept.
        Shredded: the subject's key is gone.
    """
    downloads = await tx.connection.fetchval(_TAKEN, request_id)
    content = await tx.vault.open_one(tx.connection, package_id)
    if content is None:
        days, times = settings.package_days, settings.package_downloads
        raise Expired(
            f"the package was kept for {days} days and {times} downloads; ask for a new one with a new request"
        )
    tx.log_evidence(
        request_id,
        "package.downloaded",
        {"bytes": len(content), "downloads": downloads, "holder": caller.holder},
        caller.actor,
    )
    if downloads >= settings.package_downloads:
        await tx.vault.drop_one(tx.connection, package_id)
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
    """Removes packages, not all at once, that have been available for so long; returns how many."""
    async with unit_of_work.begin() as tx:
        due = await tx.connection.fetch(_DUE, tx.now - kept, _AT_A_TIME)
        for request_id, package_id in due:
            await tx.vault.drop_one(tx.connection, package_id)
            tx.log_evidence(request_id, "package.removed", {"reason": "days"})
    return len(due)
