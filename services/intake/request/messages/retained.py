"""Says which data an erasure has left, until when and why, and whether the last letter said so; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby

from services.intake.request import deferrals
from services.intake.request.stored_request import StoredRequest
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.sentences import Fact, FactList, Sentence, Term, named_system, named_systems, say

_LEFT_OUT = frozenset({Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NUMBER_WITHOUT_PERIOD})
"""Reasons why something was not searched that a requester who leaves the number out does not ask for."""


def deferred_sentences(request: StoredRequest) -> Iterator[Sentence]:
    """Builds sentences about kept data: until when, and how to have it erased all the same."""
    systems = deferrals.deferred_systems(request.tasks)
    if not systems:
        return
    yield say("answer.kept_for_the_rest", systems=named_systems(systems))
    if all(task.not_searched in _LEFT_OUT for task in request.tasks or () if task.not_searched):
        yield say("answer.erase_all_the_same")


def retained_sentences(task: TaskReport) -> Iterator[Sentence]:
    """Yields sentences about a system that keeps data, kept it until it was erased, or is gone; else none."""
    yield from _retained_sentences(task)
    if deferrals.is_retained(task) and task.failure:
        yield say("kept.not_erased_yet", system=named_system(task.system))


def _retained_sentences(task: TaskReport) -> Iterator[Sentence]:
    ground, system, until = Term("ground", task.ground or ""), task.system, task.until
    match task.outcome:
        case TaskOutcome.RETAINED if task.kept:
            for _, retained in groupby(sorted(task.kept, key=_reason), key=_reason):
                yield from _of_one_reason(system, [*retained])
            if any(retained.period for retained in task.kept):
                yield say("kept.reduced", system=named_system(system))
        case TaskOutcome.RETAINED if is_retained_unseen(task):
            yield say("kept.unseen", system=named_system(system), ground=ground)
        case TaskOutcome.RETAINED if until:
            yield say("kept.until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.RETAINED:
            yield say("kept.open", system=named_system(system), ground=ground)
        case TaskOutcome.NO_LONGER_HELD if deferrals.is_unreachable(task):
            yield say("answer.out_of_reach", system=named_system(system), ground=ground)
        case TaskOutcome.ERASED | TaskOutcome.NO_MATCH if until:
            yield say("answer.was_kept_until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.ERASED if task.ground:
            yield say("answer.was_kept", system=named_system(system), ground=ground)
        case _:
            return


def _reason(retained: Kept) -> tuple[str, date, date, bool]:
    """Returns the ground and the days: what is kept for the same reason is reported together."""
    return (retained.ground, retained.first or date.max, retained.last or date.max, bool(retained.period))


def is_retained_unseen(task: TaskReport) -> bool:
    """Whether a legal hold kept a system from being searched, and nothing was located there."""
    said = task.found or task.until or task.kept or task.reported
    return task.outcome == TaskOutcome.RETAINED and task.ground == LEGAL_HOLD and not said


def _of_one_reason(system: str, every: Sequence[Kept]) -> Iterator[Sentence]:
    first, count = every[0], sum(retained.count for retained in every)
    kinds = Counter[str]()
    for retained in every:
        kinds[retained.category or "record"] += retained.count
    named: list[Fact] = [Term("category", name) for name in kinds]
    if len(kinds) > 1:
        named = [say("work.kind", category=Term("category", name), found=rows) for name, rows in kinds.items()]
    facts: dict[str, Fact] = {"system": named_system(system), "count": count, "ground": Term("ground", first.ground)}
    facts["category"] = FactList(tuple(named), final=False)
    if first.first is None or first.last is None:
        yield say("kept.kind_undated" if first.period else "kept.kind", **facts)
    elif first.first == first.last:
        yield say("kept.kind_until", until=first.last, **facts)
    else:
        yield say("kept.kind_by_and_by", first=first.first, last=first.last, **facts)
    if restricted := sum(retained.restricted or 0 for retained in every):
        key = "kept.restricted" if restricted < count else "kept.all_restricted"
        yield say(key, system=named_system(system), count=restricted)


_GONE = frozenset({TaskOutcome.ERASED, TaskOutcome.NO_MATCH})
_Place = tuple[str, str | None, str, bool, bool]
"""A system, a category, the rule that keeps it, whether the letter names that rule, and whether its end is known."""


@dataclass(slots=True)
class _Retained:
    """Counts the kept rows, with the latest end and the periods."""

    count: int = 0
    last: date = date.min
    periods: set[str | None] = field(default_factory=set)


def was_announced(before: Iterable[TaskReport] | None, now: Iterable[TaskReport] | None) -> bool:
    """Whether what is left ``now`` follows from what was reported ``before``, as time alone lets it go.

    What has a day may go by that day, all of it or a part. Not announced: the end of a hold or a state without a day,
    another ground, another period, a later day, or more rows. Nor that an erasure did not succeed, or did after all.
    """
    old, new = _erasures(before), _erasures(now)
    announced, remaining = _retained_counts(old), _retained_counts(new)
    return (
        _failed(old) == _failed(new)
        and all(task.outcome in _GONE for task in new if _was_retained(task, old) and not deferrals.is_retained(task))
        and remaining.keys() <= announced.keys()
        and all(_follows(each, remaining.get(place), dated=place[-1]) for place, each in announced.items())
    )


def _erasures(tasks: Iterable[TaskReport] | None) -> list[TaskReport]:
    return [task for task in tasks or () if task.operation == Operation.ERASE]


def _failed(tasks: Iterable[TaskReport]) -> set[str]:
    return {task.system for task in tasks if deferrals.is_retained(task) and task.failure}


def _was_retained(task: TaskReport, before: Iterable[TaskReport]) -> bool:
    return any(each.system == task.system and deferrals.is_retained(each) for each in before)


def _follows(before: _Retained, remaining: _Retained | None, *, dated: bool) -> bool:
    if remaining is None:
        return dated
    if dated:
        return before.periods == remaining.periods and remaining.last <= before.last and remaining.count <= before.count
    return before == remaining


def _retained_counts(tasks: Iterable[TaskReport]) -> dict[_Place, _Retained]:
    remaining: dict[_Place, _Retained] = {}
    for task in filter(deferrals.is_retained, tasks):
        alone = Kept(category=None, rule=task.ground or "not_named", count=task.remaining, last=task.until)
        for each in task.kept or (alone,):
            place = remaining.setdefault(
                (task.system, each.category, each.rule, each.ground == each.rule, each.last is not None), _Retained()
            )
            place.count += each.count
            place.last = max(place.last, each.last or date.min)
            place.periods.add(each.period)
    return remaining
