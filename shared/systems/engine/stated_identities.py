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
from shared.systems.protocols import AdapterCall

_REQUESTER: Final = "requester"


def with_stated_identities(operate: AdapterCall, system: Downstream) -> AdapterCall:
    """Returns the operation; a stop of marketing that would reach several people uses stated identities only."""
    return partial(_work, operate, system)


async def _work(
    operate: AdapterCall, system: Downstream, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    first_tasks = [_without_confirmed_people(task) if _only_stops_marketing(task) else task for task in tasks]
    results = [*await operate(first_tasks, save_progress)]
    for narrower in _NARROWER_SEARCHES:
        again = {
            n: narrower(task)
            for n, task in enumerate(first_tasks)
            if _only_stops_marketing(task) and _met_other_people(results[n])
        }
        searchable = {
            n: task for n, task in again.items() if any(each.type in system.needs for each in task.identities)
        }
        for n in again.keys() - searchable.keys():
            results[n] = _nothing_to_search_by(first_tasks[n])
        if searchable:
            for n, result in zip(searchable, await operate([*searchable.values()], save_progress), strict=True):
                results[n] = _searched_in_part(first_tasks[n], result)
    return results


def _only_stops_marketing(task: Task) -> bool:
    """Whether it stops marketing, or locates for that, and erases nothing."""
    erases = bool(task.details.get("ends")) and COPY_FIRST not in task.details
    return task.stops_marketing and not task.repair and not erases


def _without_confirmed_people(task: Task) -> Task:
    """Drops a confirmed number of people: the others have not objected."""
    return replace(task, confirmed={k: n for k, n in task.confirmed.items() if k != Limit.MAX_PEOPLE})


def _by_stated(task: Task) -> Task:
    return replace(task, identities=tuple(i for i in task.identities if i.source == _REQUESTER))


def _by_stated_contacts(task: Task) -> Task:
    stated = (i for i in task.identities if i.source == _REQUESTER)
    return replace(task, identities=tuple(i for i in stated if i.type is not IdentityType.ACCOUNT_ID))


_NARROWER_SEARCHES: Final[Sequence[Callable[[Task], Task]]] = (_by_stated, _by_stated_contacts)


def _met_other_people(result: Result) -> bool:
    """Whether the search has met other people."""
    several = isinstance(result, LimitExceeded) and result.exceeded and result.exceeded.limit is Limit.MAX_PEOPLE
    return bool(several) or isinstance(result, WrongPersonMatch)


def _nothing_to_search_by(task: Task) -> Result:
    """Returns the result where no identity is left to search by; a person finds the rest."""
    if task.operation is Operation.LOCATE:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    return NotSearched(task.task_id, Unsearched.SHARED_IDENTIFIER)


def _searched_in_part(task: Task, result: Result) -> Result:
    """Returns the result for stated identities; a person handles rows shared with others."""
    partly = task.operation is not Operation.LOCATE and isinstance(result, Receipt)
    if not partly or not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
        return result
    return replace(result, not_searched=Unsearched.SHARED_IDENTIFIER)
