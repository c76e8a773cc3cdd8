"""Dates computed anew, by an event alone; what they were stays (REQ-T3).

The events: an extension, an answer, a redating, a request reopened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from services.deadline import silence, targets
from services.deadline.clocks import clock_of
from services.deadline.milestones import Clock, due, next_at, schedule, told_of
from services.deadline.silence import Waited
from shared.domain.events import RequestRedated
from shared.domain.rights import Right, Role
from shared.domain.suspension import Suspension, not_counted, paused_days
from shared.domain.time_limit import Arrival, due_at, due_on, end_of, limits
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.domain.working_days import calendar, last_common_working_day
from shared.fulfilment.rescheduling import reschedule
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_RUNNING = """
SELECT request_id, calendar, work_by, calc_version, told_until, extended, "right", scope, role,
       received_at, zones, due_on, due_at, statutory_due_on, statutory_due_at, pausing
FROM clock WHERE request_id = ANY($1) AND responded_at IS NULL ORDER BY request_id FOR UPDATE
"""
_QUESTIONS = """
SELECT request_id, question, asked_at, answered_at, condition_recorded FROM question
WHERE request_id = ANY($1) ORDER BY asked_at
"""
_KEEP = """
INSERT INTO clock_before
    (request_id, replaced_at, cause, due_on, work_by, statutory_due_on, calc_version, received_at, zones, calendar)
SELECT request_id, $2, $3, due_on, work_by, statutory_due_on, calc_version, received_at, zones, calendar
FROM clock WHERE request_id = ANY($1)
"""
_MOVE = """
UPDATE clock SET due_on = m.due_on, due_at = m.due_at, statutory_due_on = m.statutory_due_on,
    statutory_due_at = m.statutory_due_at, pausing = m.pausing, work_by = m.work_by, calc_version = m.calc_version,
    extended = m.extended, next_milestone_at = m.next_milestone_at, told_until = m.told_until,
    next_target_at = CASE WHEN watched THEN COALESCE(m.next_target_at, clock.next_target_at) END,
    received_at = m.received_at, zones = string_to_array(m.zones, ','), calendar = m.calendar
FROM unnest($1::uuid[], $2::date[], $3::timestamptz[], $4::date[], $5::timestamptz[], $6::boolean[], $7::date[],
            $8::text[], $9::boolean[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::timestamptz[], $14::text[], $15::text[])
     AS m (request_id, due_on, due_at, statutory_due_on, statutory_due_at, pausing, work_by, calc_version, extended,
           next_milestone_at, next_target_at, told_until, received_at, zones, calendar)
WHERE clock.request_id = m.request_id
"""


@dataclass(frozen=True, slots=True)
class Dated:
    """A clock that runs, and what its dates were computed from."""

    request_id: UUID
    calendar: str
    work_by: date
    calc_version: str
    told_until: datetime | None
    extended: bool
    right: Right
    scope: str | None
    role: Role
    clock: Clock
    questions: tuple[Suspension, ...] = ()

    @property
    def arrival(self) -> Arrival:
        """When and where the request arrived."""
        return Arrival(self.clock.received_at, self.clock.zones, self.calendar)

    @property
    def asks(self) -> bool:
        """Whether a question is open."""
        return any(question.answered_at is None for question in self.questions)

    @property
    def waited(self) -> Waited:
        """What decides when silence is told of."""
        return Waited(self.request_id, self.arrival, self.clock.due_on)


async def running(connection: Connection, requests: Sequence[UUID]) -> list[Dated]:
    """Those of the requests whose clock still runs, locked, with the questions that were asked."""
    rows = [tuple(row) for row in await connection.fetch(_RUNNING, requests)]
    asked: dict[UUID, list[Suspension]] = {row[0]: [] for row in rows}
    for row in await connection.fetch(_QUESTIONS, list(asked)) if rows else ():
        asked[row[0]].append(Suspension(Question(row[1]), *row[2:]))
    return [_dated(row, asked[row[0]]) for row in rows]


def anew(
    dated: Dated, policy: TimeLimitPolicy, extended_to: date | None = None, resumed_to: date | None = None
) -> Dated:
    """The same clock with its dates computed again; pure.

    The commitment only ever moves to the day that an extension names or that a late answer gives, or by a redating
    (``reset``). The statutory limit moves by the days of questions that were answered; while one is open, how far it
    will move is not known yet.
    """
    arrival, regime = dated.arrival, policy.regime_of(dated.calendar)
    counted = [each for each in dated.questions if not_counted(each, arrival, regime, policy) is None]
    answered = [each for each in counted if each.answered_at is not None]
    paused = paused_days(answered, arrival, regime, policy, arrival.received_at) if answered else 0
    found = limits(replace(arrival, paused_days=paused), policy)
    extended = dated.extended or extended_to is not None
    clock, work_by = dated.clock, dated.work_by
    if (moved_to := extended_to or resumed_to) is not None:
        clock = replace(clock, due_on=moved_to, due_at=end_of(moved_to, arrival.zones))
        work_by = _work_by(moved_to, dated.calendar, policy)
    # A request that was reopened may be due after what its receipt alone would give.
    statutory = max(found.statutory_due_extended if extended else found.statutory_due, clock.due_on)
    clock = replace(
        clock,
        statutory_due_on=statutory,
        statutory_due_at=end_of(statutory, arrival.zones),
        pausing=len(answered) < len(counted),
    )
    return replace(dated, clock=clock, work_by=work_by, calc_version=found.calc_version, extended=extended)


def reset(dated: Dated, event: RequestRedated, policy: TimeLimitPolicy) -> Dated:
    """The same clock from another receipt, policy or calendar; pure. The commitment is the one that intake has told."""
    arrival = Arrival(event.received_at, event.zones, event.calendar)
    what = (dated.right, dated.scope, policy, dated.role)
    if event.due_on == due_on(arrival, *what):
        end, work_by = due_at(arrival, *what), min(limits(arrival, policy).work_by, event.due_on)
    else:
        end, work_by = end_of(event.due_on, event.zones), _work_by(event.due_on, event.calendar, policy)
    clock = replace(dated.clock, received_at=event.received_at, zones=event.zones, due_on=event.due_on, due_at=end)
    return replace(dated, calendar=event.calendar, clock=clock, work_by=work_by)


async def recompute(
    tx: UnitOfWork,
    requests: Sequence[UUID],
    cause: str,
    policy: TimeLimitPolicy,
    extended_to: Mapping[UUID, date] | None = None,
    resumed_to: Mapping[UUID, date] | None = None,
    redated: Mapping[UUID, RequestRedated] | None = None,
) -> list[UUID]:
    """Computes the dates of these requests anew and puts on record which moved; returns those whose clock runs."""
    before = await running(tx.connection, requests)
    extended_to, resumed_to, redated = extended_to or {}, resumed_to or {}, redated or {}
    after = []
    for dated in before:
        event = redated.get(dated.request_id)
        start = reset(dated, event, policy) if event else dated
        new = anew(start, policy, extended_to.get(dated.request_id), resumed_to.get(dated.request_id))
        after.append(_told_of(dated, new, policy) if event else new)
    moved = [old.request_id for old, new in zip(before, after, strict=True) if _dates(old) != _dates(new)]
    if moved:
        await tx.connection.execute(_KEEP, moved, tx.now, cause)
    if after:
        row = partial(_row, policy=policy)
        await tx.connection.execute(_MOVE, *map(list, zip(*map(row, before, after), strict=True)))
    if waited := [new.waited for new in after if new.asks]:
        await silence.plan(tx.connection, waited, policy)
    for old, new in zip(before, after, strict=True):
        if old.request_id in moved:
            detail: dict[str, JsonValue] = {"cause": cause, "before": _dates(old), "after": _dates(new)}
            tx.log_evidence(old.request_id, "deadline.recomputed", detail | {"calc_version": new.calc_version})
    await reschedule(tx, {new.request_id: new.clock.due_on for new in after if new.request_id in moved})
    return [new.request_id for new in after]


def _dated(row: tuple[Any, ...], asked: Sequence[Suspension]) -> Dated:
    request_id, calendar_name, work_by, version, told_until, extended, right, scope, role, *clock = row
    known = (request_id, calendar_name, work_by, version, told_until, extended, Right(right), scope, role)
    return Dated(*known, clock_of(clock), tuple(asked))


def _work_by(due_on: date, calendar_name: str, policy: TimeLimitPolicy) -> date:
    return last_common_working_day(due_on, (calendar(calendar_name), calendar(policy.commitment.staff_calendar)))


def _told_of(old: Dated, new: Dated, policy: TimeLimitPolicy) -> Dated:
    """The new dates, and how far the request was told of: what the old ones had not come to must still be told."""
    days = policy.milestones.approaching_days
    told = due(schedule(old.clock, days), None, old.told_until) if old.told_until else []
    return replace(new, told_until=told_of(told, schedule(new.clock, days), old.told_until))


def _dates(dated: Dated) -> dict[str, JsonValue]:
    return {
        "received_at": dated.clock.received_at.isoformat(),
        "due_on": dated.clock.due_on.isoformat(),
        "work_by": dated.work_by.isoformat(),
        "statutory_due_on": dated.clock.statutory_due_on.isoformat(),
    }


def _row(old: Dated, dated: Dated, policy: TimeLimitPolicy) -> tuple[object, ...]:
    clock = dated.clock
    # Targets that were told stay told: it is safe to look at all of them again, and needless unless their days moved.
    same = (old.arrival, old.calc_version) == (dated.arrival, dated.calc_version)
    next_target_at = None if same else targets.first_at(dated.arrival, clock.due_at, policy)
    next_milestone_at = next_at(schedule(clock, policy.milestones.approaching_days), dated.told_until)
    return (
        *(dated.request_id, clock.due_on, clock.due_at, clock.statutory_due_on, clock.statutory_due_at),
        *(clock.pausing, dated.work_by, dated.calc_version, dated.extended, next_milestone_at, next_target_at),
        *(dated.told_until, clock.received_at, ",".join(clock.zones), dated.calendar),
    )
