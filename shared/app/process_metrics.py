"""What a service tells of itself every few seconds: outbox, tasks, connections, its own haste, its evidence."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import orjson

from shared.fulfilment import queue as tasks
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.storage.evidence import ChainVerifier
from shared.storage.postgres import Connection

_EVERY_SECONDS = 2.0
_HASTE_SECONDS = 0.5


class ProcessMetrics:
    """Measures one process; whatever it asks the database has a bound."""

    def __init__(self, unit_of_work: UnitOfWorkFactory) -> None:
        self._office = unit_of_work
        self._service = unit_of_work.service
        self._verifier = ChainVerifier(unit_of_work.service)

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Measures until told to stop."""
        async with asyncio.TaskGroup() as group:
            group.create_task(run_periodically(self.look, "machine", _EVERY_SECONDS, stopping, heartbeats))
            group.create_task(self._event_loop_lag(stopping))

    async def look(self) -> None:
        """Measures once."""
        pool = self._office.pool
        idle = pool.get_idle_size()
        metrics.POOL.labels(self._service, "idle").set(idle)
        metrics.POOL.labels(self._service, "busy").set(pool.get_size() - idle)
        metrics.POOL_LIMIT.labels(self._service).set(pool.get_max_size())
        async with pool.acquire() as connection:
            await self._outbox(connection)
            if self._office.wakeups:
                await self._tasks(connection)
            checked = await self._verifier.step(connection)
        metrics.EVIDENCE_CHECKED.labels(self._service).inc(checked)
        metrics.EVIDENCE_BROKEN.labels(self._service).set(self._verifier.broken_at is not None)

    async def _outbox(self, connection: Connection) -> None:
        """Rows leave in the order of their position, so first and last tell how many there are."""
        first = await connection.fetchrow("SELECT position, headers FROM outbox ORDER BY position LIMIT 1")
        last = await connection.fetchval("SELECT position FROM outbox ORDER BY position DESC LIMIT 1")
        waiting, age = 0, 0.0
        if first and last:
            waiting = last - first[0] + 1
            age = self._seconds_since(_put_there_at(orjson.loads(first[1])))
        metrics.OUTBOX.labels(self._service).set(waiting)
        metrics.OUTBOX_AGE.labels(self._service).set(age)

    async def _tasks(self, connection: Connection) -> None:
        failed = await tasks.failed(connection)
        for step in self._office.wakeups:
            ready, oldest = await tasks.backlog(connection, step)
            age = self._seconds_since(tasks.opened_at(oldest)) if oldest else 0.0
            metrics.TASKS_READY.labels(self._service, *step).set(ready)
            metrics.TASKS_READY_AGE.labels(self._service, *step).set(age)
            metrics.TASKS_FAILED.labels(self._service, *step).set(failed.get(step, 0))

    def _seconds_since(self, then: datetime) -> float:
        return max(0.0, (self._office.clock.now() - then).total_seconds())

    async def _event_loop_lag(self, stopping: asyncio.Event) -> None:
        """How much later than wanted this process comes round: the most of the last rounds."""
        loop = asyncio.get_running_loop()
        while not stopping.is_set():
            wanted = loop.time() + _HASTE_SECONDS
            try:
                async with asyncio.timeout_at(wanted):
                    await stopping.wait()
            except TimeoutError:
                metrics.LOOP_LAG.labels(self._service).set(loop.time() - wanted)


def _put_there_at(headers: Mapping[str, str]) -> datetime:
    """When a message came into the outbox: a dead letter has the headers of a stranger, and one of ours that counts."""
    return datetime.fromisoformat(headers.get("dsr_set_aside_at") or headers["ce_time"])
