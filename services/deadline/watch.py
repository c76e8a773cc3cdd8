"""The watch over the staff's targets: finds those that have passed, says so, and brings in who is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from services.deadline.targets import Dated, Step, missed, next_at, schedule, to_tell
from shared.domain.events import TargetMissed
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy
from shared.fulfilment import store as fulfilment
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

COME = """
SELECT request_id, subject_ref, "right", traceparent, due_on, due_at, received_at, zones, calendar,
       ARRAY(SELECT step FROM step s WHERE s.request_id = c.request_id),
       ARRAY(SELECT target FROM missed_target m WHERE m.request_id = c.request_id)
FROM clock c WHERE next_target_at <= $1 ORDER BY next_target_at LIMIT $2 FOR UPDATE OF c SKIP LOCKED
"""

_MOVE = """
UPDATE clock SET next_target_at = m.next_target_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS m (request_id, next_target_at) WHERE clock.request_id = m.request_id
"""

_MISSED = ["request_id", "target", "target_on", "told_at"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A request that is open and has come to a target."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    traceparent: str | None
    due_on: date
    due_at: datetime
    arrival: Arrival
    taken: frozenset[Step]
    told: frozenset[TargetName]


@dataclass(frozen=True, slots=True)
class Judged:
    """How many requests were looked at, and the targets that were missed."""

    looked_at: int
    missed: Sequence[TargetName]


async def judge(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Judged:
    """Tells which targets had passed by ``until``, of up to ``limit`` requests; those in other hands are left."""
    moved, rows, new_fulfilments = [], [], []
    for watched in await _come(tx.connection, until, limit):
        dated = schedule(watched.arrival, watched.due_at, policy)
        missing = missed(dated, watched.taken, watched.told, until)
        moved.append((watched.request_id, next_at(dated, until)))
        rows += [(watched.request_id, each.name, each.day, tx.now) for each in missing]
        _tell(tx, watched, missing)
        if tx.now < watched.due_at:  # an overdue request is a graver matter, and told as such
            new_fulfilments += [_escalation(watched, each) for each in to_tell(missing)]
    if moved:
        await tx.connection.execute(_MOVE, *map(list, zip(*moved, strict=True)))
    if rows:
        await tx.connection.copy_records_to_table("missed_target", records=rows, columns=_MISSED)
    if new_fulfilments and tx.plans[Operation.ESCALATE]:
        await fulfilment.open_all(tx, new_fulfilments)
    return Judged(len(moved), [name for _, name, *_ in rows])


async def _come(connection: Connection, until: datetime, limit: int) -> list[Watched]:
    return [_watched(*row) for row in await connection.fetch(COME, until, limit)]


def _watched(
    request_id: UUID,
    subject_ref: UUID,
    right: str,
    traceparent: str | None,
    due_on: date,
    due_at: datetime,
    *sleep_until_stopped: Any,
) -> Watched:
    received_at, zones, calendar, taken, told = sleep_until_stopped
    arrival = Arrival(received_at, tuple(zones), calendar)
    steps, names = frozenset(map(Step, taken)), frozenset(map(TargetName, told))
    return Watched(request_id, subject_ref, Right(right), traceparent, due_on, due_at, arrival, steps, names)


def _tell(tx: UnitOfWork, watched: Watched, missing: Sequence[Dated]) -> None:
    tx.traces[watched.request_id] = watched.traceparent
    for each in missing:
        tx.log_evidence(
            watched.request_id,
            "deadline.target_missed",
            {"target": each.name, "target_on": each.day.isoformat(), "escalate_to": each.escalate_to},
        )
        tx.publish(
            TargetMissed(
                request_id=watched.request_id,
                occurred_at=tx.now,
                right=watched.right,
                target=each.name,
                target_on=each.day,
                escalate_to=each.escalate_to,
            )
        )


def _escalation(watched: Watched, target: Dated) -> NewFulfilment:
    return NewFulfilment(
        watched.request_id,
        watched.subject_ref,
        watched.right,
        Operation.ESCALATE,
        watched.due_on,
        {
            "level": target.level,
            "due_on": watched.due_on.isoformat(),
            "target_on": target.day.isoformat(),
            "escalate_to": [target.escalate_to],
        },
    )
