"""What a system hides or suppresses without an entry of ours, an agent's or the customer's own: counted, left alone.

Each instance counts once a night, and when it starts. By the way systems forget what they keep of our own and is old.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from uuid import UUID

from uuid_utils.compat import uuid7

from services.amendment import metrics
from services.amendment.nightly import night_of
from shared.app.service import Running
from shared.domain.errors import Unavailable
from shared.domain.operations import Operation
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.storage.postgres import AGAIN, AWAY
from shared.storage.subject_data import SubjectData
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.protocols import Comparable, Forgetful

log = logging.getLogger(__name__)

LOOP = "strangers"
_EVERY_SECONDS = 60.0
_AT_A_TIME = 100

_IN_FORCE: Mapping[Operation, str] = {
    Operation.RESTRICT: "SELECT request_id, subject_ref FROM restriction WHERE lifted_at IS NULL",
    Operation.SUPPRESS: "SELECT DISTINCT request_id, subject_ref FROM register.suppression"
    " JOIN fulfilment USING (request_id) WHERE NOT details ? 'returned'",
}


async def run(running: Running) -> None:
    """Counts until told to stop."""
    systems = running.downstreams.all if running.downstreams else ()
    strangers = Strangers(running.unit_of_work, systems, running.heartbeats)
    await run_periodically(strangers.look, LOOP, _EVERY_SECONDS, running.stopping, running.heartbeats)


class Strangers:
    """Counts what each system shows beyond the register; a system that is away is asked again."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, systems: Sequence[Downstream], heartbeats: Heartbeats) -> None:
        self._unit_of_work = unit_of_work
        self._systems = systems
        self._heartbeats = heartbeats
        self._counted: dict[str, datetime] = {}

    async def look(self) -> None:
        """Counts where it was not counted since this night began; no number stays that was not counted."""
        night = night_of(self._unit_of_work.clock.now())
        for system in self._systems:
            if self._counted.get(system.name) == night:
                continue
            try:
                await self._count(system)
            except Unavailable:
                continue
            except (*AWAY, *AGAIN):
                raise
            except Exception as error:  # noqa: BLE001  # one bad system costs its own number
                log.warning("%s cannot be compared tonight: %s", system.name, telemetry.where(error))
            self._counted[system.name] = night

    async def _count(self, system: Downstream) -> None:
        for operation in _IN_FORCE:
            with suppress(KeyError):
                metrics.STRANGERS.remove(system.name, operation)
        adapter: object = system.adapter
        if isinstance(adapter, Comparable):
            for operation in _IN_FORCE:
                shown, ours = await adapter.shown(operation), set[str]()
                for tasks in self._batches(await self._tasks(system.name, operation)):
                    ours.update(await adapter.shown_of(tasks))
                metrics.STRANGERS.labels(system.name, operation).set(max(0, shown - len(ours)))
        if isinstance(adapter, Forgetful):
            await adapter.forget()

    async def _tasks(self, system: str, operation: Operation) -> list[Task]:
        """One for each request that is in force; without identities where the vault holds none any more."""
        async with self._unit_of_work.pool.acquire() as connection:
            rows = await connection.fetch(_IN_FORCE[operation])
            subjects: dict[UUID, UUID] = {row[0]: row[1] for row in rows}
            known = await self._unit_of_work.vault.subject_data(connection, subjects.values()) if subjects else {}
        of_request = partial(Task, system=system, operation=operation)
        return [
            of_request(uuid7(), request_id, ref, identities=theirs.identities, tenant=theirs.tenant)
            for request_id, ref in subjects.items()
            for theirs in [known.get(ref, SubjectData())]
        ]

    def _batches(self, tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
        left = iter(tasks)
        while batch := list(islice(left, _AT_A_TIME)):
            self._heartbeats.beat(LOOP)
            yield batch
