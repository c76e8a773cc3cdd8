"""What is told of data that an erasure has left: by category, until when and on which ground; or for now; pure."""

from collections.abc import Iterable, Iterator

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
        yield say("answer.not_erased_yet", system=named_system(task.system))


def _of_kept(task: TaskReport) -> Iterator[Sentence]:
    ground, system, until = Term("ground", task.ground or ""), task.system, task.until
    match task.outcome:
        case TaskOutcome.RETAINED if task.kept:
            for kept in task.kept:  # "until then", "for that reason" are of what was said just before
                yield _of_category(system, kept)
                yield from _of_restricted(system, kept)
            if any(kept.period for kept in task.kept):
                yield say("answer.kept_reduced", system=named_system(system))
        case TaskOutcome.RETAINED if is_held_unseen(task):
            yield say("answer.kept_unseen", system=named_system(system), ground=ground)
        case TaskOutcome.RETAINED if until:
            yield say("answer.kept_until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.RETAINED:
            yield say("answer.kept", system=named_system(system), ground=ground)
        case TaskOutcome.NO_LONGER_HELD if deferrals.is_out_of_reach(task):
            yield say("answer.out_of_reach", system=named_system(system), ground=ground)
        case TaskOutcome.ERASED | TaskOutcome.NO_MATCH if until:
            yield say("answer.was_kept_until", system=named_system(system), until=until, ground=ground)
        case TaskOutcome.ERASED if task.ground:
            yield say("answer.was_kept", system=named_system(system), ground=ground)
        case _:
            return


def _of_restricted(system: str, kept: Kept) -> Iterator[Sentence]:
    """Of what a legal hold keeps, how much is used for nothing else meanwhile."""
    if kept.restricted:
        yield say("answer.kept_restricted", system=named_system(system), count=kept.restricted, kept=kept.count)


def is_held_unseen(task: TaskReport) -> bool:
    """Whether a legal hold kept a system from being asked, and nothing was located there: nobody has looked."""
    said = task.found or task.until or task.kept or task.reported
    return task.outcome == TaskOutcome.RETAINED and task.ground == LEGAL_HOLD and not said


def laws(tasks: Iterable[TaskReport] | None) -> Listed:
    """Why the law allows it that data are kept, each reason once."""
    rules = {kept.ground for task in tasks or () for kept in task.kept or ()}
    rules |= {task.ground for task in tasks or () if deferrals.is_kept(task) and task.ground and not task.kept}
    return Listed(tuple(Term("law", rule) for rule in sorted(rules)))


def _of_category(system: str, kept: Kept) -> Sentence:
    facts: dict[str, Fact] = {"system": named_system(system), "count": kept.count}
    facts["ground"], facts["category"] = Term("ground", kept.ground), Term("category", kept.category or "record")
    if kept.period and kept.first is None:
        return say("answer.kind_kept_undated", **facts)
    if kept.first is None or kept.last is None:
        return say("answer.kind_kept", **facts)
    if kept.first == kept.last:
        return say("answer.kind_kept_until", until=kept.last, **facts)
    return say("answer.kind_kept_by_and_by", first=kept.first, last=kept.last, **facts)
