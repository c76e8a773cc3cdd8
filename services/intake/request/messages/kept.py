"""What is told of data that an erasure has left: each reason once, until when and on which ground; or for now; pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby

from services.intake.request import deferrals
from services.intake.request.stored_request import StoredRequest
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, TaskOutcome, TaskReport, Unsearched
from shared.domain.sentences import Fact, Listed, Sentence, Term, named_system, named_systems, say

_LEFT_OUT = frozenset({Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NUMBER_WITHOUT_PERIOD})
"""Why something was not searched that is not asked for by whoever leaves the number out."""


def of_kept_for_the_rest(request: StoredRequest) -> Iterator[Sentence]:
    """What is kept, until when, and how to have it erased all the same."""
    systems = deferrals.kept_for_the_rest(request.tasks)
    if not systems:
        return
    yield say("answer.kept_for_the_rest", systems=named_systems(systems))
    if all(task.not_searched in _LEFT_OUT for task in request.tasks or () if task.not_searched):
        yield say("answer.erase_all_the_same")


def of_kept(task: TaskReport) -> Iterator[Sentence]:
    """What a subject is told of a system that keeps data, kept it until it was erased, or is gone; else nothing."""
    yield from _of_kept(task)
    if deferrals.is_kept(task) and task.failure:
        yield say("kept.not_erased_yet", system=named_system(task.system))


def _of_kept(task: TaskReport) -> Iterator[Sentence]:
    ground, system, until = Term("ground", task.ground or ""), task.system, task.until
    match task.outcome:
        case TaskOutcome.RETAINED if task.kept:
            for _, kept in groupby(sorted(task.kept, key=_reason), key=_reason):
                yield from _of_one_reason(system, [*kept])
            if any(kept.period for kept in task.kept):
                yield say("kept.reduced", system=named_system(system))
        case TaskOutcome.RETAINED if is_held_unseen(task):
            yield say("kept.unseen", system=named_system(system), ground=ground)
        case TaskOutcome.RETAINED if until:
            yield say("kept.until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.RETAINED:
            yield say("kept.open", system=named_system(system), ground=ground)
        case TaskOutcome.NO_LONGER_HELD if deferrals.is_out_of_reach(task):
            yield say("answer.out_of_reach", system=named_system(system), ground=ground)
        case TaskOutcome.ERASED | TaskOutcome.NO_MATCH if until:
            yield say("answer.was_kept_until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.ERASED if task.ground:
            yield say("answer.was_kept", system=named_system(system), ground=ground)
        case _:
            return


def _reason(kept: Kept) -> tuple[str, date, date, bool]:
    """The ground and the days: what is kept for the same reason is told together."""
    return (kept.ground, kept.first or date.max, kept.last or date.max, bool(kept.period))


def is_held_unseen(task: TaskReport) -> bool:
    """Whether a legal hold kept a system from being asked, and nothing was located there: nobody has looked."""
    said = task.found or task.until or task.kept or task.reported
    return task.outcome == TaskOutcome.RETAINED and task.ground == LEGAL_HOLD and not said


def _of_one_reason(system: str, every: Sequence[Kept]) -> Iterator[Sentence]:
    first, count = every[0], sum(kept.count for kept in every)
    kinds = Counter[str]()
    for kept in every:
        kinds[kept.category or "record"] += kept.count
    named: list[Fact] = [Term("category", name) for name in kinds]
    if len(kinds) > 1:
        named = [say("work.kind", category=Term("category", name), found=rows) for name, rows in kinds.items()]
    facts: dict[str, Fact] = {"system": named_system(system), "count": count, "ground": Term("ground", first.ground)}
    facts["category"] = Listed(tuple(named), final=False)
    if first.first is None or first.last is None:
        yield say("kept.kind_undated" if first.period else "kept.kind", **facts)
    elif first.first == first.last:
        yield say("kept.kind_until", until=first.last, **facts)
    else:
        yield say("kept.kind_by_and_by", first=first.first, last=first.last, **facts)
    if restricted := sum(kept.restricted or 0 for kept in every):
        key = "kept.restricted" if restricted < count else "kept.all_restricted"
        yield say(key, system=named_system(system), count=restricted)
