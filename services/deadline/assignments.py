"""The register of assignments, read from its source every so often, by one process at a time.

What a reading changes is learned; one that fails, or would lose more than the policy allows, changes nothing. Whoever
checks packages is told of a change once it can be seen.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import cast

from services.deadline import metrics
from services.deadline.settings import DeadlineSettings
from shared.app.service import Running
from shared.domain.assignments import AssignedNumber
from shared.domain.assignments_policy import Readings, assignments_policy
from shared.domain.errors import DsrError
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.storage import lease, register
from shared.storage.lease import Turn
from shared.storage.systems import SystemState, standings
from shared.systems.downstream import Downstream
from shared.systems.protocols import Assigning

log = logging.getLogger(__name__)

LOOP = "assignments"
_LOOK_SECONDS = 2.0
_BEAT_SECONDS = 5.0
_AGAIN = timedelta(minutes=1)
"""After which a reading that failed is tried again, where the next one is further away."""
_OTHER = "failed"


async def run(running: Running, settings: DeadlineSettings) -> None:
    """Reads for as long as the service runs."""
    declared = running.downstreams.all if running.downstreams else ()
    source = next((each for each in declared if each.assigns), None)
    every = timedelta(seconds=settings.assignments_seconds)
    reader = Reader(running.unit_of_work, source, every, assignments_policy().readings, running.heartbeats)
    await run_periodically(reader.look, LOOP, _LOOK_SECONDS, running.stopping, running.heartbeats)


class Reader:
    """Reads the source that the downstreams file names, if it names one, whenever nobody has for so long."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        source: Downstream | None,
        every: timedelta,
        believed: Readings,
        heartbeats: Heartbeats,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._source = source
        self._every = every
        self._believed = believed
        self._heartbeats = heartbeats

    async def look(self) -> None:
        """Reads if it is time, tells of what has changed, and shows when the source was read last."""
        if self._source is not None and (turn := await self._turn(self._source)) is not None:
            await self._read(self._source, turn)
        async with self._unit_of_work.pool.acquire() as connection:
            await register.announce(connection, self._unit_of_work.clock.now())
            if self._source is not None:
                _show(self._source.name, await register.last_reading(connection, self._source.name))

    async def _turn(self, source: Downstream) -> Turn | None:
        """A turn that lasts until the next reading: who has it reads, and nobody else meanwhile."""
        async with self._unit_of_work.pool.acquire() as connection:
            known = (await standings(connection)).get(source.name)
            accepted = known is not None and known.state is SystemState.ON and known.hash == source.fingerprint
            return await lease.take(connection, LOOP, self._every) if accepted else None

    async def _read(self, source: Downstream, turn: Turn) -> None:
        began, failure = self._unit_of_work.clock.now(), None
        try:
            rows = await self._rows(cast("Assigning", source.adapter))
            filled = await self._fill(source.name, rows, began)
        except DsrError as error:
            failure = error.code
            log.error("whose the numbers are was not learned from %s: %s", source.name, error)  # noqa: TRY400
        except Exception as error:  # noqa: BLE001  # an answer that nobody foresaw must not end the process
            failure = _OTHER
            log.error("whose the numbers are was not learned from %s: %s", source.name, telemetry.where(error))  # noqa: TRY400
        else:
            log.info("%s was read: %d learned or corrected, %d ended", source.name, filled.learned, filled.ended)
        async with self._unit_of_work.pool.acquire() as connection:
            await register.note_reading(connection, source.name, began, failure)
            if failure:
                await replace(turn, lasts=min(_AGAIN, self._every)).renew(connection)

    async def _rows(self, adapter: Assigning) -> Sequence[AssignedNumber]:
        """What the source says; the loop is alive while it does."""
        reading = asyncio.create_task(adapter.assignments())
        try:
            while not (await asyncio.wait({reading}, timeout=_BEAT_SECONDS))[0]:
                self._heartbeats.beat(LOOP)
        finally:
            reading.cancel()
        return await reading

    async def _fill(self, source: str, rows: Sequence[AssignedNumber], began: datetime) -> register.Filled:
        keyring = self._unit_of_work.vault.keyring
        fill = partial(register.fill, source=source, namespace=source, rows=rows, read_at=began)
        async with self._unit_of_work.pool.acquire() as connection:
            return await fill(connection, keyring, believed=self._believed)


def _show(system: str, last: register.LastReading) -> None:
    metrics.ASSIGNMENTS_READ.labels(system).set(last.filled_at.timestamp() if last.filled_at else 0)
    reason = last.failure if last.failure in _REASONS or last.failure is None else _OTHER
    for each in _REASONS:
        metrics.ASSIGNMENTS_FAILED.labels(system, each).set(each == reason)


_REASONS = (register.TooMuchLost.code, "unavailable", _OTHER)
