"""What is told of data that had to be kept when the rest was erased, and of its erasure later (Art. 17(3)); pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from pydantic import JsonValue

from shared.domain.events import TaskReport
from shared.domain.operations import Operation, TaskOutcome

Filed = Mapping[str, object]
"""A task report as it is filed with the request."""


def outcomes(tasks: Iterable[TaskReport]) -> dict[str, JsonValue]:
    """What came of each system: its outcome, or why it failed."""
    return {report.system: report.outcome or report.failure for report in tasks}


def unsearched(tasks: Iterable[Filed] | None) -> bool:
    """Whether a system, or a part of it, could not be searched for the subject."""
    return any(task.get("not_searched") for task in tasks or ())


def is_undone(task: Filed) -> bool:
    """Whether a task failed, could not search everything, or was never begun."""
    begun = task.get("outcome") or task.get("operation") is None
    return not begun or bool(task.get("failure") or task.get("not_searched"))


def retold(filed: Sequence[Filed] | None, tasks: Sequence[TaskReport]) -> list[dict[str, object]]:
    """The reports of a request with those of its deferred erasures in the place of the first ones.

    What is erased now still says on what ground and until when it was kept; what failed is still kept.
    """
    now = {(report.system, report.operation): report for report in tasks}
    told = [_retold(task, now) for task in filed or ()]
    places = {(task["system"], task.get("operation")) for task in told}
    return told + [
        report.model_dump(mode="json", exclude_none=True) for place, report in now.items() if place not in places
    ]


def is_kept(task: Filed) -> bool:
    """Whether a system keeps data of the subject on a ground of the law."""
    return task.get("outcome") == TaskOutcome.RETAINED


def wait(tasks: Iterable[Filed]) -> bool:
    """Whether an erasure waits for a person: it is not done, or nobody knows until when the data are kept."""
    erasures = [task for task in tasks if task.get("operation") == Operation.ERASE]
    return any(is_undone(task) or (is_kept(task) and not task.get("until")) for task in erasures)


def sentence(task: Filed) -> str | None:
    """What a subject is told of one system that keeps data, or kept it until it was erased; None if it kept nothing."""
    ground = str(task.get("ground") or "").replace("_", " ")
    until = f" until {date.fromisoformat(str(task['until'])):%d %B %Y}" if task.get("until") else ""
    match task.get("outcome"):
        case TaskOutcome.RETAINED:
            then = "after that day" if until else "as soon as that no longer applies"
            return f"Kept in {task['system']}{until} because of: {ground}; it is to be erased {then}."
        case TaskOutcome.ERASED | TaskOutcome.NO_MATCH if until:
            return f"What {task['system']} had to keep{until} because of: {ground}, has been erased."
        case TaskOutcome.ERASED if ground:
            return f"What {task['system']} had to keep because of: {ground}, has been erased."
        case _:
            return None


def _retold(task: Filed, now: Mapping[tuple[str, str], TaskReport]) -> dict[str, object]:
    report = now.get((str(task["system"]), str(task.get("operation"))))
    if report is None or not (is_kept(task) or is_undone(task)):
        return dict(task)
    if report.outcome is None:
        return {**task, "failure": report.failure}
    kept_on = () if report.outcome == TaskOutcome.RETAINED else ("ground", "until")
    before = {name: task[name] for name in kept_on if name in task}
    return {**before, **report.model_dump(mode="json", exclude_none=True)}
