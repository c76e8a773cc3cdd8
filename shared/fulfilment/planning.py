"""Shapes the stages of a plan by the systems in use today, and builds its rows of tasks; pure."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import NotSupported
from shared.domain.operations import PREPARING, Operation
from shared.domain.stages import Stages, Step
from shared.fulfilment.failures import why_of
from shared.fulfilment.queue import TaskState
from shared.storage.systems import Standing, SystemState

TaskRow = tuple[object, ...]
TASK: Final = (
    *("task_id", "fulfilment_id", "system", "operation", "stage", "due_on"),
    *("state", "attempt", "not_before", "progress", "observes", "failure", "why"),
    "at_once",
)
"""The columns of a ``TaskRow``."""


def task_row(  # noqa: PLR0913  # the columns of a row
    fulfilment_id: UUID,
    step: Step,
    stage: int,
    due_on: date,
    now: datetime,
    *,
    ready: bool,
    observes: bool = False,
    at_once: bool = False,
    by_hand: Mapping[str, JsonValue] | None = None,
) -> TaskRow:
    """A task that is worked as soon as its stage is reached; ``by_hand``: why it then waits for a person."""
    now_due = TaskState.FAILED if by_hand else TaskState.READY
    state, code = now_due if ready else TaskState.WAITING, NotSupported.code if by_hand else None
    return (uuid7(), fulfilment_id, *step, stage, due_on, state, 0, now, {}, observes, code, by_hand, at_once)


def by_hand(step: Step, *, asks: bool) -> Mapping[str, JsonValue]:
    """Why a person does that step: the system has no way to, or cannot be asked for one customer's data alone."""
    if asks:
        return why_of(
            NotSupported(f"{step.system} has no way to {step.operation}: do it there by hand, and enter what was done")
        )
    return why_of(
        NotSupported(
            f"{step.system} does not tell the data of our customers apart: {step.operation} there by hand what is that"
            " customer's, and enter what was done"
        )
    ) | {"not_asked": True}


def stands(known: Mapping[str, Standing], system: str) -> SystemState:
    """Where a system stands; one that comes from no file is on."""
    return known[system].state if system in known else SystemState.ON


def chosen(stages: Stages, systems: Collection[str], *, located: bool = False) -> Stages:
    """What of these stages is a matter of these systems; ``located``: with what is located anywhere."""

    def of_these(step: Step) -> bool:
        return step.system in systems or (located and step.operation is Operation.LOCATE)

    return _without_empty(tuple(filter(of_these, stage)) for stage in stages)


def doing(operation: Operation, stages: Stages) -> Stages:
    """These stages, if any system does it in them: where somebody is located alone nothing was done."""
    return stages if any(step.operation is operation for stage in stages for step in stage) else ()


def without(operation: Operation, stages: Stages) -> Stages:
    """These stages without the steps of an operation."""
    return _without_empty(tuple(step for step in stage if step.operation is not operation) for stage in stages)


def asked_first(stages: Stages, asked: Collection[str]) -> Stages:
    """These stages in the systems that are asked; last, what a person does in the others, where nobody is located."""
    others = (step for stage in stages for step in stage if step.system not in asked)
    left = tuple(step for step in others if step.operation not in PREPARING)
    return _without_empty((*chosen(stages, asked), left))


def missing(operation: Operation, systems: Collection[str]) -> Stages:
    """What a person will be asked about: nobody works a task of a retired system."""
    return (tuple(Step(system, operation) for system in sorted(systems)),) if systems else ()


def named(stages: Stages) -> JsonValue:
    """The stages as the evidence has them."""
    return [[f"{step.system}:{step.operation}" for step in stage] for stage in stages]


def _without_empty(stages: Iterable[tuple[Step, ...]]) -> Stages:
    return tuple(filter(None, stages))
