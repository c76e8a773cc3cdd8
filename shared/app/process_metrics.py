"""Measures a service every few seconds: outbox, tasks, connections, event-loop lag, evidence."""

import asyncio
from collections.abc import Collection
from datetime import datetime

import orjson

from shared.fulfilment import queue as tasks
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import metrics
from shared.runtime.loops import wait
from shared.storage.evidence import ChainVerifier
from shared.storage.postgres import Connection

_LAG_SECONDS = 0.5


class ProcessMetrics:
    """Measures one process by cheap queries."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, steps: Collection[tuple[str, str]]) -> None:
        self._unit_of_work = unit_of_work
        self._steps = steps
        self._service = unit_of_work.service
        self._verifier = ChainVerifier(unit_of_work.service)

    async def measure(self) -> None:
        """Measures once."""
        pool = self._unit_of_work.pool
        idle = pool.get_idle_size()
        metrics.POOL.labels(self._service, "idle").set(idle)
        metrics.POOL.labels(self._service, "busy").set(pool.get_size() - idle)
        metrics.POOL_LIMIT.labels(self._service).set(pool.get_max_size())
        async with pool.acquire() as connection:
            await self._outbox(connection)
            if self._steps:
                await self._tasks(connection)
            checked = await self._verifier.step(connection)
        metrics.EVIDENCE_CHECKED.labels(self._service).inc(checked)
        metrics.EVIDENCE_BROKEN.labels(self._service).set(self._verifier.broken_at is not None)

    async def _outbox(self, connection: Connection) -> None:
        """Measures the outbox by its first and last position, since rows leave in order."""
        first = await connection.fetchrow("SELECT position, headers FROM outbox ORDER BY position LIMIT 1")
        last = await connection.fetchval("SELECT position FROM outbox ORDER BY position DESC LIMIT 1")
        waiting, age = 0, 0.0
        if first and last:
            waiting = last - first[0] + 1
            headers = orjson.loads(first[1])  # a dead letter has the headers of its record, and our own time
            age = self._seconds_since(datetime.fromisoformat(headers.get("dsr_set_aside_at") or headers["ce_time"]))
        metrics.OUTBOX.labels(self._service).set(waiting)
        metrics.OUTBOX_AGE.labels(self._service).set(age)
        metrics.OUTBOX_PARKED.labels(self._service).set(await connection.fetchval("SELECT count(*) FROM parked"))

    async def _tasks(self, connection: Connection) -> None:
        failed = await tasks.failed(connection)
        for step, (ready, oldest) in (await tasks.backlog(connection, self._steps)).items():
            age = self._seconds_since(tasks.opened_at(oldest)) if oldest else 0.0
            metrics.TASKS_READY.labels(self._service, *step).set(ready)
            metrics.TASKS_READY_AGE.labels(self._service, *step).set(age)
            metrics.TASKS_FAILED.labels(self._service, *step).set(failed.get(step, 0))

    def _seconds_since(self, then: datetime) -> float:
        return max(0.0, (self._unit_of_work.clock.now() - then).total_seconds())

    async def event_loop_lag(self, stopping: asyncio.Event) -> None:
        """Measures the lag of the event loop until ``stopping`` is set."""
        loop = asyncio.get_running_loop()
        wanted = loop.time() + _LAG_SECONDS
        while not await wait(stopping, wanted - loop.time()):
            metrics.LOOP_LAG.labels(self._service).set(loop.time() - wanted)
            wanted = loop.time() + _LAG_SECONDS
