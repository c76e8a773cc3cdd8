"""Which systems a plan is about today, and its steps as rows of tasks; pure."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import NotSupported
from shared.domain.operations import ANSWERING, PREPARING, Operation
from shared.domain.stages import Stages, Step
from shared.fulfilment.failures import why_of
from shared.fulfilment.queue import TaskState
from shared.fulfilment.store import NewFulfilment
from shared.storage.systems import Standing, SystemState

TaskRow = tuple[object, ...]
TASK = (
    *("task_id", "fulfilment_id", "system", "operation", "stage", "due_on"),
    *("state", "attempt", "not_before", "progress", "observes", "failure", "why"),
    "at_once",
)
"""The columns of a ``TaskRow``."""


def task_row(
    fulfilment_id: UUID, step: Step, stage: int, due_on: date, now: datetime, *, ready: bool, observes: bool = False
) -> TaskRow:
    """A task that is worked as soon as its stage is reached."""
    state = TaskState.READY if ready else TaskState.WAITING
    return (uuid7(), fulfilment_id, *step, stage, due_on, state, 0, now, {}, observes, None, None, False)


def row_at_once(fulfilment_id: UUID, step: Step, due_on: date, now: datetime) -> TaskRow:
    """A task that waits for no stage, and for which none waits."""
    return (uuid7(), fulfilment_id, *step, 0, due_on, TaskState.READY, 0, now, {}, False, None, None, True)


def row_by_hand(
    fulfilment_id: UUID, step: Step, stage: int, due_on: date, now: datetime, *, ready: bool, observes: bool = False
) -> TaskRow:
    """A task that waits for a person as soon as its stage is reached: the system has no way to do it."""
    state = TaskState.FAILED if ready else TaskState.WAITING
    todo = NotSupported(f"{step.system} has no way to {step.operation}: do it there by hand, and enter what was done")
    failed = (todo.code, why_of(todo))
    return (uuid7(), fulfilment_id, *step, stage, due_on, state, 0, now, {}, observes, *failed, False)


def row_not_asked(fulfilment_id: UUID, step: Step, stage: int, due_on: date, now: datetime, *, ready: bool) -> TaskRow:
    """A task that waits for a person: the system cannot be asked for one customer's data and no other's."""
    state = TaskState.FAILED if ready else TaskState.WAITING
    todo = NotSupported(
        f"{step.system} does not tell the data of our customers apart: {step.operation} there by hand what is that"
        " customer's, and enter what was done"
    )
    why = {**why_of(todo), "not_asked": True}
    return (uuid7(), fulfilment_id, *step, stage, due_on, state, 0, now, {}, False, todo.code, why, False)


def rows_observing(
    fulfilment_id: UUID, new: NewFulfilment, stages: Stages, asked: Collection[str], now: datetime
) -> list[TaskRow]:
    """Tasks that ask the systems which only observe, once everything is known that the others yield."""
    if not asked or new.operation not in ANSWERING:
        return []
    number = next(n for n, stage in enumerate(stages) if any(step.operation is new.operation for step in stage))
    steps = [Step(system, Operation.LOCATE) for system in asked]
    ready = number == 0
    return [task_row(fulfilment_id, step, number, new.due_on, now, ready=ready, observes=True) for step in steps]


def stands(known: Mapping[str, Standing], system: str) -> SystemState:
    """Where a system stands; one that comes from no file is on."""
    return known[system].state if system in known else SystemState.ON


def chosen(stages: Stages, systems: Collection[str]) -> Stages:
    """What of these stages is a matter of these systems."""
    of_these = (tuple(step for step in stage if step.system in systems) for stage in stages)
    return tuple(stage for stage in of_these if stage)


def doing(operation: Operation, stages: Stages) -> Stages:
    """These stages, if any system does it in them: where somebody is located alone nothing was done."""
    return stages if any(step.operation is operation for stage in stages for step in stage) else ()


def asked_first(stages: Stages, asked: Collection[str]) -> Stages:
    """These stages in the systems that are asked; last, what a person does in the others, where nobody is located."""
    others = (step for stage in stages for step in stage if step.system not in asked)
    by_hand = tuple(step for step in others if step.operation not in PREPARING)
    return chosen(stages, asked) + ((by_hand,) if by_hand else ())


def only_on(systems: Collection[str], stages: Stages) -> Stages:
    """These stages with what is done on these systems alone, and with what is located anywhere."""
    kept = (tuple(s for s in stage if s.system in systems or s.operation is Operation.LOCATE) for stage in stages)
    return tuple(stage for stage in kept if stage)


def missing(operation: Operation, systems: Collection[str]) -> Stages:
    """What a person will be asked about: nobody works a task of a retired system."""
    return (tuple(Step(system, operation) for system in sorted(systems)),) if systems else ()


def named(stages: Stages) -> JsonValue:
    """The stages as the evidence has them."""
    return [[f"{step.system}:{step.operation}" for step in stage] for stage in stages]
