"""Dates computed anew, by an event alone: an extension, a question answered; what they were stays (REQ-T3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from services.deadline import targets
from services.deadline.clocks import clock_of
from services.deadline.milestones import Clock, next_at, schedule
from shared.postgres import Connection
from shared.suspension import Suspension, not_counted, paused_days
from shared.time_limit import Arrival, end_of, limits
from shared.time_limit_policy import Question, TimeLimitPolicy
from shared.transaction import Transaction
from shared.working_days import calendar, last_common_working_day

_RUNNING = """
SELECT request_id, calendar, work_by, calc_version, told_until, extended,
       received_at, zones, due_on, due_at, statutory_due_on, statutory_due_at, pausing
FROM clock WHERE request_id = ANY($1) AND responded_at IS NULL ORDER BY request_id FOR UPDATE
"""
_QUESTIONS = """
SELECT request_id, question, asked_at, answered_at, condition_recorded FROM question
WHERE request_id = ANY($1) ORDER BY asked_at
"""
_KEEP = """
INSERT INTO clock_before (request_id, replaced_at, cause, due_on, work_by, statutory_due_on, calc_version)
SELECT request_id, $2, $3, due_on, work_by, statutory_due_on, calc_version FROM clock WHERE request_id = ANY($1)
"""
_MOVE = """
UPDATE clock SET due_on = m.due_on, due_at = m.due_at, statutory_due_on = m.statutory_due_on,
    statutory_due_at = m.statutory_due_at, pausing = m.pausing, work_by = m.work_by, calc_version = m.calc_version,
    extended = m.extended, next_milestone_at = m.next_milestone_at,
    next_target_at = CASE WHEN watched THEN COALESCE(m.next_target_at, clock.next_target_at) END
FROM unnest($1::uuid[], $2::date[], $3::timestamptz[], $4::date[], $5::timestamptz[], $6::boolean[], $7::date[],
            $8::text[], $9::boolean[], $10::timestamptz[], $11::timestamptz[])
     AS m (request_id, due_on, due_at, statutory_due_on, statutory_due_at, pausing, work_by, calc_version, extended,
           next_milestone_at, next_target_at)
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
    clock: Clock
    questions: tuple[Suspension, ...] = ()

    @property
    def arrival(self) -> Arrival:
        """When and where the request arrived."""
        return Arrival(self.clock.received_at, self.clock.zones, self.calendar)


async def running(connection: Connection, requests: Sequence[UUID]) -> list[Dated]:
    """Those of the requests whose clock still runs, locked, with the questions that were asked."""
    rows = [tuple(row) for row in await connection.fetch(_RUNNING, requests)]
    asked: dict[UUID, list[Suspension]] = {row[0]: [] for row in rows}
    for row in await connection.fetch(_QUESTIONS, list(asked)) if rows else ():
        asked[row[0]].append(Suspension(Question(row[1]), *row[2:]))
    return [_dated(row, asked[row[0]]) for row in rows]


def anew(dated: Dated, policy: TimeLimitPolicy, extended_to: date | None = None) -> Dated:
    """The same clock with its dates computed again; pure.

    The commitment only ever moves to the day that an extension names. The statutory limit moves by the days of
    questions that were answered; while one is open, how far it will move is not known yet.
    """
    arrival, regime = dated.arrival, policy.regime_of(dated.calendar)
    counted = [each for each in dated.questions if not_counted(each, arrival, regime, policy) is None]
    answered = [each for each in counted if each.answered_at is not None]
    paused = paused_days(answered, arrival, regime, policy, arrival.received_at) if answered else 0
    found = limits(replace(arrival, paused_days=paused), policy)
    extended = dated.extended or extended_to is not None
    clock = replace(
        dated.clock,
        statutory_due_on=found.statutory_due_extended if extended else found.statutory_due,
        statutory_due_at=found.statutory_due_extended_instant if extended else found.statutory_due_instant,
        pausing=len(answered) < len(counted),
    )
    work_by = dated.work_by
    if extended_to is not None:
        clock = replace(clock, due_on=extended_to, due_at=end_of(extended_to, arrival.zones))
        both = (calendar(dated.calendar), calendar(policy.commitment.staff_calendar))
        work_by = last_common_working_day(extended_to, both)
    return replace(dated, clock=clock, work_by=work_by, calc_version=found.calc_version, extended=extended)


async def recompute(
    tx: Transaction,
    requests: Sequence[UUID],
    cause: str,
    policy: TimeLimitPolicy,
    extended_to: Mapping[UUID, date] | None = None,
) -> list[UUID]:
    """Computes the dates of these requests anew and puts on record which moved; returns those whose clock runs."""
    before = await running(tx.connection, requests)
    after = [anew(dated, policy, (extended_to or {}).get(dated.request_id)) for dated in before]
    moved = [old.request_id for old, new in zip(before, after, strict=True) if _dates(old) != _dates(new)]
    if moved:
        await tx.connection.execute(_KEEP, moved, tx.now, cause)
    if after:
        row = partial(_row, policy=policy)
        await tx.connection.execute(_MOVE, *map(list, zip(*map(row, before, after), strict=True)))
    for old, new in zip(before, after, strict=True):
        if old.request_id in moved:
            detail: dict[str, JsonValue] = {"cause": cause, "before": _dates(old), "after": _dates(new)}
            tx.record(old.request_id, "deadline.recomputed", detail | {"calc_version": new.calc_version})
    return [new.request_id for new in after]


def _dated(row: tuple[Any, ...], asked: Sequence[Suspension]) -> Dated:
    request_id, calendar_name, work_by, version, told_until, extended, *clock = row
    return Dated(request_id, calendar_name, work_by, version, told_until, extended, clock_of(clock), tuple(asked))


def _dates(dated: Dated) -> dict[str, JsonValue]:
    return {
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
    )
