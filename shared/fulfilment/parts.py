"""Seals exported records part by part, so that no process holds a whole copy."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID

import orjson

from shared.domain.errors import KeyGone, Shredded
from shared.domain.operations import Operation
from shared.fulfilment import queue
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.vault import Sealing
from shared.systems.contract import Checkpoint, CopiedRecord, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.engine.stated import with_own_alone
from shared.systems.protocols import ExportableInParts, Operate

KIND = "records"


class Parts:
    """Takes what one call for these tasks hands over, each part in a transaction of its own."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, tasks: Iterable[Task]) -> None:
        self._unit_of_work = unit_of_work
        self._tasks: Mapping[UUID, Task] = {task.task_id: task for task in tasks}
        self._begun: set[UUID] = set()

    async def __call__(self, task_id: UUID, records: Sequence[CopiedRecord]) -> None:
        """Seals a part; with the first one goes what an earlier call has left.

        Raises:
            LeaseLost: another worker has the task.
            Withdrawn: its request was withdrawn.
            KeyGone: the subject's key is gone.
        """
        task, vault, now = self._tasks[task_id], self._unit_of_work.vault, self._unit_of_work.clock.now()
        async with self._unit_of_work.pool.acquire() as connection, connection.transaction():
            # The row of the task stays locked until the end, so a process that takes it over comes after this part.
            await queue.save_progress(connection, {task_id: task.attempt}, {task_id: {"parts": True}})
            if task_id not in self._begun:
                await vault.drop_from(connection, [task.subject_ref], KIND, task.system)
            try:
                await vault.seal(connection, [sealing(task.subject_ref, task.system, records)], now)
            except Shredded as gone:
                raise KeyGone("the subject's key was shredded while this task was worked") from gone
        self._begun.add(task_id)


def operate(downstream: Downstream, operation: Operation, unit_of_work: UnitOfWorkFactory) -> Operate:
    """The adapter's method for that operation; what it exports it hands over in parts, where it can."""
    adapter: object = downstream.adapter
    if operation is Operation.EXPORT and isinstance(adapter, ExportableInParts):
        return partial(_export, adapter, unit_of_work)
    work = downstream.operate(operation)
    return with_own_alone(work, downstream) if operation in {Operation.LOCATE, Operation.SUPPRESS} else work


async def _export(
    adapter: ExportableInParts, unit_of_work: UnitOfWorkFactory, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    return await adapter.export_in_parts(tasks, save_progress, Parts(unit_of_work, tasks))


def sealing(subject_ref: UUID, system: str, records: Sequence[CopiedRecord]) -> Sealing:
    """Records as they lie in the vault: category, place, data, what is provided, by what found, anchors, states.

    And last which fields are hidden, where any is.
    """
    rows = [
        [
            *(r.category, r.source, r.data, r.portable and (r.not_provided or True)),
            *([[*match] for match in r.matched], r.anchors, r.states),
            *([r.hidden] if r.hidden else ()),
        ]
        for r in records
    ]
    return Sealing(subject_ref, KIND, system, orjson.dumps(rows, default=str))
