"""Subscribes each service that works tasks to the events of a request."""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from pydantic import JsonValue

from shared.domain.events import (
    Event,
    LiftDecided,
    LimitConfirmed,
    RequestExpired,
    RequestExtended,
    RequestRedated,
    RequestVerified,
    RequestWithdrawn,
    RetryRequested,
    TaskRecorded,
)
from shared.domain.operations import DONE_BY_HAND, Operation
from shared.fulfilment import reports
from shared.fulfilment import store as fulfilment
from shared.fulfilment.completion import log_concluded
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Conclude, NewFulfilment, lock_fulfilments, wait_for_others
from shared.messaging.unit_of_work import UnitOfWork

# Fulfilments first, tasks second, as the completion locks them: two orders would be a deadlock.
_LOCK_FULFILMENTS = """
SELECT 1 FROM fulfilment WHERE request_id = ANY($1) AND state IN ('open', 'blocked') ORDER BY fulfilment_id FOR UPDATE
"""
_FULFILMENTS = """
UPDATE fulfilment f SET due_on = m.due_on FROM unnest($1::uuid[], $2::date[]) AS m (request_id, due_on)
WHERE f.request_id = m.request_id AND f.state IN ('open', 'blocked') AND f.due_on <> m.due_on
RETURNING f.fulfilment_id, f.request_id, f.operation, f.due_on
"""
# Who concludes a task holds it before its fulfilment, and gives it the new date then.
_TASKS = """
UPDATE task t SET due_on = f.due_on FROM fulfilment f
WHERE t.task_id IN (SELECT task_id FROM task WHERE fulfilment_id = ANY($1)
                    AND state IN ('waiting', 'ready', 'leased', 'failed') FOR UPDATE SKIP LOCKED)
  AND f.fulfilment_id = t.fulfilment_id
"""

_REGARDLESS = """
UPDATE fulfilment SET details = details || '{"regardless": true}' WHERE request_id = ANY($1) AND state = 'blocked'
"""
_RESTRICTED = """
SELECT DISTINCT f.request_id FROM fulfilment f JOIN task t USING (fulfilment_id)
WHERE f.request_id = ANY($1) AND f.operation = 'restrict' AND t.operation = 'restrict'
  AND (f.state = 'complete' OR t.attempt > 0)
"""

_CONFIRMED = """
UPDATE fulfilment SET confirmed = confirmed || jsonb_build_object($2::text,
    coalesce(confirmed -> $2::text, '{}') || jsonb_build_object($3::text,
        greatest((confirmed -> $2::text ->> $3::text)::bigint, $4::bigint)))
WHERE request_id = $1
"""
_RETRY_FAILED = """
UPDATE task t SET state = 'ready', failure = NULL, why = NULL, not_before = $3 FROM fulfilment f
WHERE f.request_id = $1 AND f.state IN ('open', 'blocked') AND t.fulfilment_id = f.fulfilment_id
  AND t.system = $2 AND t.state = 'failed' AND t.failure <> 'not_supported'
RETURNING f.fulfilment_id, t.system, t.operation
"""


async def begin(
    operation: Operation, fulfilments: Fulfilments, events: Sequence[RequestVerified | LiftDecided], tx: UnitOfWork
) -> None:
    """Open one task per downstream; what yields identities is asked first, and erased last."""
    new_fulfilments = [
        NewFulfilment(
            *(e.request_id, e.subject, e.right, operation, e.due_on, _details(operation, e)),
            tenant=e.tenant if isinstance(e, RequestVerified) else None,
        )
        for e in events
    ]
    await fulfilments.open_all(tx, new_fulfilments)


def _details(operation: Operation, event: Event) -> dict[str, JsonValue]:
    """Returns for a copy the country, language and zone of the requester, and what else they asked for."""
    if operation is not Operation.EXPORT or not isinstance(event, RequestVerified):
        return {}
    country: dict[str, JsonValue] = {"country": event.country} if event.country else {}
    others: JsonValue = [str(each) for each in event.of_same_person]
    zone: dict[str, JsonValue] = {"zone": event.zones[-1]} if event.zones else {}
    return {"language": event.language, **country, **zone} | ({"of_same_person": others} if others else {})


async def retry(fulfilments: Fulfilments, events: Sequence[RetryRequested], tx: UnitOfWork) -> None:
    """Retries blocked fulfilments: an officer decided so, an earlier request ended, or more identities are known."""
    if regardless := [event.request_id for event in events if event.regardless]:
        await tx.connection.execute(_REGARDLESS, regardless)
    await fulfilments.retry(tx, [event.request_id for event in events])


async def confirm(fulfilments: Fulfilments, events: Sequence[LimitConfirmed], tx: UnitOfWork) -> None:
    """Continues requests that a limit stopped, up to the approved number."""
    for event in events:
        await _confirm(tx, fulfilments, event)


async def _confirm(tx: UnitOfWork, fulfilments: Fulfilments, confirmed: LimitConfirmed) -> None:
    """Raises a limit of one system for one request, and retries the tasks that it had refused."""
    limit, at_most = confirmed.limit, confirmed.at_most
    await tx.connection.execute(_CONFIRMED, confirmed.request_id, confirmed.system, limit, at_most)
    again = await tx.connection.fetch(_RETRY_FAILED, confirmed.request_id, confirmed.system, tx.now)
    await tx.connection.execute(
        "UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1)", [row[0] for row in again]
    )
    await wait_for_others(tx, fulfilments.must_wait, [row[0] for row in again])
    for _, system, operation in again:
        fulfilments.wake(tx, (system, operation))
    detail: dict[str, JsonValue] = {"system": confirmed.system, "limit": limit, "at_most": at_most}
    detail["tasks"] = len(again)
    tx.log_evidence(confirmed.request_id, "limit.raised", detail)


async def cancel(events: Sequence[RequestWithdrawn], tx: UnitOfWork) -> None:
    """Cancels tasks that have not begun and drops collected data; finished tasks stay on record.

    By what it was restricted by, and systems have named too, it is lifted: where a system may restrict, that stays.
    """
    requests = [event.request_id for event in events]
    done = await reports.results_so_far(tx, requests)
    await fulfilment.cancel(tx, requests)
    for each in done.values():
        tx.publish(each.report_event())
    restricted = {row[0] for row in await tx.connection.fetch(_RESTRICTED, requests)}
    await tx.vault.drop_collected(
        tx.connection, [event.subject for event in events if event.request_id not in restricted]
    )


async def reschedule(events: Sequence[RequestExtended | RequestRedated], tx: UnitOfWork) -> None:
    """Moves the due dates of open tasks; the last event of a request counts."""
    await move_due_dates(tx, {event.request_id: event.due_on for event in events})


async def move_due_dates(tx: UnitOfWork, due_on: Mapping[UUID, date]) -> None:
    """Moves open fulfilments and tasks of these requests to their new due dates."""
    requests = list(due_on)
    await tx.connection.execute(_LOCK_FULFILMENTS, requests)
    moved = await tx.connection.fetch(_FULFILMENTS, requests, list(due_on.values()))
    if not moved:
        return
    await tx.connection.execute(_TASKS, [row[0] for row in moved])
    for _, request_id, operation, day in moved:
        tx.log_evidence(request_id, "fulfilment.rescheduled", {"operation": operation, "due_on": day.isoformat()})


_FULFILMENT_OF = "SELECT fulfilment_id FROM task WHERE task_id = ANY($1)"
_ENTER_RESULT = """
UPDATE task SET state = 'done', receipt = $2::jsonb, failure = NULL, why = NULL
WHERE task_id = $1 AND (state IN ('waiting', 'failed') AND failure IN ('not_supported', 'system_retired')
    OR state = 'failed' AND operation = 'lift'
    OR state IN ('waiting', 'ready', 'failed') AND $2::jsonb ->> 'outcome' = 'no_longer_held'
    OR state = 'done' AND receipt ->> 'outcome' = 'not_searched' AND receipt ->> 'not_searched' = ANY($3))
RETURNING fulfilment_id
"""
_GO_ON = "UPDATE fulfilment SET state = 'open' WHERE fulfilment_id = ANY($1) AND state = 'blocked'"


async def record(
    fulfilments: Fulfilments,
    conclude: Mapping[Operation, Conclude],
    events: Sequence[TaskRecorded],
    tx: UnitOfWork,
) -> None:
    """Ends manual tasks with the entered results, and continues their fulfilments.

    A result for a task that no longer waits is recorded, and changes nothing.
    """
    places = await tx.connection.fetch(_FULFILMENT_OF, [event.task.task_id for event in events])
    await lock_fulfilments(tx, {row[0] for row in places})
    ended = []
    for event in events:
        receipt = event.task.model_dump(mode="json", exclude_none=True, exclude={"sentence", "exceeded"})
        place = await tx.connection.fetchval(_ENTER_RESULT, event.task.task_id, receipt, [*DONE_BY_HAND])
        if place is None:
            tx.log_evidence(event.request_id, "task.recorded_late", {"task_id": str(event.task.task_id)})
            continue
        ended.append(place)
        log_concluded(tx, event.request_id, receipt)
    if ended:
        await tx.connection.execute(_GO_ON, ended)
        await fulfilments.fan_in(tx, ended, conclude)


# Read from the catalog, so that no table is forgotten. The evidence and the register outlive requests.
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attname = 'request_id' AND c.relkind = 'r' AND n.nspname IN (current_schema(), 'vault', 'downstreams')
"""
_TASKS_OF = "DELETE FROM task t USING fulfilment f WHERE f.fulfilment_id = t.fulfilment_id AND f.request_id = ANY($1)"


async def delete_expired(events: Sequence[RequestExpired], tx: UnitOfWork) -> None:
    """Deletes what the service, the vault and the list of findings hold about these requests."""
    requests = [event.request_id for event in events]
    await tx.connection.execute(_TASKS_OF, requests)
    for row in await tx.connection.fetch(_TABLES):
        await tx.connection.execute(f"DELETE FROM {row[0]} WHERE request_id = ANY($1)", requests)  # noqa: S608  # catalog
