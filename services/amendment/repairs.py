"""Opens repairs: tasks that correct a system by the register, without a new request.

A restriction that a stalled worker concluded too late and the nightly reconciliation open them. They run, retry and
count like other tasks, but answer no request. Only changes are recorded.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from pydantic import JsonValue

from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

REPAIR: Mapping[str, JsonValue] = {"repair": True}
MARKED: Mapping[str, JsonValue] = {"repair": True, "marked": True}
"""Removes only data with the mark of the request, without a search."""
RETURNED: Mapping[str, JsonValue] = {"repair": True, "returned": True}
"""Stops the marketing of a suppressed person who was imported again."""
_LAST = timedelta(days=60)
"""The due date of repairs, so late that every request comes first."""

_DECIDED = """
SELECT DISTINCT request_id FROM fulfilment
WHERE request_id = ANY($1) AND operation = $2 AND state <> 'cancelled'
"""
_LEFT = """
SELECT request_id, details -> 'left' FROM fulfilment
WHERE request_id = ANY($1) AND operation = 'lift' AND details ? 'left'
"""
# Fulfilments first, tasks second, as in `fan_in`: two orders would be a deadlock.
_ENDED = """
UPDATE fulfilment SET state = 'cancelled'
WHERE request_id = ANY($1) AND operation = $2 AND details @> $3 AND (details ? 'returned') = ($3::jsonb ? 'returned')
  AND state IN ('open', 'blocked')
RETURNING fulfilment_id
"""
_CALLED_OFF = """
UPDATE task SET state = 'cancelled' WHERE fulfilment_id = ANY($1) AND state IN ('waiting', 'ready', 'failed')
"""
_FORGOTTEN = """
WITH old AS (
    DELETE FROM fulfilment
    WHERE request_id = ANY($1) AND operation = $2 AND details @> $3
      AND (details ? 'returned') = ($3::jsonb ? 'returned') AND state IN ('complete', 'cancelled')
    RETURNING fulfilment_id)
DELETE FROM task USING old WHERE task.fulfilment_id = old.fulfilment_id
"""


def repair(
    tx: UnitOfWork,
    request_id: UUID,
    subject_ref: UUID,
    right: Right,
    operation: Operation,
    systems: Iterable[str] | None = None,
    details: Mapping[str, JsonValue] = REPAIR,
) -> NewFulfilment:
    """Builds a repair by an operation, in all systems or in some."""
    due_on = (tx.now + _LAST).date()
    where = None if systems is None else frozenset(systems)
    searches = "marked" not in details
    return NewFulfilment(request_id, subject_ref, right, operation, due_on, details, where, searches)


async def decided(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Returns the requests for which the operation was decided, done or not."""
    return {row[0] for row in await tx.connection.fetch(_DECIDED, requests, operation)}


async def left_as_found(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, JsonValue]:
    """Returns by request and system the flags that a decided lift leaves."""
    return {row[0]: row[1] for row in await tx.connection.fetch(_LEFT, requests)}


async def call_off(
    tx: UnitOfWork, requests: Sequence[UUID], operation: Operation, details: Mapping[str, JsonValue] = REPAIR
) -> None:
    """Cancels the open repairs of these requests, and deletes the finished ones."""
    ended = await tx.connection.fetch(_ENDED, requests, operation, details)
    await tx.connection.execute(_CALLED_OFF, [row[0] for row in ended])
    await tx.connection.execute(_FORGOTTEN, requests, operation, details)
