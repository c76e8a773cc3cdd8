"""Fan-out and fan-in: one request becomes tasks for every downstream, their receipts become one outcome."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, TaskReport
from shared.domain.operations import ACCOMPANYING, Operation, Stages, TaskOutcome
from shared.domain.rights import Outcome, Right
from shared.downstreams.plan import only
from shared.fulfilment.queue import TaskState
from shared.messaging.unit_of_work import UnitOfWork

_UNSEARCHED = """
UPDATE fulfilment f SET state = 'open'
WHERE f.request_id = ANY($1) AND f.state = 'blocked' AND EXISTS (
    SELECT 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.state = 'done' AND t.receipt ? 'not_searched')
RETURNING f.fulfilment_id, f.request_id, f.operation, f.due_on,
          (SELECT max(t.stage) + 1 FROM task t WHERE t.fulfilment_id = f.fulfilment_id),
          (SELECT array_agg(DISTINCT t.system) FROM task t WHERE t.fulfilment_id = f.fulfilment_id)
"""
# What was done in part stays on the report; what it left unsearched is now the matter of the task that follows it.
_SUPERSEDED = """
UPDATE task SET receipt = receipt - 'not_searched',
                state = CASE WHEN state = 'done' AND receipt ->> 'outcome' <> 'not_searched' THEN 'done'
                             ELSE 'cancelled' END
WHERE fulfilment_id = $1 AND (state IN ('waiting', 'failed') OR receipt ? 'not_searched')
"""
# Counted under the lock of the fulfilment, so that of two workers who conclude its last tasks one sees that all are.
_STANDING = """
SELECT f.fulfilment_id, count(*) FILTER (WHERE t.state IN ('ready', 'leased')) AS open,
       count(*) FILTER (WHERE t.state = 'failed' OR t.state = 'done' AND t.receipt ? 'not_searched') AS stuck,
       count(*) FILTER (WHERE t.state = 'waiting') AS waiting
FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.fulfilment_id = ANY($1) AND f.state = 'open' GROUP BY f.fulfilment_id
"""
_READY = """
UPDATE task t SET state = 'ready', failure = NULL, not_before = $2
FROM (SELECT fulfilment_id, min(stage) AS stage FROM task WHERE fulfilment_id = ANY($1) AND state = $3 GROUP BY 1) next
WHERE t.fulfilment_id = next.fulfilment_id AND t.stage = next.stage AND t.state = $3
RETURNING t.system, t.operation
"""


class FulfilmentState(StrEnum):
    """Where a fulfilment stands; one that is ``BLOCKED`` waits for somebody to say how it goes on."""

    OPEN = "open"
    BLOCKED = "blocked"
    COMPLETE = "complete"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewFulfilment:
    """A request for which work may begin, on all systems or on some; ``details`` never holds personal data."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    operation: Operation
    due_on: date
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    systems: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A fulfilment whose every task is done."""

    fulfilment_id: UUID
    request_id: UUID
    subject_ref: UUID
    right: Right
    operation: Operation
    details: Mapping[str, JsonValue]
    reports: tuple[TaskReport, ...]

    @property
    def deferred(self) -> bool:
        """Whether it was put off, for the time in which data had to be kept."""
        return bool(self.details.get("deferred"))

    @property
    def outcome(self) -> Outcome:
        """What the receipts amount to."""
        return outcome_of(self.reports)

    def event(self, package_id: UUID | None = None) -> FulfilmentCompleted:
        """What to say of it on the bus."""
        return FulfilmentCompleted.about(self, tasks=self.reports, package_id=package_id)


Conclude = Callable[[Sequence[Completed], UnitOfWork], Awaitable[None]]
"""What a service does when fulfilments are complete."""


def outcome_of(reports: Iterable[TaskReport]) -> Outcome:
    """One outcome from all receipts: something kept makes it partial, nothing found anywhere makes it ``no_data``."""
    outcomes = {report.outcome for report in reports if report.operation != Operation.LOCATE}
    if TaskOutcome.RETAINED in outcomes:
        return Outcome.PARTIALLY_FULFILLED
    if outcomes <= {TaskOutcome.NO_MATCH}:
        return Outcome.NO_DATA
    return Outcome.FULFILLED


async def open_all(tx: UnitOfWork, new_fulfilments: Sequence[NewFulfilment]) -> None:
    """Opens one task per downstream and stage of each opening; the first stage is ready at once."""
    fulfilments: list[tuple[object, ...]] = []
    tasks: list[tuple[object, ...]] = []
    for new in new_fulfilments:
        stages = tx.plans[new.operation]
        if new.systems is not None:
            stages = only(stages, new.systems, new.operation)
        if not stages:
            raise Misconfigured(f"no downstream system can {new.operation}: declare one")
        fulfilment_id = uuid7()
        fulfilments.append(
            (
                *(fulfilment_id, new.request_id, new.subject_ref, new.right, new.operation, dict(new.details)),
                *(new.due_on, FulfilmentState.OPEN, tx.traces.get(new.request_id), tx.now),
            )
        )
        tasks += _tasks(tx, fulfilment_id, stages, new.due_on)
        tx.log_evidence(new.request_id, "fulfilment.opened", {"operation": new.operation, "stages": _named(stages)})
    await tx.connection.copy_records_to_table("fulfilment", records=fulfilments, columns=_FULFILMENT)
    await tx.connection.copy_records_to_table("task", records=tasks, columns=_TASK)


def _tasks(
    tx: UnitOfWork, fulfilment_id: UUID, stages: Stages, due_on: date, first: int = 0
) -> list[tuple[object, ...]]:
    """One row per task, numbered from stage ``first`` on; those of the first stage are ready at once."""
    for step in stages[0]:
        tx.wake(step.system, step.operation)
    return [
        (
            *(uuid7(), fulfilment_id, step.system, step.operation, first + number, due_on),
            *(TaskState.WAITING if number else TaskState.READY, 0, tx.now, {}),
        )
        for number, stage in enumerate(stages)
        for step in stage
    ]


def _named(stages: Stages) -> JsonValue:
    return [[f"{step.system}:{step.operation}" for step in stage] for stage in stages]


async def fan_in(tx: UnitOfWork, ids: Collection[UUID], conclude: Mapping[Operation, Conclude]) -> None:
    """Moves on those of these fulfilments that have nothing left in their stage: blocked, to the next, or complete."""
    await tx.connection.execute(
        "SELECT 1 FROM fulfilment WHERE fulfilment_id = ANY($1) ORDER BY fulfilment_id FOR UPDATE", list(ids)
    )
    blocked: list[UUID] = []
    onward: list[UUID] = []
    complete: list[UUID] = []
    for fulfilment_id, still_open, stuck, waiting in await tx.connection.fetch(_STANDING, list(ids)):
        if not still_open:
            (blocked if stuck else onward if waiting else complete).append(fulfilment_id)
    if blocked:
        await _block(tx, blocked)
    if onward:
        await _make_ready(tx, onward, TaskState.WAITING)
    if complete:
        await _complete(tx, complete, conclude)


async def retry(tx: UnitOfWork, requests: Sequence[UUID]) -> set[UUID]:
    """Goes on with what is blocked: what failed is tried again; where a system could not be searched, all begins anew.

    More may be known of the subject by now, and what one system yields reaches every other: so everything is searched
    again, by tasks of its own, and what was done before stays on the report. Returns the requests that begin anew.

    Raises:
        Misconfigured: none of the systems is declared any more.
    """
    unsearched = await tx.connection.fetch(_UNSEARCHED, requests)
    for fulfilment_id, request_id, operation, due_on, first, systems in unsearched:
        planned = (tuple(step for step in stage if step.system in systems) for stage in tx.plans[Operation(operation)])
        stages = tuple(stage for stage in planned if stage)
        if not stages:
            raise Misconfigured(f"no downstream system of a blocked request can {operation} any more: declare one")
        await tx.connection.execute(_SUPERSEDED, fulfilment_id)
        tasks = _tasks(tx, fulfilment_id, stages, due_on, first)
        await tx.connection.copy_records_to_table("task", records=tasks, columns=_TASK)
        tx.log_evidence(request_id, "fulfilment.begun_anew", {"operation": operation, "stages": _named(stages)})
    failed = await tx.connection.fetch(
        "UPDATE fulfilment SET state = 'open' WHERE request_id = ANY($1) AND state = 'blocked' RETURNING fulfilment_id",
        requests,
    )
    await _make_ready(tx, [row[0] for row in failed], TaskState.FAILED)
    return {row[1] for row in unsearched}


async def _make_ready(tx: UnitOfWork, ids: Sequence[UUID], state: TaskState) -> None:
    """Makes the tasks of these fulfilments ready that are in that state, those of the first such stage."""
    for system, operation in set(map(tuple, await tx.connection.fetch(_READY, ids, tx.now, state))):
        tx.wake(system, operation)


async def cancel(tx: UnitOfWork, requests: Sequence[UUID]) -> None:
    """Withdraws what has not begun; a task that is being worked ends, and nothing follows it."""
    # Fulfilments first, tasks second, as in `fan_in`: two orders would be a deadlock.
    rows = await tx.connection.fetch(
        "UPDATE fulfilment SET state = 'cancelled' WHERE request_id = ANY($1) AND state IN ('open', 'blocked')"
        " RETURNING fulfilment_id, request_id, operation",
        requests,
    )
    await tx.connection.execute(
        "UPDATE task SET state = 'cancelled' WHERE fulfilment_id = ANY($1) AND state IN ('waiting', 'ready', 'failed')",
        [row[0] for row in rows],
    )
    for _, request_id, operation in rows:
        tx.log_evidence(request_id, "fulfilment.cancelled", {"operation": operation})


async def begun(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Those of the requests for which this was tried at least once, so that a system may know of it."""
    rows = await tx.connection.fetch(
        "SELECT DISTINCT f.request_id FROM fulfilment f JOIN task t USING (fulfilment_id)"
        " WHERE f.request_id = ANY($1) AND f.operation = $2 AND t.attempt > 0",
        requests,
        operation,
    )
    return {row[0] for row in rows}


async def in_hand(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Those of the requests for which a worker is doing it at this moment."""
    rows = await tx.connection.fetch(
        "SELECT DISTINCT f.request_id FROM fulfilment f JOIN task t USING (fulfilment_id)"
        " WHERE f.request_id = ANY($1) AND f.operation = $2 AND t.state = 'leased'",
        requests,
        operation,
    )
    return {row[0] for row in rows}


async def _complete(tx: UnitOfWork, ids: Sequence[UUID], conclude: Mapping[Operation, Conclude]) -> None:
    done = await _end(tx, ids, FulfilmentState.COMPLETE)
    for operation in {completed.operation for completed in done}:
        await conclude[operation]([completed for completed in done if completed.operation is operation], tx)


async def _block(tx: UnitOfWork, ids: Sequence[UUID]) -> None:
    for blocked in await _end(tx, ids, FulfilmentState.BLOCKED):
        reasons = {report.system: report.failure or report.not_searched for report in blocked.reports}
        failures: JsonValue = {system: reason for system, reason in reasons.items() if reason}
        tx.log_evidence(
            blocked.request_id, "fulfilment.blocked", {"operation": blocked.operation, "failures": failures}
        )
        if blocked.operation in ACCOMPANYING:
            continue  # what only goes along with a request does not stop it
        tx.publish(FulfilmentBlocked.about(blocked, tasks=blocked.reports))


async def _end(tx: UnitOfWork, ids: Sequence[UUID], state: FulfilmentState) -> list[Completed]:
    rows = await tx.connection.fetch(
        "UPDATE fulfilment SET state = $2 WHERE fulfilment_id = ANY($1)"
        ' RETURNING fulfilment_id, request_id, subject_ref, "right", operation, details',
        ids,
        state,
    )
    tasks = await tx.connection.fetch(
        "SELECT fulfilment_id, task_id, system, operation, receipt, failure FROM task"
        " WHERE fulfilment_id = ANY($1) AND state IN ('done', 'failed', 'waiting') ORDER BY stage, system",
        ids,
    )
    reports: dict[UUID, list[TaskReport]] = {row[0]: [] for row in rows}
    for fulfilment_id, task_id, system, operation, receipt, failure in tasks:
        undone = {"task_id": task_id, "system": system, "operation": operation, "outcome": None, "failure": failure}
        reports[fulfilment_id].append(TaskReport.model_validate(receipt or undone))
    return [
        Completed(row[0], row[1], row[2], Right(row[3]), Operation(row[4]), row[5], tuple(reports[row[0]]))
        for row in rows
    ]


_FULFILMENT = [
    "fulfilment_id",
    "request_id",
    "subject_ref",
    "right",
    "operation",
    "details",
    "due_on",
    "state",
    "traceparent",
    "opened_at",
]
_TASK = (
    *("task_id", "fulfilment_id", "system", "operation", "stage"),
    *("due_on", "state", "attempt", "not_before", "progress"),
)
