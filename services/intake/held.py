"""Erasures of keys that are braked: what has begun is stopped, and goes on once two persons have released the key."""

from services.intake import brake
from services.intake.letters import Letters
from services.intake.lifecycle import State
from services.intake.metrics import BRAKES, HELD
from services.intake.repository import Requests
from shared.app.service import Running
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
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

    async def look() -> None:
        async with running.unit_of_work.pool.acquire() as connection:
            await count(connection)
            await connection.execute(_OLD, running.unit_of_work.clock.now())
        while await stop(running.unit_of_work) or await let_go(running.unit_of_work):
            running.heartbeats.beat("held")

    await run_periodically(look, "held", _EVERY_SECONDS, running.stopping, running.heartbeats, share=1)


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


async def _locked(tx: UnitOfWork, query: str) -> Requests:
    ids = [row[0] for row in await tx.connection.fetch(query, _AT_A_TIME)]
    return await Requests.locked(tx, _NO_LETTERS, ids)


_NO_LETTERS = Letters()
