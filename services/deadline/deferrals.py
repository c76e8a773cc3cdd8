"""Deferred erasures (Art. 17(3)): what a system had to keep, until when, and that it may go once that day is over."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from services.deadline.settings import DeadlineSettings
from shared.app import service
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RetentionEnded, RetryDecided, TaskReport
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.loops import run_periodically
from shared.storage.postgres import Connection

INCIDENT = timedelta(hours=24)
"""A deferred erasure that is due for longer and not executed is an incident (REQ-R8)."""

_KNOWN = "SELECT request_id, system, task_id, state FROM deferral WHERE request_id = ANY($1) ORDER BY 1, 2 FOR UPDATE"

_WITHDRAWN = "SELECT request_id FROM clock WHERE request_id = ANY($1) AND outcome = 'withdrawn'"

_KEEP = """
INSERT INTO deferral (request_id, system, task_id, ground, until, due_at, state, noted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (request_id, system) DO UPDATE
SET task_id = EXCLUDED.task_id, ground = EXCLUDED.ground, until = EXCLUDED.until, due_at = EXCLUDED.due_at,
    state = EXCLUDED.state, noted_at = EXCLUDED.noted_at, released_at = NULL, done_at = NULL
"""

_DONE = """
UPDATE deferral SET state = 'done', done_at = $3 WHERE request_id = $1 AND system = $2 AND state <> 'done'
"""

_DROP = "DELETE FROM deferral WHERE request_id = ANY($1) AND state <> 'done'"

_LET_GO = """
UPDATE deferral d SET state = 'scheduled', due_at = $2 FROM clock c
WHERE d.request_id = ANY($1) AND d.state = 'held' AND c.request_id = d.request_id AND c.responded_at IS NOT NULL
RETURNING d.request_id, d.system
"""

# Not before the answer: until then the work on the request itself may go on.
COME = """
SELECT d.request_id, d.system, d.due_at, c.subject_ref, c."right", c.traceparent
FROM deferral d JOIN clock c USING (request_id)
WHERE d.state = 'scheduled' AND d.due_at <= $1 AND c.responded_at IS NOT NULL
ORDER BY d.due_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
"""

_RELEASED = """
UPDATE deferral d SET state = 'released', released_at = $3
FROM unnest($1::uuid[], $2::text[]) AS r (request_id, system)
WHERE d.request_id = r.request_id AND d.system = r.system
"""


@dataclass(frozen=True, slots=True)
class Come:
    """What a system kept of the subject of a request, and may keep no longer."""

    request_id: UUID
    system: str
    due_at: datetime
    subject_ref: UUID
    right: Right
    traceparent: str | None


def over(until: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day is over where the controller is: what was kept until then is due."""
    return datetime.combine(until + timedelta(days=1), time(), zone)


async def hear(
    events: Sequence[FulfilmentCompleted | FulfilmentBlocked], tx: UnitOfWork, *, policy: TimeLimitPolicy
) -> None:
    """Keep in mind what each system had to keep, and until when; what was erased after all is off the list."""
    erasures = [event for event in events if event.operation == Operation.ERASE]
    requests = [event.request_id for event in erasures]
    known = {(row[0], row[1]): (row[2], row[3]) for row in await tx.connection.fetch(_KNOWN, requests)}
    withdrawn = {row[0] for row in await tx.connection.fetch(_WITHDRAWN, requests)}
    zone = ZoneInfo(policy.commitment.controller_zone)
    for event in erasures:
        for report in event.tasks:
            place = (event.request_id, report.system)
            task_id, state = known.get(place, (None, None))
            fresh = task_id is None or report.task_id > task_id
            if report.operation != Operation.ERASE or not fresh or event.request_id in withdrawn:
                continue
            if report.outcome == TaskOutcome.RETAINED:
                state = await _keep(tx, event.request_id, report, zone, again=task_id is not None)
                known[place] = (report.task_id, state)
            elif report.outcome and state not in {None, "done"}:
                await tx.connection.execute(_DONE, *place, tx.now)
                tx.log_evidence(
                    event.request_id, "erasure.executed", {"system": report.system, "outcome": report.outcome}
                )


async def _keep(tx: UnitOfWork, request_id: UUID, report: TaskReport, zone: ZoneInfo, *, again: bool) -> str:
    """Schedules the erasure, or holds it where nobody knows a day: none was named, or again one that is over."""
    due_at = over(report.until, zone) if report.until else None
    state = "held" if due_at is None or (again and due_at <= tx.now) else "scheduled"
    ground = report.ground or "not_named"
    row = (request_id, report.system, report.task_id, ground, report.until, due_at, state, tx.now)
    await tx.connection.execute(_KEEP, *row)
    until = report.until.isoformat() if report.until else None
    detail = {"system": report.system, "ground": ground, "until": until, "state": state}
    tx.log_evidence(request_id, "erasure.deferred", detail)
    return state


async def drop(connection: Connection, outcomes: dict[UUID, Outcome]) -> None:
    """Nothing is to be erased any more for those who have withdrawn their request."""
    if withdrawn := [each for each, outcome in outcomes.items() if outcome is Outcome.WITHDRAWN]:
        await connection.execute(_DROP, withdrawn)


async def let_go(events: Sequence[RetryDecided], tx: UnitOfWork) -> None:
    """A person has decided that what is held without a day may go now; only once the request was answered."""
    for request_id, system in await tx.connection.fetch(_LET_GO, [event.request_id for event in events], tx.now):
        tx.log_evidence(request_id, "erasure.let_go", {"system": system})


async def release(tx: UnitOfWork, zone: ZoneInfo, limit: int) -> int:
    """Says of up to ``limit`` systems that their day is over, once, one event for each request; returns how many."""
    rows = await tx.connection.fetch(COME, tx.now, limit)
    come_of: dict[UUID, list[Come]] = defaultdict(list)
    for row in rows:
        come_of[row[0]].append(Come(row[0], row[1], row[2], row[3], Right(row[4]), row[5]))
    for request_id, come in come_of.items():
        first, systems = come[0], sorted(each.system for each in come)
        due_on = first.due_at.astimezone(zone).date()
        tx.traces[request_id] = first.traceparent
        late = first.due_at + INCIDENT < tx.now
        tx.log_evidence(request_id, "erasure.due", {"systems": [*systems], "due_on": due_on.isoformat(), "late": late})
        tx.publish(
            RetentionEnded(
                request_id=request_id,
                occurred_at=tx.now,
                right=first.right,
                subject=first.subject_ref,
                systems=tuple(systems),
                due_on=due_on,
            )
        )
    await tx.connection.execute(_RELEASED, [row[0] for row in rows], [row[1] for row in rows], tx.now)
    return len(rows)


async def keep_releasing(around: service.Running, policy: TimeLimitPolicy, settings: DeadlineSettings) -> None:
    """Look what may go for as long as the service runs; after downtime batch by batch, without a pause."""
    zone = ZoneInfo(policy.commitment.controller_zone)

    async def look() -> None:
        released = settings.batch
        while released == settings.batch and not around.stopping.is_set():
            around.heartbeats.beat("deferrals")
            async with around.unit_of_work.begin() as tx:
                released = await release(tx, zone, settings.batch)

    await run_periodically(look, "deferrals", settings.sweep_seconds, around.stopping, around.heartbeats)
