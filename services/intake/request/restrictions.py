"""What the reports of a request say of a restriction that it asks for, or that its right brings with it; pure.

A rectification whose accuracy is contested restricts until it is settled (Art. 18(1)(a)), an objection until it is
weighed (Art. 18(1)(d)).
"""

from collections.abc import Iterable

from services.intake.request.summed import kept_from
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right

_SETTLED = frozenset(
    {Outcome.FULFILLED, Outcome.ASSISTED, Outcome.NO_DATA, Outcome.REFUSED, Outcome.WITHDRAWN},
)


def took_effect(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether any system restricts, whether or not it holds a record by now."""
    return any(task.operation == Operation.RESTRICT and _is_done(task) for task in tasks or ())


def found_something(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether a record is restricted, and not only what may come."""
    restricting = [task for task in tasks or () if task.operation == Operation.RESTRICT and _is_done(task)]
    return any(task.found or task.changed or task.uncounted for task in restricting)


def corrections(right: Right, tasks: Iterable[TaskReport] | None) -> tuple[TaskReport, ...]:
    """The reports of what was asked for: of a rectification not those of the restriction that it brings with it."""
    beside = Operation.RESTRICT if right is Right.RECTIFICATION else None
    return tuple(task for task in tasks or () if task.operation != beside)


def with_later(right: Right, before: Iterable[TaskReport] | None, now: Iterable[TaskReport]) -> tuple[TaskReport, ...]:
    """The reports as they are now; of a rectification those of its restriction stay with later ones of the correction.

    Those of the correction stay with later ones of the restriction, where that comes after it. What was changed before
    by other tasks stays on record, whatever has become of the request since.
    """
    later = tuple(now)
    known = {(task.system, task.operation) for task in later}
    of_both = right is Right.RECTIFICATION and all(task.operation != Operation.RECTIFY for task in later)
    stay = [task for task in before or () if of_both or task not in corrections(right, [task])]
    reports = (*(task for task in stay if (task.system, task.operation) not in known), *later)
    return (*kept_from(before, reports), *reports)


def ends_with(right: Right, outcome: Outcome) -> bool:
    """Whether the restriction of a request that closes so ends with it.

    One that was asked for ends when it is withdrawn; one that another right brings with it also when that is refused,
    and a rectification's when it is settled. What is answered in part stays restricted.
    """
    match right:
        case Right.RECTIFICATION:
            return outcome in _SETTLED
        case Right.OBJECTION:
            return outcome in {Outcome.REFUSED, Outcome.WITHDRAWN}
        case _:
            return outcome is Outcome.WITHDRAWN


def _is_done(task: TaskReport) -> bool:
    return task.outcome == TaskOutcome.AMENDED or bool(task.uncounted)
