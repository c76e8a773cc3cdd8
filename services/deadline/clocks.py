"""The clocks of all requests as rows: started when received, looked at when something comes, stopped when answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from services.deadline.milestones import Clock
from shared.domain.rights import Outcome, Right, Role
from shared.domain.time_limit import Arrival, Timeliness
from shared.storage.postgres import Connection

_COLUMNS = (
    *("request_id", "subject_ref", "right", "calendar"),
    *("received_at", "zones", "due_on", "due_at", "statutory_due_on", "statutory_due_at", "pausing"),
    *("work_by", "calc_version", "next_milestone_at", "watched", "next_target_at", "traceparent", "role", "scope"),
)

_CLOCK = attrgetter("received_at", "zones", "due_on", "due_at", "statutory_due_on", "statutory_due_at", "pausing")

COME = """
SELECT request_id, subject_ref, "right", told_until, extended, traceparent,
       received_at, zones, due_on, due_at, statutory_due_on, statutory_due_at, pausing
FROM clock WHERE next_milestone_at <= $1 ORDER BY next_milestone_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""

_TOLD = """
UPDATE clock SET told_until = t.told_until, next_milestone_at = t.next_milestone_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS t (request_id, told_until, next_milestone_at)
WHERE clock.request_id = t.request_id
"""

_RUNNING = """
SELECT request_id, subject_ref, "right", due_on, due_at, statutory_due_at, role, scope, received_at, zones, calendar
FROM clock WHERE request_id = ANY($1) AND responded_at IS NULL ORDER BY request_id FOR UPDATE
"""

_STOP = """
UPDATE clock SET responded_at = s.responded_at, outcome = s.outcome, timeliness = s.timeliness,
    next_milestone_at = NULL, watched = false, next_target_at = NULL,
    role = CASE s.outcome WHEN 'forwarded' THEN 'processor' ELSE clock.role END
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[]) AS s (request_id, responded_at, outcome, timeliness)
WHERE clock.request_id = s.request_id
"""

# Milestones from before the answer are not told: they belong to the time before the request was closed.
_RESUME = """
UPDATE clock SET responded_at = NULL, outcome = NULL, timeliness = NULL, told_until = r.answered_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS r (request_id, answered_at) WHERE clock.request_id = r.request_id
"""


@dataclass(frozen=True, slots=True)
class Started:
    """A clock to be started, with the dates as they were computed."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    calendar: str
    clock: Clock
    work_by: date
    calc_version: str
    next_milestone_at: datetime | None
    next_target_at: datetime | None
    traceparent: str | None
    role: Role
    scope: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """A clock that runs and has come to a milestone."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    told_until: datetime | None
    extended: bool
    traceparent: str | None
    clock: Clock


@dataclass(frozen=True, slots=True)
class Stopping:
    """A clock that runs and is about to be stopped; instants are the ends of the commitment and of the law's limit."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    due_on: date
    due_at: datetime
    statutory_due_at: datetime
    role: Role
    scope: str | None
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class Stopped:
    """A clock that an answer has stopped."""

    request_id: UUID
    responded_at: datetime
    outcome: Outcome
    timeliness: Timeliness


def clock_of(columns: Sequence[Any]) -> Clock:
    """A clock from its columns, in the order of its fields."""
    received_at, zones, *dates = columns
    return Clock(received_at, tuple(zones), *dates)


def arrival_of(columns: Sequence[Any]) -> Arrival:
    """When and where a request arrived, from those columns."""
    received_at, zones, calendar = columns
    return Arrival(received_at, tuple(zones), calendar)


async def start(connection: Connection, started: Sequence[Started]) -> None:
    """Starts the clocks of requests that have just been received."""
    rows = [
        (
            *(s.request_id, s.subject_ref, s.right, s.calendar),
            *_CLOCK(s.clock),
            *(s.work_by, s.calc_version, s.next_milestone_at, True, s.next_target_at),
            *(s.traceparent, s.role, s.scope),
        )
        for s in started
    ]
    await connection.copy_records_to_table("clock", records=rows, columns=_COLUMNS)


async def come(connection: Connection, now: datetime, limit: int) -> list[Running]:
    """Up to ``limit`` clocks that have come to a milestone, the longest due first; those in other hands are left."""
    rows = await connection.fetch(COME, now, limit)
    return [Running(row[0], row[1], Right(row[2]), row[3], row[4], row[5], clock_of(row[6:])) for row in rows]


async def told(connection: Connection, moved: Sequence[tuple[UUID, datetime | None, datetime | None]]) -> None:
    """Notes how far milestones were told and when the next will come, as (request, told until, next)."""
    await connection.execute(_TOLD, *map(list, zip(*moved, strict=True)))


async def running(connection: Connection, requests: Sequence[UUID]) -> list[Stopping]:
    """Those of the requests whose clock still runs, locked."""
    rows = await connection.fetch(_RUNNING, requests)
    return [
        Stopping(*(row[0], row[1], Right(row[2])), *(row[3], row[4], row[5], row[6], row[7]), arrival_of(row[8:]))
        for row in rows
    ]


async def stop(connection: Connection, stopped: Sequence[Stopped]) -> None:
    """Stops the clocks of requests that have been answered."""
    await connection.execute(
        _STOP,
        [s.request_id for s in stopped],
        [s.responded_at for s in stopped],
        [s.outcome for s in stopped],
        [s.timeliness for s in stopped],
    )


async def resume(connection: Connection, answered_at: Mapping[UUID, datetime]) -> None:
    """Lets the clocks of requests run again that were reopened by an answer of that instant."""
    await connection.execute(_RESUME, list(answered_at), list(answered_at.values()))
