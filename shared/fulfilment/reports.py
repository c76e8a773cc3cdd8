"""Reports what is done and what is not when a request is answered in part, or withdrawn."""

from collections.abc import Collection, Sequence
from uuid import UUID

from shared.domain.events import AnswerDecided, FulfilmentReported
from shared.domain.operations import ANSWERING, PREPARING, TaskOutcome, TaskReport
from shared.fulfilment import store
from shared.fulfilment.store import Completed
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


def undone(done: Completed) -> tuple[str, ...]:
    """The systems in which something failed, was not searched completely, was never begun, or is out of reach."""
    return tuple(sorted({r.system for r in done.reports if _is_undone(r)}))


def _is_undone(report: TaskReport) -> bool:
    gone = report.outcome == TaskOutcome.NO_LONGER_HELD and report.operation not in PREPARING
    return gone or not report.outcome or bool(report.failure or report.not_searched)


async def decided(events: Sequence[AnswerDecided], tx: UnitOfWork) -> list[tuple[AnswerDecided, Completed | None]]:
    """Reports what is done of these requests; cancels the rest where nothing is owed."""
    found = await so_far(tx, [event.request_id for event in events])
    await store.cancel(tx, [event.request_id for event in events if not event.owed])
    return [(event, found.get(event.request_id)) for event in events]


async def answer(events: Sequence[AnswerDecided], tx: UnitOfWork) -> None:
    """Publishes what is done, for an answer that was approved."""
    for event, done in await decided(events, tx):
        publish(tx, event, done)


def publish(tx: UnitOfWork, event: AnswerDecided, done: Completed | None, package_id: UUID | None = None) -> None:
    """Says what is done of a request; where its work never began, that nothing is."""
    if done is not None:
        tx.publish(done.reported(package_id))
    else:
        never = {"request_id": event.request_id, "occurred_at": tx.now, "right": event.right, "tasks": ()}
        tx.publish(FulfilmentReported.model_validate(never | {"operation": "", "outcome": event.outcome}))


async def publish_again(tx: UnitOfWork, ids: Collection[UUID]) -> None:
    """Says what is done of fulfilments that were called off, after something that was in hand has ended."""
    requests = await tx.connection.fetch(
        "SELECT DISTINCT request_id FROM fulfilment WHERE fulfilment_id = ANY($1)", [*ids]
    )
    for done in (await so_far(tx, [row[0] for row in requests])).values():
        if done.fulfilment_id in ids:
            tx.publish(done.reported())


async def publish_so_far(tx: UnitOfWork, ids: Collection[UUID]) -> None:
    """Publishes the immediate tasks that are done, of fulfilments that are blocked or have no such task left.

    The caller has locked them.
    """
    rows = await tx.connection.fetch(_STOPPED_IMMEDIATELY, [*ids])
    if not rows:
        return
    for done in (await so_far(tx, [row[0] for row in rows])).values():
        if done.fulfilment_id in ids:  # a report of another would reset what was approved
            tx.publish(done.reported().model_copy(update={"so_far": True}))


async def so_far(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, Completed]:
    """Returns what is done and what is not, by request; leaves out those whose work has not begun."""
    rows = await tx.connection.fetch(_FULFILMENTS, requests, [*ANSWERING])
    latest = {row[1]: row for row in rows}
    tasks = await tx.connection.fetch(_TASKS, [row[0] for row in latest.values()])
    return {done.request_id: done for done in store.completed([*latest.values()], tasks)}
