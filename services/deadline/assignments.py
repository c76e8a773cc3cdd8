"""Syncs the number register from its source at intervals, one process at a time.

A sync that fails, or would lose more assignments than the policy allows, changes nothing. The release check is notified
of a change once it is committed.
"""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

from prometheus_client import Gauge

from services.deadline.settings import DeadlineSettings
from shared.app.service import Running
from shared.domain.errors import DsrError
from shared.domain.policy_files import Readings, assignments_policy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import alive, run_periodically
from shared.storage import leader_lease, register
from shared.storage.leader_lease import LeaderLease
from shared.storage.systems import SystemState, read_systems
from shared.systems.downstream import Downstream
from shared.systems.protocols import NumberSource

log = logging.getLogger(__name__)

ASSIGNMENTS_READ = Gauge(
    "dsr_assignments_read_timestamp_seconds",
    "When the reading began that the register of assignments was filled from",
    ["system"],
)
ASSIGNMENTS_FAILED = Gauge(
    "dsr_assignments_reading_failed",
    "1 if nothing of the last reading was taken over, by the reason why",
    ["system", "reason"],
)
LOOP = "assignments"
_LOOK_SECONDS = 2.0
_AGAIN = timedelta(minutes=1)
"""The longest wait before a failed sync is retried."""
_OTHER = "failed"
_REASONS = (register.TooMuchLost.code, "unavailable", _OTHER)


async def run(running: Running, settings: DeadlineSettings) -> None:
    """Syncs the register while the service runs."""
    declared = running.downstreams.all if running.downstreams else ()
    source = next((each for each in declared if each.assigns), None)
    every = timedelta(seconds=settings.assignments_seconds)
    reader = AssignmentReader(running.unit_of_work, source, every, assignments_policy().readings, running.heartbeats)
    await run_periodically(reader.look, LOOP, _LOOK_SECONDS, running.stopping, running.heartbeats)


@dataclass(frozen=True)
class AssignmentReader:
    """Syncs from the source that the downstreams file names, when the last sync is old enough."""

    unit_of_work: UnitOfWorkFactory
    source: Downstream | None
    every: timedelta
    believed: Readings
    heartbeats: Heartbeats

    async def look(self) -> None:
        """Syncs if it is time, publishes changes, and sets the metrics of the last sync."""
        if self.source is not None and (lease := await self._read_with_lease(self.source)) is not None:
            await self._read(self.source, lease)
        async with self.unit_of_work.pool.acquire() as connection:
            await register.announce(connection, self.unit_of_work.clock.now())
            if self.source is not None:
                last = await register.last_reading(connection, self.source.name)
                read_at = last.filled_at.timestamp() if last.filled_at else 0
                ASSIGNMENTS_READ.labels(self.source.name).set(read_at)
                reason = last.failure if last.failure in _REASONS or last.failure is None else _OTHER
                for each in _REASONS:
                    ASSIGNMENTS_FAILED.labels(self.source.name, each).set(each == reason)

    async def _read_with_lease(self, source: Downstream) -> LeaderLease | None:
        """Takes the lease until the next sync, so that no other process syncs."""
        async with self.unit_of_work.pool.acquire() as connection:
            known = (await read_systems(connection)).get(source.name)
            accepted = known is not None and known.state is SystemState.ON and known.hash == source.fingerprint
            return await leader_lease.acquire(connection, LOOP, self.every) if accepted else None

    async def _read(self, source: Downstream, lease: LeaderLease) -> None:
        began, failure = self.unit_of_work.clock.now(), None
        try:
            async with alive(LOOP, self.heartbeats):
                rows = await cast("NumberSource", source.adapter).assignments()
            async with self.unit_of_work.pool.acquire() as connection:
                filled = await register.fill(
                    connection,
                    self.unit_of_work.vault.keyring,
                    source=source.name,
                    namespace=source.name,
                    rows=rows,
                    read_at=began,
                    believed=self.believed,
                )
        except Exception as error:  # noqa: BLE001  # an unexpected answer must not end the process
            failure, why = (error.code, str(error)) if isinstance(error, DsrError) else (_OTHER, telemetry.where(error))
            log.error("number register sync failed source=%s error=%s", source.name, why)  # noqa: TRY400
        else:
            log.info("number register synced source=%s changed=%d ended=%d", source.name, filled.learned, filled.ended)
        async with self.unit_of_work.pool.acquire() as connection:
            await register.record_reading(connection, source.name, began, failure)
            if failure:
                await replace(lease, duration=min(_AGAIN, self.every)).renew(connection)
