"""Erasures that wait: of braked keys, until two persons have released the key; for a hold, until it is lifted."""

from zoneinfo import ZoneInfo

from services.intake import brake, holds
from services.intake.letters.rendering import Letters
from services.intake.metrics import BRAKES, HELD
from services.intake.repository import Requests
from services.intake.request.lifecycle import State
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.runtime.settings import PolicySettings
from shared.storage import holds as stored_holds
from shared.storage.postgres import Connection

_EVERY_SECONDS = 1.0
_AT_A_TIME = 200
_WORKED = {State.IN_PROGRESS, State.AWAITING_CLARIFICATION}

_BEGUN = """
SELECT r.request_id FROM request r JOIN brake b USING (key_id)
WHERE b.released_at IS NULL AND r."right" = 'erasure' AND r.held IS NULL AND NOT r.postponed
  AND r.state IN ('in_progress', 'awaiting_clarification')
LIMIT $1
"""
_FREE = """
SELECT r.request_id FROM request r
WHERE r.held IS NOT NULL AND NOT EXISTS (SELECT FROM brake b WHERE b.key_id = r.key_id AND b.released_at IS NULL)
LIMIT $1
"""
_LIFTED = """
SELECT k.request_id, array_agg(DISTINCT k.system) FROM vault.hold_kept k JOIN vault.legal_hold h USING (hold_id)
JOIN request r USING (request_id) WHERE h.lifted_at IS NOT NULL AND r.state = 'closed' GROUP BY 1 LIMIT $1
"""
_RELEASED_BY = """
SELECT DISTINCT ON (key_id) key_id, released_by FROM brake WHERE key_id = ANY($1) ORDER BY key_id, tripped_at DESC
"""
_FIGURES = """
SELECT (SELECT count(*) FROM brake WHERE released_at IS NULL),
       (SELECT count(*) FROM request WHERE held IS NOT NULL AND state <> 'closed')
"""
_OLD = "DELETE FROM erasures_asked WHERE minute < $1::timestamptz - interval '2 hours'"


async def run(running: Running) -> None:
    """Stops and lets go for as long as the service runs."""
    zone = ZoneInfo(PolicySettings().read_processing().controller.zone)

    async def look() -> None:
        async with running.unit_of_work.pool.acquire() as connection:
            now = running.unit_of_work.clock.now()
            await count(connection)
            await holds.count(connection, now.astimezone(zone).date())
            await connection.execute(_OLD, now)
        while (
            await stop(running.unit_of_work)
            or await let_go(running.unit_of_work)
            or await let_go_of_holds(running.unit_of_work)
        ):
            running.heartbeats.beat("held")

    await run_periodically(look, "held", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def count(connection: Connection) -> None:
    """Counts the brakes that are on, and what waits for them."""
    brakes, held = await connection.fetchrow(_FIGURES) or (0, 0)
    BRAKES.set(brakes)
    HELD.set(held)


async def stop(unit_of_work: UnitOfWorkFactory) -> int:
    """Stops erasures, not all at once, that had begun when the brake of their key tripped; returns how many."""
    async with unit_of_work.begin() as tx:
        requests = await _locked(tx, _BEGUN)
        for request in requests.all:
            if request.held is None and not request.postponed and request.state in _WORKED:
                await requests.apply(brake.stop(request))
        await requests.save()
    return len(requests.all)


async def let_go(unit_of_work: UnitOfWorkFactory) -> int:
    """Lets erasures go on, not all at once, whose key two persons have released; returns how many."""
    async with unit_of_work.begin() as tx:
        requests = await _locked(tx, _FREE)
        keys = {request.key_id for request in requests.all}
        released_by = {row[0]: row[1] for row in await tx.connection.fetch(_RELEASED_BY, list(keys))} if keys else {}
        for request in requests.all:
            if request.held is not None:
                await requests.apply(brake.go_on(request, released_by.get(request.key_id, ())))
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


async def _locked(tx: UnitOfWork, query: str) -> Requests:
    ids = [row[0] for row in await tx.connection.fetch(query, _AT_A_TIME)]
    return await Requests.locked(tx, _NO_LETTERS, ids)


_NO_LETTERS = Letters()
