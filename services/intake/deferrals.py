"""What the reports of a closed erasure say of data that had to be kept, and of its erasure later (Art. 17(3)); pure."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from shared.domain.events import TaskReport
from shared.domain.operations import Operation, TaskOutcome


def outcomes(tasks: Iterable[TaskReport]) -> dict[str, JsonValue]:
    """What came of each system: its outcome, or why it failed."""
    return {report.system: report.outcome or report.failure for report in tasks}


def is_kept(task: TaskReport) -> bool:
    """Whether a system keeps data of the subject on a ground of the law."""
    return task.outcome == TaskOutcome.RETAINED


def await_a_person(tasks: Iterable[TaskReport]) -> bool:
    """Whether something kept waits for a person: its erasure failed, or nobody knows until when it is kept."""
    return any(is_kept(task) and (task.failure or not task.until) for task in tasks)


def updated(tasks: Iterable[TaskReport], deferred: Iterable[TaskReport]) -> tuple[TaskReport, ...]:
    """The reports of a request with those of its deferred erasures in the place of the first ones.

    What is erased now still says on what ground and until when it was kept; what failed is still kept.
    """
    now = {report.system: report for report in deferred if report.operation == Operation.ERASE}
    return tuple(_updated(task, now) for task in tasks)


def _updated(task: TaskReport, now: Mapping[str, TaskReport]) -> TaskReport:
    report = now.get(task.system)
    if report is None or task.operation != Operation.ERASE or not is_kept(task):
        return task
    if report.outcome is None:
        return task.model_copy(update={"failure": report.failure})
    if is_kept(report):
        return report
    return report.model_copy(update={"ground": report.ground or task.ground, "until": report.until or task.until})
