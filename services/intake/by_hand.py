"""What a person did in a system that has no way to do it, entered with the request; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from services.intake import deferrals
from services.intake.lifecycle import State
from services.intake.request import Request, Transition
from shared.domain.errors import IllegalTransition
from shared.domain.events import TaskRecorded
from shared.domain.operations import Operation, TaskOutcome, TaskReport

_DONE: Mapping[str, TaskOutcome] = {
    Operation.LOCATE: TaskOutcome.LOCATED,
    Operation.EXPORT: TaskOutcome.EXPORTED,
    Operation.ERASE: TaskOutcome.ERASED,
}
"""What came of it where something was found; of any other operation, that it was amended."""


def record(request: Request, system: str, found: int, changed: int, **detail: JsonValue) -> Transition:
    """A person has done what waits in that system, and looked again; the request goes on where it waited for that.

    Raises:
        IllegalTransition: nothing waits there for a person.
    """
    request.must_be_ours()
    request.must_allow("record_late" if request.state is State.CLOSED else "record")
    todo = next((task for task in request.tasks or () if task.system == system and deferrals.waits_for_hands(task)), None)
    if todo is None:
        raise IllegalTransition(f"nothing in {system} waits to be done by hand")
    outcome = _DONE.get(todo.operation, TaskOutcome.AMENDED) if found else TaskOutcome.NO_MATCH
    done = TaskReport(
        task_id=todo.task_id,
        system=system,
        operation=todo.operation,
        outcome=outcome,
        found=found,
        changed=changed,
        by_hand=True,
    )
    updated = replace(request, tasks=_with(request.tasks or (), done))
    event = TaskRecorded.about(updated, task=done)
    counts: dict[str, JsonValue] = {"outcome": outcome, "found": found, "changed": changed}
    return updated.noted("task.recorded", event, system=system, operation=todo.operation, **counts, **detail)


def _with(tasks: Sequence[TaskReport], done: TaskReport) -> tuple[TaskReport, ...]:
    return tuple(done if task.task_id == done.task_id else task for task in tasks)
