"""Reads from the reports of a closed erasure which data is kept, and when it is erased (Art. 17(3)); pure."""

from collections.abc import Iterable

from services.intake.request.reports import past_changes
from shared.domain.errors import LimitExceeded, NotSupported, SeveralPeople, SystemRetired, WrongPersonMatch
from shared.domain.operations import ANSWERING, DONE_BY_HAND, Limit, Operation, TaskOutcome, TaskReport, Unsearched

_NOT_ASKED = DONE_BY_HAND | {Unsearched.NOT_PROVED}
"""Why something is not searched that no other identity of the requester's would mend."""
_NO_NUMBER = frozenset({Unsearched.NO_ACCOUNT, Unsearched.NO_IDENTIFIER})
"""Why something is not searched that no number would mend."""


def unsearched(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether a system, or a part of it, could not be searched for the subject."""
    return any(task.not_searched for task in tasks or ())


def in_conflict(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether systems contradict one another about whose a number was, which only a person can judge."""
    return any(task.not_searched == Unsearched.NUMBER_IN_CONFLICT for task in tasks or ())


def unproved(tasks: Iterable[TaskReport] | None) -> tuple[TaskReport, ...]:
    """Returns the tasks that were not searched because the proof is too weak."""
    return tuple(task for task in tasks or () if task.not_searched == Unsearched.NOT_PROVED)


def unknown(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether a system, or a part of it, could be searched if something else were known."""
    return any(task.not_searched and task.not_searched not in _NOT_ASKED for task in tasks or ())


def by_no_number(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether an account or an address would lead further, and no number would."""
    asked = {task.not_searched for task in tasks or () if task.not_searched and task.not_searched not in _NOT_ASKED}
    return bool(asked) and asked <= _NO_NUMBER


def ambiguous(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether a system has several people who may be the subject, such as a household that shares an address."""
    return any(task.failure == SeveralPeople.code for task in tasks or ())


def answerable(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether other identities of the requester would let more be done."""
    known = tuple(tasks or ())
    return unknown(known) or ambiguous(known)


def is_undone(task: TaskReport) -> bool:
    """Whether a task failed, could not search everything, or was never begun."""
    return not task.outcome or bool(task.failure or task.not_searched)


def undone(tasks: Iterable[TaskReport] | None) -> tuple[str, ...]:
    """Returns the systems in which something failed, was not searched completely, or was never begun."""
    return tuple(sorted({task.system for task in tasks or () if is_undone(task)}))


def changed(tasks: Iterable[TaskReport] | None) -> tuple[str, ...]:
    """Returns the systems in which something was changed that cannot be called undone."""
    return tuple(sorted({task.system for task in tasks or () if task.changed or task.count_unknown}))


def rows_changed(tasks: Iterable[TaskReport] | None) -> int:
    """Counts the changed rows of all systems."""
    return sum(task.changed for task in tasks or () if task.operation in ANSWERING)


def needs_manual_work(task: TaskReport) -> bool:
    """Whether the system cannot do it for one person, or is gone, and no result was entered by hand."""
    by_hand = task.outcome == TaskOutcome.NOT_SEARCHED and task.not_searched in DONE_BY_HAND
    return by_hand or task.failure in {NotSupported.code, SystemRetired.code}


def lift_undone(task: TaskReport) -> bool:
    """Whether a system has not lifted what it restricts, which needs a person."""
    return task.operation == Operation.LIFT and bool(task.failure or not task.outcome)


def may_be_done_by_hand(task: TaskReport) -> bool:
    """Whether one person may enter the result; what a limit, or rows of other people, have stopped takes two."""
    return needs_manual_work(task) or (lift_undone(task) and not task.exceeded)


def finds_other_people(task: TaskReport) -> bool:
    """Whether rows of other people, or that may be theirs, have stopped it."""
    several = task.failure == LimitExceeded.code and task.exceeded and task.exceeded.limit is Limit.MAX_PEOPLE
    return bool(several) or task.failure == WrongPersonMatch.code


def is_unreachable(task: TaskReport) -> bool:
    """Whether two people have recorded what became of the data of a system that is no longer in use."""
    return task.outcome == TaskOutcome.NO_LONGER_HELD and task.operation in ANSWERING


def is_manual_lift(task: TaskReport) -> bool:
    """Whether it is done by hand, or was."""
    return bool(task.by_hand) or needs_manual_work(task)


def has_failed(task: TaskReport) -> bool:
    """Whether it failed in a way that only a person can judge; what is done by hand stops nothing else."""
    return bool(task.failure) and not needs_manual_work(task)


def deferred_systems(tasks: Iterable[TaskReport] | None) -> tuple[str, ...]:
    """Returns the systems in which an erasure waits, since only they lead to what could not be searched."""
    known = tuple(tasks or ())
    if not only_unsearched(known):
        return ()
    return tuple(sorted({t.system for t in known if t.operation == Operation.ERASE and not t.outcome}))


def needs_judgement(task: TaskReport) -> bool:
    """Whether it failed in a way that nothing from the requester can mend."""
    return has_failed(task) and task.failure != SeveralPeople.code


def only_unsearched(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether all that is missing could not be searched, and systems do not contradict one another about that."""
    known = tuple(tasks or ())
    return (
        unsearched(known)
        and not in_conflict(known)
        and not any(task.failure or needs_manual_work(task) for task in known)
    )


def found(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether any system has something of the subject, or something of theirs was done."""
    answering = [task for task in tasks or () if task.operation in ANSWERING]
    return any(task.found or task.changed or task.count_unknown for task in answering)


def is_retained(task: TaskReport) -> bool:
    """Whether a system keeps data of the subject on a ground of the law."""
    return task.outcome == TaskOutcome.RETAINED


def needs_review(tasks: Iterable[TaskReport] | None) -> tuple[str, ...]:
    """Returns the systems in which we look into what is kept, as the letters say.

    Rows say no day from which their period could count; or their day has come, and they are there still.
    """
    undated = (
        task.system
        for task in tasks or ()
        if is_retained(task) and (task.failure or any(each.period and each.first is None for each in task.kept or ()))
    )
    return tuple(sorted({*undated}))


def needs_officer(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether an erasure waits for a person: it is not done, or the end of what is kept is unknown."""
    tasks = tuple(tasks or ())
    erasures = [task for task in tasks if task.operation == Operation.ERASE]
    return any(is_undone(task) or (is_retained(task) and not task.until) for task in erasures) or bool(
        needs_review(tasks)
    )


def updated(tasks: Iterable[TaskReport] | None, deferred: Iterable[TaskReport]) -> tuple[TaskReport, ...]:
    """Returns the reports of a request, with those of its deferred erasures in place of the first ones.

    What is erased now still says on what ground and until when it was kept; what failed is still kept. What the first
    ones had erased stays on record.
    """
    tasks = tuple(tasks or ())
    now = {(report.system, report.operation): report for report in deferred}
    known = {(task.system, task.operation) for task in tasks}
    again = tuple(_updated(task, now.get((task.system, task.operation))) for task in tasks)
    reports = again + tuple(report for place, report in now.items() if place not in known)
    looked = [task for task in tasks if (report := now.get((task.system, task.operation))) and report.outcome]
    return (*past_changes(looked, reports), *reports)


def _updated(task: TaskReport, report: TaskReport | None) -> TaskReport:
    if report is None or not (is_retained(task) or is_undone(task)):
        return task
    if report.outcome is None:
        return task.model_copy(
            update={name: getattr(report, name) for name in ("task_id", "failure", "sentence", "exceeded")}
        )
    if is_retained(report):
        return report
    return report.model_copy(update={"ground": report.ground or task.ground, "until": report.until or task.until})
