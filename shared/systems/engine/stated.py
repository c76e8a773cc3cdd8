"""Stops marketing by stated identities only, where a full search would reach other people; pure.

Those people have not objected, so two people cannot confirm the excess. A person handles what remains in doubt (Art.
21(3)).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from shared.domain.errors import LimitExceeded, WrongPersonMatch
from shared.domain.identities import IdentityType
from shared.domain.operations import Limit, Operation, TaskOutcome, Unsearched
from shared.systems.contract import COPY_FIRST, Checkpoint, NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.protocols import Operate

_REQUESTER: Final = "requester"


def with_own_alone(operate: Operate, system: Downstream) -> Operate:
    """Returns the operation; a stop of marketing that would reach several people uses stated identities only."""
    return partial(_work, operate, system)


async def _work(
    operate: Operate, system: Downstream, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    asked = [_unconfirmed(task) if _stops_alone(task) else task for task in tasks]
    results = [*await operate(asked, save_progress)]
    for narrower in _NARROWER:
        again = {n: narrower(task) for n, task in enumerate(asked) if _stops_alone(task) and _of_others(results[n])}
        able = {n: task for n, task in again.items() if any(each.type in system.needs for each in task.identities)}
        for n in again.keys() - able.keys():
            results[n] = _left(asked[n])
        if able:
            for n, result in zip(able, await operate([*able.values()], save_progress), strict=True):
                results[n] = _in_part(asked[n], result)
    return results


def _stops_alone(task: Task) -> bool:
    """Whether it stops marketing, or locates for that, and erases nothing."""
    erases = bool(task.details.get("ends")) and COPY_FIRST not in task.details
    return task.stops_marketing and not task.repair and not erases


def _unconfirmed(task: Task) -> Task:
    """Drops a confirmed number of people: the others have not objected."""
    return replace(task, confirmed={k: n for k, n in task.confirmed.items() if k != Limit.MAX_PEOPLE})


def _stated_alone(task: Task) -> Task:
    return replace(task, identities=tuple(i for i in task.identities if i.source == _REQUESTER))


def _reached_by(task: Task) -> Task:
    stated = (i for i in task.identities if i.source == _REQUESTER)
    return replace(task, identities=tuple(i for i in stated if i.type is not IdentityType.ACCOUNT_ID))


_NARROWER: Final[Sequence[Callable[[Task], Task]]] = (_stated_alone, _reached_by)


def _of_others(result: Result) -> bool:
    """Whether the search has met other people."""
    several = isinstance(result, LimitExceeded) and result.exceeded and result.exceeded.limit is Limit.MAX_PEOPLE
    return bool(several) or isinstance(result, WrongPersonMatch)


def _left(task: Task) -> Result:
    """Returns the result where no identity is left to search by; a person finds the rest."""
    if task.operation is Operation.LOCATE:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    return NotSearched(task.task_id, Unsearched.SHARED_IDENTIFIER)


def _in_part(task: Task, result: Result) -> Result:
    """Returns the result for stated identities; a person handles rows shared with others."""
    partly = task.operation is not Operation.LOCATE and isinstance(result, Receipt)
    if not partly or not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
        return result
    return replace(result, not_searched=Unsearched.SHARED_IDENTIFIER)
