"""Whether a change of what an erasure has left was announced by the last letter, or needs one of its own; pure.

REQ-R7: nothing is kept longer, or on another ground, than people were told without a new notice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from services.intake.request import deferrals
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport

_GONE = frozenset({TaskOutcome.ERASED, TaskOutcome.NO_MATCH})
_Place = tuple[str, str | None, str, bool, bool]
"""A system, a category, by which rule it is kept and whether told by that, and whether anybody knows until when."""


@dataclass(slots=True)
class _Left:
    """How many rows are kept there, until when at the latest, and by which periods."""

    count: int = 0
    last: date = date.min
    periods: set[str | None] = field(default_factory=set)


def announced(before: Iterable[TaskReport] | None, now: Iterable[TaskReport] | None) -> bool:
    """Whether what is left ``now`` follows from what was told ``before``, as time alone lets it go.

    What has a day may go by that day, all of it or a part. Not announced: that a hold or a state has ended which had no
    day, another ground, another period, a later day, more rows; that an erasure did not succeed, or did after all.
    """
    old, new = _erasures(before), _erasures(now)
    told, left = _left(old), _left(new)
    return (
        _failed(old) == _failed(new)
        and all(task.outcome in _GONE for task in new if _was_kept(task, old) and not deferrals.is_kept(task))
        and left.keys() <= told.keys()
        and all(_follows(each, left.get(place), dated=place[-1]) for place, each in told.items())
    )


def _erasures(tasks: Iterable[TaskReport] | None) -> list[TaskReport]:
    return [task for task in tasks or () if task.operation == Operation.ERASE]


def _failed(tasks: Iterable[TaskReport]) -> set[str]:
    return {task.system for task in tasks if deferrals.is_kept(task) and task.failure}


def _was_kept(task: TaskReport, before: Iterable[TaskReport]) -> bool:
    return any(each.system == task.system and deferrals.is_kept(each) for each in before)


def _follows(told: _Left, left: _Left | None, *, dated: bool) -> bool:
    if left is None:
        return dated
    if dated:
        return told.periods == left.periods and left.last <= told.last and left.count <= told.count
    return told == left


def _left(tasks: Iterable[TaskReport]) -> dict[_Place, _Left]:
    left: dict[_Place, _Left] = {}
    for task in filter(deferrals.is_kept, tasks):
        alone = Kept(category=None, rule=task.ground or "not_named", count=task.remaining, last=task.until)
        for each in task.kept or (alone,):
            place = left.setdefault(
                (task.system, each.category, each.rule, each.ground == each.rule, each.last is not None), _Left()
            )
            place.count += each.count
            place.last = max(place.last, each.last or date.min)
            place.periods.add(each.period)
    return left
