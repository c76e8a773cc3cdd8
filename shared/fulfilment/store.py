"""Stores fulfilments, and derives the outcome of one from the receipts of its tasks."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from uuid import UUID

import asyncpg
from pydantic import JsonValue

from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, FulfilmentReported
from shared.domain.operations import NOTIFICATIONS, PREPARING, Operation, TaskOutcome, TaskReport, missing_corrections
from shared.domain.rights import Outcome, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import open_requests

_COLUMNS = 'fulfilment_id, request_id, subject_ref, "right", operation, details'
_OF_TASKS = (
    "SELECT DISTINCT f.request_id FROM fulfilment f JOIN task t USING (fulfilment_id)"
    " WHERE f.request_id = ANY($1) AND f.operation = $2 AND"
)
# Held, so that nothing of them is decided otherwise meanwhile.
_ENDED = f"""
SELECT {_COLUMNS} FROM fulfilment WHERE fulfilment_id = ANY($1) AND state = $2 ORDER BY fulfilment_id FOR UPDATE
"""  # noqa: S608  # constants
_END = f"UPDATE fulfilment SET state = $2 WHERE fulfilment_id = ANY($1) RETURNING {_COLUMNS}"  # noqa: S608  # constants
FULFILMENT = (
    *("fulfilment_id", "request_id", "subject_ref", "right", "operation", "details"),
    *("due_on", "searches", "state", "traceparent", "opened_at", "confirmed", "tenant"),
)
"""The columns of a fulfilment that is opened."""


class FulfilmentState(StrEnum):
    """The state of a fulfilment; one that is ``BLOCKED`` waits for a decision."""

    OPEN = "open"
    BLOCKED = "blocked"
    COMPLETE = "complete"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewFulfilment:
    """A request for which work may begin, on all systems or on some.

    ``details`` never holds personal data. ``searches``: false for a notification about the request alone, which
    works without the subject's key. ``tenant``: the customer whose instruction it is, the same for each of a request.
    """

    request_id: UUID
    subject_ref: UUID
    right: Right
    operation: Operation
    due_on: date
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    systems: frozenset[str] | None = None
    searches: bool = True
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class FulfilmentResult:
    """A fulfilment and the reports of its tasks: every task is done, or the reports are those so far."""

    fulfilment_id: UUID
    request_id: UUID
    subject_ref: UUID
    right: Right
    operation: Operation
    details: Mapping[str, JsonValue]
    reports: tuple[TaskReport, ...]

    @property
    def deferred(self) -> bool:
        """Whether it was deferred, while data had to be kept."""
        return bool(self.details.get("deferred"))

    @property
    def repair(self) -> bool:
        """Whether it only repairs a difference that reconciliation found; no request waits for it."""
        return bool(self.details.get("repair"))

    @property
    def returned(self) -> bool:
        """Whether it stops marketing again for a person who is on the suppression list."""
        return bool(self.details.get("returned"))

    @property
    def outcome(self) -> Outcome:
        """The outcome of the receipts."""
        return outcome_of(self.reports)

    def event(self, package_id: UUID | None = None) -> FulfilmentCompleted:
        """Returns its completion as an event."""
        return FulfilmentCompleted.about(self, tasks=self.reports, package_id=package_id)

    def report_event(self, package_id: UUID | None = None) -> FulfilmentReported:
        """Returns its state as an event, for an answer before all is done."""
        return FulfilmentReported.about(self, tasks=self.reports, package_id=package_id)


Postpone = Callable[[UnitOfWork, Sequence[FulfilmentResult]], Awaitable[set[UUID]]]
"""Returns which fulfilments must wait for other requests of the same person, and publishes it."""
Conclude = Callable[[Sequence[FulfilmentResult], UnitOfWork], Awaitable[None]]
"""Does what a service does when fulfilments are complete."""


def outcome_of(reports: Iterable[TaskReport]) -> Outcome:
    """Returns the outcome of all receipts; kept, unreachable or uncorrected data make it partial.

    Nothing anywhere is ``no_data``.
    """
    known = tuple(reports)
    outcomes = {report.outcome for report in known if report.operation not in PREPARING}
    if outcomes & {TaskOutcome.RETAINED, TaskOutcome.NO_LONGER_HELD}:
        return Outcome.PARTIALLY_FULFILLED
    if outcomes <= {TaskOutcome.NO_MATCH, TaskOutcome.NOT_HELD}:
        return Outcome.NO_DATA
    return Outcome.PARTIALLY_FULFILLED if missing_corrections(known) else Outcome.FULFILLED


async def cancel(tx: UnitOfWork, requests: Sequence[UUID]) -> None:
    """Cancels fulfilments of withdrawn requests; a running task ends, and nothing follows it."""
    # Fulfilments first, tasks second, as in `fan_in`: two orders would be a deadlock.
    rows = await tx.connection.fetch(
        "UPDATE fulfilment SET state = 'cancelled' WHERE request_id = ANY($1) AND state IN ('open', 'blocked')"
        " RETURNING fulfilment_id, request_id, operation",
        requests,
    )
    await cancel_tasks(tx, [row[0] for row in rows])
    for _, request_id, operation in rows:
        tx.log_evidence(request_id, "fulfilment.cancelled", {"operation": operation})


async def lock_fulfilments(tx: UnitOfWork, ids: Collection[UUID]) -> set[UUID]:
    """Locks fulfilments whose tasks are to be concluded, in one order; returns those that were withdrawn before.

    Fulfilments first, tasks second: two orders would be a deadlock. Neither a worker nor a person waits for a task of a
    withdrawn one any more.
    """
    rows = await tx.connection.fetch(
        "SELECT fulfilment_id, state FROM fulfilment WHERE fulfilment_id = ANY($1) ORDER BY fulfilment_id FOR UPDATE",
        list(ids),
    )
    withdrawn = {row[0] for row in rows if row[1] == FulfilmentState.CANCELLED}
    if withdrawn:
        await cancel_tasks(tx, withdrawn)
    return withdrawn


async def cancel_tasks(tx: UnitOfWork, ids: Collection[UUID]) -> None:
    """Cancels the tasks of these fulfilments that are not leased."""
    await tx.connection.execute(
        "UPDATE task SET state = 'cancelled' WHERE fulfilment_id = ANY($1) AND state IN ('waiting', 'ready', 'failed')",
        list(ids),
    )


async def tried(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Returns the requests for which this was tried at least once, so that a system may know of it."""
    return {row[0] for row in await tx.connection.fetch(f"{_OF_TASKS} t.attempt > 0", requests, operation)}


async def being_worked(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Returns the requests for which a worker is doing it now."""
    return {row[0] for row in await tx.connection.fetch(f"{_OF_TASKS} t.state = 'leased'", requests, operation)}


async def end(tx: UnitOfWork, ids: Sequence[UUID], state: FulfilmentState) -> list[FulfilmentResult]:
    """Ends fulfilments in that state, which the caller holds; returns what is known of their tasks."""
    rows = await tx.connection.fetch(_END, ids, state)
    return await _with_tasks(tx, sorted(rows, key=lambda row: row["fulfilment_id"]))


async def lock_ended(tx: UnitOfWork, ids: Sequence[UUID], state: FulfilmentState) -> list[FulfilmentResult]:
    """Returns and holds those of these fulfilments that have ended in that state, with their tasks."""
    return await _with_tasks(tx, await tx.connection.fetch(_ENDED, ids, state))


async def _with_tasks(tx: UnitOfWork, rows: Sequence[asyncpg.Record]) -> list[FulfilmentResult]:
    tasks = await tx.connection.fetch(
        "SELECT fulfilment_id, task_id, t.system, t.operation, receipt, failure, why"
        " FROM task t JOIN fulfilment f USING (fulfilment_id)"
        " WHERE fulfilment_id = ANY($1) AND t.state IN ('done', 'failed', 'waiting') AND NOT observes"
        " AND (t.operation <> 'plan' OR t.state = 'failed' OR f.operation = 'plan')"  # a step that was passed
        " AND NOT (t.immediate AND EXISTS (SELECT FROM task next WHERE next.fulfilment_id = t.fulfilment_id"
        "  AND next.system = t.system AND next.operation = t.operation AND NOT next.immediate AND next.state = 'done'))"
        " ORDER BY stage, system",
        [row[0] for row in rows],
    )
    return fulfilment_results(rows, tasks)


def fulfilment_results(rows: Sequence[asyncpg.Record], tasks: Iterable[asyncpg.Record]) -> list[FulfilmentResult]:
    """Returns fulfilments with the reports of their tasks; unfinished tasks have a failure."""
    reports: dict[UUID, list[TaskReport]] = {row[0]: [] for row in rows}
    for fulfilment_id, task_id, system, operation, receipt, failure, why in tasks:
        undone = {"task_id": task_id, "system": system, "operation": operation, "outcome": None, "failure": failure}
        reports[fulfilment_id].append(TaskReport.model_validate(receipt or undone | (why or {})))
    return [
        FulfilmentResult(row[0], row[1], row[2], Right(row[3]), Operation(row[4]), row[5], tuple(reports[row[0]]))
        for row in rows
    ]


async def complete_all(tx: UnitOfWork, ids: Sequence[UUID], conclude: Mapping[Operation, Conclude]) -> None:
    """Ends fulfilments of which every task is done, and does what follows."""
    done = await end(tx, ids, FulfilmentState.COMPLETE)
    for operation in {completed.operation for completed in done}:
        await conclude[operation]([completed for completed in done if completed.operation is operation], tx)


async def block(tx: UnitOfWork, ids: Sequence[UUID]) -> None:
    """Blocks fulfilments until an officer decides."""
    stopped = await end(tx, ids, FulfilmentState.BLOCKED)
    if erasures := [each.request_id for each in stopped if each.operation is Operation.ERASE and not each.repair]:
        await open_requests.stop(tx.connection, erasures)
    for blocked in stopped:
        if blocked.repair:
            continue  # the task that failed says so, and the next night tries again
        reasons = {report.system: report.failure or report.not_searched for report in blocked.reports}
        failures: JsonValue = {system: reason for system, reason in reasons.items() if reason}
        tx.log_evidence(
            blocked.request_id, "fulfilment.blocked", {"operation": blocked.operation, "failures": failures}
        )
        if blocked.operation in NOTIFICATIONS:
            continue  # what only goes along with a request does not stop it
        tx.publish(FulfilmentBlocked.about(blocked, tasks=blocked.reports))


# Before anything is erased, and again whenever it had stopped; not while it is at work.
_BEFORE_ERASING = """
SELECT f.fulfilment_id, f.request_id, f.subject_ref, f."right", f.operation, f.details FROM fulfilment f
WHERE f.fulfilment_id = ANY($1) AND f.operation = 'erase' AND f.tenant IS NULL
  AND NOT f.details ?| ARRAY['deferred', 'owed', 'repair']
  AND NOT EXISTS (SELECT FROM vault.open_request o WHERE o.request_id = f.request_id AND o.kind = 'erasure'
                  AND NOT o.stopped)
  AND (SELECT t.operation FROM task t
       WHERE t.fulfilment_id = f.fulfilment_id AND t.state IN ('waiting', 'ready', 'failed') AND NOT t.observes
       ORDER BY t.stage LIMIT 1) = 'erase'
"""
_POSTPONE = "UPDATE fulfilment SET state = 'blocked', held = true WHERE fulfilment_id = ANY($1)"
_RETURN_TO_WAITING = (
    "UPDATE task SET state = 'waiting' WHERE fulfilment_id = ANY($1) AND state = 'ready' AND NOT observes"
)


async def wait_for_others(tx: UnitOfWork, postpone: Postpone | None, ids: Sequence[UUID]) -> set[UUID]:
    """Blocks the fulfilments that must wait before they erase the rest; returns them."""
    if postpone is None or not ids:
        return set()
    rows = await tx.connection.fetch(_BEFORE_ERASING, ids)
    postponed = await postpone(tx, fulfilment_results(rows, ())) if rows else set()
    if postponed:
        await tx.connection.execute(_POSTPONE, list(postponed))
        await tx.connection.execute(_RETURN_TO_WAITING, list(postponed))
    return postponed
