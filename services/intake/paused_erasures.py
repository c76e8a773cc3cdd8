"""Resumes erasures that wait: for the release of a suspended API key, or until a legal hold is lifted."""

from zoneinfo import ZoneInfo

from services.intake import holds
from services.intake.letters.rendering import Letters
from services.intake.metrics import ERASURES_SUSPENDED, KEYS_SUSPENDED
from services.intake.repository import Requests
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.runtime.settings import PolicySettings
from shared.storage import holds as stored_holds
from shared.storage.postgres import Connection

_EVERY_SECONDS = 5.0
_AT_A_TIME = 200

_FREE = """
SELECT r.request_id FROM request r
WHERE r.suspended AND NOT EXISTS (SELECT FROM suspended_key s WHERE s.key_id = r.key_id) LIMIT $1
"""
_LIFTED = """
SELECT k.request_id, array_agg(DISTINCT k.system) FROM vault.hold_kept k JOIN vault.legal_hold h USING (hold_id)
JOIN request r USING (request_id) WHERE h.lifted_at IS NOT NULL AND r.state = 'closed' GROUP BY 1 LIMIT $1
"""
_FIGURES = """
SELECT (SELECT count(*) FROM suspended_key), (SELECT count(*) FROM request WHERE suspended AND state <> 'closed')
"""
_OLD = "DELETE FROM erasures_asked WHERE minute < $1::timestamptz - interval '2 hours'"


async def run(running: Running) -> None:
    """Resumes them for as long as the service runs."""
    zone = ZoneInfo(PolicySettings().read_processing().controller.zone)

    async def look() -> None:
        async with running.unit_of_work.pool.acquire() as connection:
            now = running.unit_of_work.clock.now()
            await count(connection)
            await holds.count(connection, now.astimezone(zone).date())
            await connection.execute(_OLD, now)
        while await resume(running.unit_of_work) or await let_go_of_holds(running.unit_of_work):
            running.heartbeats.beat("paused_erasures")

    await run_periodically(look, "paused_erasures", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def count(connection: Connection) -> None:
    """Counts the suspended keys, and the erasures that wait for their release."""
    keys, erasures = await connection.fetchrow(_FIGURES) or (0, 0)
    KEYS_SUSPENDED.set(keys)
    ERASURES_SUSPENDED.set(erasures)


async def resume(unit_of_work: UnitOfWorkFactory) -> int:
    """Lets some erasures begin whose key was released; returns how many."""
    async with unit_of_work.begin() as tx:
        ids = [row[0] for row in await tx.connection.fetch(_FREE, _AT_A_TIME)]
        requests = await Requests.locked(tx, _NO_LETTERS, ids)
        for request in requests.all:
            if request.suspended:
                await requests.apply(request.resume())
        await requests.save()
    return len(requests.all)


async def let_go_of_holds(unit_of_work: UnitOfWorkFactory) -> int:
    """Has erased, not all at once, what answered erasures left because of a hold that is lifted; returns how many."""
    async with unit_of_work.begin() as tx:
        free = {row[0]: row[1] for row in await tx.connection.fetch(_LIFTED, _AT_A_TIME)}
        requests = await Requests.locked(tx, _NO_LETTERS, free)
        for request in requests.all:
            await requests.apply(request.let_go_of_hold(free[request.request_id]))
        await stored_holds.forget_kept(tx.connection, free)
        await requests.save()
    return len(free)


_NO_LETTERS = Letters()
