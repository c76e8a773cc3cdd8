"""Moves the tasks of systems that are not enabled: they wait, need manual review, or are cancelled.

The tasks of a quarantined system wait until an officer accepts it. If that takes long, their requests need a decision:
an officer may answer in part without it. Once it is enabled, its tasks go on automatically.
The tasks of a retired system need a decision immediately.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from shared.domain.errors import Refused, SystemQuarantined, SystemRetired
from shared.domain.operations import Operation
from shared.fulfilment.failures import failure_details
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Conclude, lock_fulfilments, wait_for_others
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.metrics import SYSTEMS
from shared.runtime.settings import WorkSettings
from shared.storage.systems import REQUIRED_STATES, SystemState, SystemStatus, read_systems

log = logging.getLogger(__name__)

_BATCH = 500
"""Fulfilments that one transaction moves."""

_LONG_QUARANTINED = """
SELECT name FROM downstreams.system WHERE state = 'quarantined' AND since < now() - $1::interval
"""
# An observing system may have been retired before. Manual and failed tasks of a retired system cannot be retried.
_STUCK_TASKS = """
system = ANY($1) AND NOT observes AND failure IS DISTINCT FROM $2
AND (state = 'ready' AND NOT immediate OR $3 AND state = 'failed')
"""
_STUCK_FULFILMENTS = f"SELECT DISTINCT fulfilment_id FROM task WHERE {_STUCK_TASKS} LIMIT {_BATCH}"  # noqa: S608  # constants
_FAIL_STUCK = f"""
UPDATE task SET state = 'failed', failure = $2,
    why = $4 || jsonb_strip_nulls(jsonb_build_object('not_asked', why -> 'not_asked'))
WHERE {_STUCK_TASKS} AND fulfilment_id = ANY($5)
"""  # noqa: S608  # constants
_REOPEN_BLOCKED = (
    "UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1) AND state = 'blocked' AND NOT held"
)
_FAILED_FULFILMENTS = f"""
SELECT DISTINCT fulfilment_id FROM task WHERE system = ANY($1) AND state = 'failed' AND failure = $2 LIMIT {_BATCH}
"""  # noqa: S608  # constants
_RESUME_TASKS = """
UPDATE task SET state = 'ready', failure = NULL, why = NULL, not_before = $4
WHERE fulfilment_id = ANY($1) AND system = ANY($2) AND state = 'failed' AND failure = $3
RETURNING system, operation
"""
_REOPEN = """
UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1) AND state = 'blocked'
RETURNING request_id, operation
"""
_STOP_OBSERVING = """
UPDATE task SET state = 'cancelled' WHERE observes AND state IN ('waiting', 'ready') AND system <> ALL($1)
"""


class SystemGate:
    """Reads the states of all systems, reports them, and stops or resumes their tasks.

    ``fingerprints``: hashes of the definitions that this process has read, by system.
    """

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        fulfilments: Fulfilments,
        conclude: Mapping[Operation, Conclude],
        fingerprints: Mapping[str, str],
        settings: WorkSettings,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._fulfilments = fulfilments
        self._conclude = conclude
        self._fingerprints = fingerprints
        self._patience = timedelta(seconds=settings.quarantine_seconds)
        self._logged: dict[str, SystemState] = {}

    async def run(self) -> None:
        """Reads the states of all systems, and moves their tasks."""
        async with self._unit_of_work.pool.acquire() as connection:
            known = await read_systems(connection)
            long_quarantined = {row[0] for row in await connection.fetch(_LONG_QUARANTINED, self._patience)}
        self._report(known)
        await self._resume([name for name, system in known.items() if system.state is SystemState.ON])
        await self._fail_tasks(
            [*long_quarantined], SystemQuarantined("it was changed, or a person doubts it: accept it first")
        )
        retired = [name for name, system in known.items() if system.state not in REQUIRED_STATES]
        failure = SystemRetired(
            "it is gone, and the request was opened with it: enter what was done there, or end its part"
        )
        await self._fail_tasks(retired, failure, retired=True)
        observing = [name for name, system in known.items() if system.state is SystemState.OBSERVE]
        await self._unit_of_work.pool.execute(_STOP_OBSERVING, observing)

    def _report(self, known: Mapping[str, SystemStatus]) -> None:
        """Reports the state of each system; one with another definition than ours counts as quarantined."""
        for name, system in known.items():
            other = system.state is SystemState.ON and self._fingerprints.get(name, system.hash) != system.hash
            seen = SystemState.QUARANTINED if other else system.state
            for state in SystemState:
                SYSTEMS.labels(self._unit_of_work.service, name, state.value).set(state is seen)
            if self._logged.get(name, SystemState.ON) is not seen:
                log.warning("%s is %s: %s", name, seen, "read in another version" if other else system.reason or "-")
            self._logged[name] = seen

    async def _fail_tasks(self, systems: Sequence[str], failure: Refused, *, retired: bool = False) -> None:
        """Fails the tasks that need these systems, so that an officer decides."""

        async def fail(tx: UnitOfWork, ids: list[UUID]) -> None:
            await tx.connection.execute(_FAIL_STUCK, *which, failure_details(failure), ids)
            if retired:
                await tx.connection.execute(_REOPEN_BLOCKED, ids)
            await self._fulfilments.fan_in(tx, ids, self._conclude)

        which = (systems, failure.code, retired)
        await self._move(_STUCK_FULFILMENTS, which, fail)

    async def _resume(self, systems: Sequence[str]) -> None:
        """Resumes tasks that failed because one of these systems was quarantined."""

        async def resume(tx: UnitOfWork, ids: list[UUID]) -> None:
            for step in set(map(tuple, await tx.connection.fetch(_RESUME_TASKS, ids, systems, code, tx.now))):
                self._fulfilments.wake(tx, step)
            for request_id, operation in await tx.connection.fetch(_REOPEN, ids):
                tx.log_evidence(request_id, "fulfilment.resumed", {"operation": operation})
            await wait_for_others(tx, self._fulfilments.must_wait, ids)

        code = SystemQuarantined.code
        await self._move(_FAILED_FULFILMENTS, (systems, code), resume)

    async def _move(
        self, which: str, of: tuple[object, ...], move: Callable[[UnitOfWork, list[UUID]], Awaitable[None]]
    ) -> None:
        """Moves the fulfilments that a statement finds, some in each transaction; not those that were withdrawn."""
        more = bool(of[0])
        while more:
            async with self._unit_of_work.begin() as tx:
                ids = {row[0] for row in await tx.connection.fetch(which, *of)}
                if ids:
                    await move(tx, sorted(ids - await lock_fulfilments(tx, ids)))
            more = len(ids) == _BATCH
