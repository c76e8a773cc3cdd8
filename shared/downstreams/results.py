"""One result for each task, from what was found for some and why nothing was for others; pure."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from shared.domain.errors import Refused, Unavailable
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import NotSearched, Receipt, Result, Task

Found = TypeVar("Found")


def of_whom_found(found: Mapping[UUID, Found | NotSearched | Unavailable | Refused]) -> dict[UUID, Found]:
    """What was found, of those tasks for which anything was and nothing failed."""
    return {
        task_id: theirs
        for task_id, theirs in found.items()
        if not isinstance(theirs, NotSearched | Unavailable | Refused) and theirs
    }


async def where_held(
    tasks: Sequence[Task], fields: Collection[str], correct: Callable[[Sequence[Task]], Awaitable[Sequence[Result]]]
) -> list[Result]:
    """Corrections of a system that has these fields: a task that is about none of them is no task here."""
    held = [task for task in tasks if not task.changes or any(change.field in fields for change in task.changes)]
    results = dict(zip((task.task_id for task in held), await correct(held) if held else (), strict=True))
    return [results.get(task.task_id) or Receipt(task.task_id, TaskOutcome.NOT_HELD) for task in tasks]


def of_corrections(task: Task, counts: Mapping[str, int], shown: Sequence[int], found: int) -> Receipt:
    """What came of a task's changes, each ``shown`` now by so many records; ``found``: how many are the subject's."""
    changed = Receipt.counted(task, TaskOutcome.AMENDED, counts)
    if changed.found:
        return replace(changed, corrected=tuple(shown))
    if not (found or any(shown)):
        return changed
    outcome = TaskOutcome.AMENDED if any(shown) else TaskOutcome.UNCHANGED
    return Receipt(task.task_id, outcome, found=max(found, *shown), corrected=tuple(shown))


def per_task(
    tasks: Sequence[Task],
    found: Mapping[UUID, Found | NotSearched | Unavailable | Refused],
    decide: Callable[[Task, Found], Result],
) -> list[Result]:
    """One result for each task: its failure, ``no_match`` where nothing was found, else what ``decide`` says."""
    results: list[Result] = []
    for task in tasks:
        match found[task.task_id]:
            case NotSearched() | Unavailable() | Refused() as failure:
                results.append(failure)
            case theirs if not theirs:
                results.append(Receipt(task.task_id, TaskOutcome.NO_MATCH))
            case theirs:
                results.append(decide(task, theirs))
    return results
