"""Opens repairs: tasks that set a system right by the register, without a new request.

Two things open them: a restriction that was concluded too late, by a worker that slept, and the looks of each night.
They are worked, retried and counted like any task, but are no answer to anybody, and only what was wrong is on record.
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
"""Removes only what bears the mark of the request, without a search; anything else may be another's."""
RETURNED: Mapping[str, JsonValue] = {"repair": True, "returned": True}
"""Stops the marketing of a suppressed person whom a system has again."""
_LAST = timedelta(days=60)
"""Due so late that every request is worked first."""

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
    """A repair by that operation, in all systems or in some."""
    due_on = (tx.now + _LAST).date()
    where = None if systems is None else frozenset(systems)
    searches = "marked" not in details
    return NewFulfilment(request_id, subject_ref, right, operation, due_on, details, where, searches)


async def decided(tx: UnitOfWork, requests: Sequence[UUID], operation: Operation) -> set[UUID]:
    """Those of the requests for which this was decided, whether or not any of it is done."""
    return {row[0] for row in await tx.connection.fetch(_DECIDED, requests, operation)}


async def left_as_found(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, JsonValue]:
    """Returns by request whose flags a decided lift was to leave, by system."""
    return {row[0]: row[1] for row in await tx.connection.fetch(_LEFT, requests)}


async def call_off(
    tx: UnitOfWork, requests: Sequence[UUID], operation: Operation, details: Mapping[str, JsonValue] = REPAIR
) -> None:
    """Ends the repairs of these requests that are not done, and forgets those that are."""
    ended = await tx.connection.fetch(_ENDED, requests, operation, details)
    await tx.connection.execute(_CALLED_OFF, [row[0] for row in ended])
    await tx.connection.execute(_FORGOTTEN, requests, operation, details)
