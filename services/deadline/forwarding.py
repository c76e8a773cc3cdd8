"""Reminds a customer to whom a request was passed on until they reply, then puts it before people (Art. 28(3)(e))."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.clock import REMINDER, Clock, Due, due_by, next_at, start_of
from shared.domain.events import ControllerReplied, ControllerSilent, RequestForwarded
from shared.domain.time_limit import arrival_date
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.working_days import calendar
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection, column_types, update_rows

ESCALATION = "controller_silent"


@dataclass(frozen=True, slots=True)
class Forwarding:
    """A request that was passed on to a customer.

    ``calendar``: whose working days count; ``ended_at``: they have replied; ``next_notice_at``: when to look at it
    again, None once everything was said; ``said_until``: the instant of the last notice that was said.
    """

    request_id: UUID
    calendar: str
    forwarded_at: datetime
    ended_at: datetime | None = None
    next_notice_at: datetime | None = None
    said_until: datetime | None = None


_TYPES = {name: kind for name, kind in column_types(Forwarding).items() if name != "request_id"}
_NAMES = ("request_id", *_TYPES)
_COLUMNS = ", ".join(f"f.{name}" for name in _NAMES)
_row = attrgetter(*_NAMES)
_HELD = f"SELECT {_COLUMNS} FROM forwarding f WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"  # noqa: S608  # names of ours
_DUE = f"""
SELECT {_COLUMNS} FROM forwarding f WHERE next_notice_at <= $1 ORDER BY next_notice_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608


def notices_of(forwarding: Forwarding, policy: TimeLimitPolicy) -> list[Due]:
    """The notices until the customer replies, each at the start of its day where the controller is; pure."""
    if forwarding.ended_at is not None:
        return []
    zone, rules = ZoneInfo(policy.commitment.controller_zone), policy.forwarding
    since, working = arrival_date(forwarding.forwarded_at, (zone.key,)), calendar(forwarding.calendar)
    days = [working.add_working_days(since, number) for number in rules.reminder_working_days]
    last = working.add_working_days(since, rules.escalation_working_days)
    reminders = [Due(start_of(day, zone), REMINDER, day) for day in days]
    return [*reminders, Due(start_of(last, zone), ESCALATION, last, ESCALATION, rules.escalate_to)]


def planned(forwarding: Forwarding, policy: TimeLimitPolicy) -> Forwarding:
    """With the instant at which to look at it again; pure."""
    return replace(forwarding, next_notice_at=next_at(notices_of(forwarding, policy), forwarding.said_until))


async def forwarded(tx: UnitOfWork, events: Sequence[RequestForwarded], policy: TimeLimitPolicy) -> None:
    """A customer has it: from now on their word is awaited, so many working days."""
    theirs = [planned(Forwarding(event.request_id, event.calendar, event.forwarded_at), policy) for event in events]
    await tx.connection.copy_records_to_table("forwarding", records=map(_row, theirs), columns=_NAMES)
    for each in theirs:
        days: JsonValue = [due.day.isoformat() for due in notices_of(each, policy)]
        tx.log_evidence(each.request_id, "deadline.reply_awaited", {"notices_on": days})


async def replied(tx: UnitOfWork, events: Sequence[ControllerReplied]) -> None:
    """The customer has said how they go on: nobody is reminded, and nothing escalated, any more."""
    at = {event.request_id: event.replied_at for event in events}
    rows = await tx.connection.fetch(_HELD, list(at))
    held = [each for each in (Forwarding(**row) for row in rows) if each.ended_at is None]
    await _save(tx.connection, [replace(each, ended_at=at[each.request_id], next_notice_at=None) for each in held])
    for each in held:
        tx.log_evidence(each.request_id, "deadline.reply_received", {})


async def sweep(
    tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy
) -> tuple[int, list[tuple[Clock, Due]]]:
    """Says what has come: of what came at once, as after downtime, only the latest."""
    found = [Forwarding(**row) for row in await tx.connection.fetch(_DUE, until, limit)]
    clocks = await repository.of(tx.connection, [each.request_id for each in found])
    told, looked_at = [], []
    for each in found:
        fresh, clock = due_by(notices_of(each, policy), each.said_until, until), clocks.get(each.request_id)
        looked_at.append(planned(replace(each, said_until=fresh[-1].at) if fresh else each, policy))
        if fresh and clock:
            tx.traces[clock.request_id] = clock.traceparent
            _say(tx, policy, clock, each, fresh[-1])
            told.append((clock, fresh[-1]))
    await _save(tx.connection, looked_at)
    return len(found), told


def _say(tx: UnitOfWork, policy: TimeLimitPolicy, clock: Clock, forwarding: Forwarding, due: Due) -> None:
    numbers = (*policy.forwarding.reminder_working_days, policy.forwarding.escalation_working_days)
    days = numbers[[each.at for each in notices_of(forwarding, policy)].index(due.at)]
    notice = "reminder" if due.name == REMINDER else "escalation"
    tx.log_evidence(clock.request_id, "deadline.controller_silent", {"notice": notice, "working_days": days})
    tx.publish(ControllerSilent.about(clock, notice=notice, working_days=days))


async def _save(connection: Connection, rows: Sequence[Forwarding]) -> None:
    await update_rows(connection, "forwarding", "request_id", _TYPES, [_row(each) for each in rows])
