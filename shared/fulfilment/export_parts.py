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
from shared.systems.engine.stated_identities import with_stated_identities
from shared.systems.protocols import AdapterCall, ExportableInParts

KIND = "records"


class ExportParts:
    """Seals the parts that one call hands over, each in its own transaction."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, tasks: Iterable[Task]) -> None:
        self._unit_of_work = unit_of_work
        self._tasks: Mapping[UUID, Task] = {task.task_id: task for task in tasks}
        self._begun: set[UUID] = set()

    async def __call__(self, task_id: UUID, records: Sequence[CopiedRecord]) -> None:
        """Seals a part; the first one replaces the parts of an earlier call.

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
                await vault.drop_of_source(connection, [task.subject_ref], KIND, task.system)
            try:
                await vault.seal(connection, [sealed_records(task.subject_ref, task.system, records)], now)
            except Shredded as gone:
                raise KeyGone("the subject's key was shredded while this task was worked") from gone
        self._begun.add(task_id)


def adapter_call(downstream: Downstream, operation: Operation, unit_of_work: UnitOfWorkFactory) -> AdapterCall:
    """The adapter's method for that operation; what it exports it hands over in parts, where it can."""
    adapter: object = downstream.adapter
    if operation is Operation.EXPORT and isinstance(adapter, ExportableInParts):
        return partial(_export, adapter, unit_of_work)
    work = downstream.operate(operation)
    return with_stated_identities(work, downstream) if operation in {Operation.LOCATE, Operation.SUPPRESS} else work


async def _export(
    adapter: ExportableInParts, unit_of_work: UnitOfWorkFactory, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    return await adapter.export_in_parts(tasks, save_progress, ExportParts(unit_of_work, tasks))


def sealed_records(subject_ref: UUID, system: str, records: Sequence[CopiedRecord]) -> Sealing:
    """Returns records in the form of the vault.

    Each is a list: category, place, data, portable fields, matches, anchors, states, and hidden fields if there are
    any.
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
