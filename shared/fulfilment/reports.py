"""Reports what is done and what is not when a request is answered in part, or withdrawn."""

from collections.abc import Collection, Sequence
from uuid import UUID

from shared.domain.events import AnswerDecided, FulfilmentReported
from shared.domain.operations import ANSWERING, PREPARING, TaskOutcome, TaskReport
from shared.fulfilment import store
from shared.fulfilment.store import FulfilmentResult
from shared.messaging.unit_of_work import UnitOfWork

# Locked, so that nothing is concluded between what is said and what is stopped. The latest counts: a request that was
# reopened has another one.
_FULFILMENTS = """
SELECT fulfilment_id, request_id, subject_ref, "right", operation, details FROM fulfilment
WHERE request_id = ANY($1) AND operation = ANY($2) AND NOT details ?| '{repair,deferred,meanwhile}'::text[]
ORDER BY fulfilment_id FOR UPDATE
"""
# Of what was called off, only what no other task has taken the place of.
_TASKS = """
SELECT fulfilment_id, task_id, system, operation, CASE state WHEN 'done' THEN receipt END,
       CASE WHEN state IN ('failed', 'cancelled') THEN failure END, why
FROM task t WHERE fulfilment_id = ANY($1) AND NOT observes AND (operation <> 'plan' OR state = 'failed')
  AND (state <> 'cancelled' OR NOT EXISTS (
    SELECT 1 FROM task other WHERE other.fulfilment_id = t.fulfilment_id AND other.system = t.system
       AND other.operation = t.operation AND (other.state <> 'cancelled' OR other.task_id > t.task_id)))
  AND NOT (immediate AND (state <> 'done' OR EXISTS (
    SELECT 1 FROM task next WHERE next.fulfilment_id = t.fulfilment_id AND next.system = t.system
       AND next.operation = t.operation AND NOT next.immediate AND next.state = 'done')))
ORDER BY stage, system
"""
_STOPPED_IMMEDIATELY = """
SELECT request_id FROM fulfilment f
WHERE fulfilment_id = ANY($1) AND (state = 'blocked' OR state = 'open' AND NOT EXISTS (
    SELECT FROM task t WHERE t.fulfilment_id = f.fulfilment_id AND t.immediate AND t.state IN ('ready', 'leased')))
"""


def unfinished_systems(done: FulfilmentResult) -> tuple[str, ...]:
    """Returns the systems in which a task failed, has not begun, or searched only in part."""
    return tuple(sorted({r.system for r in done.reports if _is_unfinished(r)}))


def _is_unfinished(report: TaskReport) -> bool:
    no_longer_held = report.outcome == TaskOutcome.NO_LONGER_HELD and report.operation not in PREPARING
    return no_longer_held or not report.outcome or bool(report.failure or report.not_searched)


async def results_of_decided(
    events: Sequence[AnswerDecided], tx: UnitOfWork
) -> list[tuple[AnswerDecided, FulfilmentResult | None]]:
    """Reports what is done of these requests; cancels the rest where nothing is owed."""
    found = await results_so_far(tx, [event.request_id for event in events])
    await store.cancel(tx, [event.request_id for event in events if not event.owed])
    return [(event, found.get(event.request_id)) for event in events]


async def publish_answered(events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Publishes what is done, for an answer that was approved."""
    for event, done in await results_of_decided(events, tx):
        publish(tx, event, done)


def publish(
    tx: UnitOfWork, event: AnswerDecided, done: FulfilmentResult | None, package_id: UUID | None = None
) -> None:
    """Publishes the results of a request so far; none if its work never began."""
    if done is not None:
        tx.publish(done.report_event(package_id))
    else:
        not_begun = {"request_id": event.request_id, "occurred_at": tx.now, "right": event.right, "tasks": ()}
        tx.publish(FulfilmentReported.model_validate(not_begun | {"operation": "", "outcome": event.outcome}))


async def publish_again(tx: UnitOfWork, ids: Collection[UUID]) -> None:
    """Publishes the results of cancelled fulfilments again, after a running task has ended."""
    requests = await tx.connection.fetch(
        "SELECT DISTINCT request_id FROM fulfilment WHERE fulfilment_id = ANY($1)", [*ids]
    )
    for done in (await results_so_far(tx, [row[0] for row in requests])).values():
        if done.fulfilment_id in ids:
            tx.publish(done.report_event())


async def publish_so_far(tx: UnitOfWork, ids: Collection[UUID]) -> None:
    """Publishes the immediate tasks that are done, of fulfilments that are blocked or have no such task left.

    The caller has locked them.
    """
    rows = await tx.connection.fetch(_STOPPED_IMMEDIATELY, [*ids])
    if not rows:
        return
    for done in (await results_so_far(tx, [row[0] for row in rows])).values():
        if done.fulfilment_id in ids:  # a report of another would reset what was approved
            tx.publish(done.report_event().model_copy(update={"so_far": True}))


async def results_so_far(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, FulfilmentResult]:
    """Returns the results so far, by request; leaves out requests whose work has not begun."""
    rows = await tx.connection.fetch(_FULFILMENTS, requests, [*ANSWERING])
    latest = {row[1]: row for row in rows}
    tasks = await tx.connection.fetch(_TASKS, [row[0] for row in latest.values()])
    return {done.request_id: done for done in store.fulfilment_results([*latest.values()], tasks)}
