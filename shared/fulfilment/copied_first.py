"""What withdrawn consent erases waits until what the same person asked to see is answered (G1); marketing does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from shared.domain.precedence import Kind, Marks
from shared.downstreams.contract import COPY_FIRST, Checkpoint, Pending, Receipt, Result, Task
from shared.downstreams.downstream import Downstream
from shared.downstreams.protocols import Operate
from shared.fulfilment.withdrawn import ending
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import open_requests

_SOON, _SELDOM = timedelta(seconds=2), timedelta(minutes=5)
_DOUBLED = 8
"""So many times the pause doubles at most."""
_COPIES = frozenset({Kind.COPY})


def after_copies(operate: Operate, downstream: Downstream, unit_of_work: UnitOfWorkFactory) -> Operate:
    """The operation; while a copy is owed to the same person, a task only stops what it would also erase."""
    return partial(_work, operate, downstream, unit_of_work)


async def _work(
    operate: Operate,
    downstream: Downstream,
    unit_of_work: UnitOfWorkFactory,
    tasks: Sequence[Task],
    save_progress: Checkpoint,
) -> Sequence[Result]:
    erasing = [task for task in tasks if task.tenant is None and ending(downstream, task.details)]
    waiting = await _awaited(unit_of_work, erasing) if erasing else frozenset()
    told = [replace(t, details={**t.details, COPY_FIRST: True}) if t.task_id in waiting else t for t in tasks]
    results = await operate(told, save_progress)
    return [
        _again(task) if task.task_id in waiting and isinstance(result, Receipt) else result
        for task, result in zip(tasks, results, strict=True)
    ]


async def _awaited(unit_of_work: UnitOfWorkFactory, tasks: Sequence[Task]) -> frozenset[UUID]:
    """Those whose subject has a copy to come: also one who has shown nothing here may be the person who has there."""
    async with unit_of_work.pool.acquire() as connection:
        known = await unit_of_work.vault.subject_data(connection, [task.subject_ref for task in tasks])
        marks = {
            task.request_id: Marks.of(
                unit_of_work.vault.keyring, [each for each in known[task.subject_ref].identities if not each.shared]
            )
            for task in tasks
            if task.subject_ref in known
        }
        first = await open_requests.others(connection, marks, _COPIES)
    return frozenset(task.task_id for task in tasks if task.request_id in first)


def _again(task: Task) -> Pending:
    pause = _SOON * 2 ** min(max(task.attempt - 1, 0), _DOUBLED)
    return Pending(task.task_id, min(pause, _SELDOM), copy_first=True)
