"""What a customer of ours decides about (Art. 28(3)(e)): passed on in time, and the customer reminded until they reply.

A request that is all theirs has a clock, which ends when it is passed on. Of one that is theirs in part that part alone
is followed here: its clock is that of our own part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from operator import attrgetter
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline.awaited import Awaited, look, notices
from services.deadline.clock import REMINDER, Clock, Due, next_at
from shared.domain.events import ControllerReplied, ControllerSilent, ForwardingOverdue, RequestForwarded
from shared.domain.time_limit import arrival_date, due_at, due_on
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection, column_types, update_rows

OVERDUE, ESCALATION = "forwarding_overdue", "controller_silent"


@dataclass(frozen=True, slots=True)
class Forwarding(Awaited):
    """What is to be passed on to a customer, or was.

    ``due_on``, ``due_at``: by when, where it is a part of a request. It ends when the customer has replied, or the
    subject wants nothing any more.
    """

    due_on: date | None = None
    due_at: datetime | None = None
    forwarded_at: datetime | None = None


_TYPES = {name: kind for name, kind in column_types(Forwarding).items() if name != "request_id"}
_NAMES = ("request_id", *_TYPES)
_COLUMNS = ", ".join(f"f.{name}" for name in _NAMES)
_row = attrgetter(*_NAMES)
_HELD = f"SELECT {_COLUMNS} FROM forwarding f WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE"  # noqa: S608  # names of ours
_DUE = f"""
SELECT {_COLUMNS} FROM forwarding f WHERE next_notice_at <= $1 ORDER BY next_notice_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608


def notices_of(forwarding: Forwarding, policy: TimeLimitPolicy) -> list[Due]:
    """What is to be said of it until somebody acts, each at the start of its day where the controller is; pure."""
    if forwarding.ended_at is not None:
        return []
    zone = ZoneInfo(policy.commitment.controller_zone)
    if forwarding.forwarded_at is None:
        if forwarding.due_on is None or forwarding.due_at is None:
            return []
        rule = next((span for span in policy.overrides.values() if span.role == "processor"), None)
        told = (rule.escalate_to,) if rule else ()
        return [Due(forwarding.due_at, OVERDUE, forwarding.due_on, OVERDUE, told)]
    return notices(forwarding, arrival_date(forwarding.forwarded_at, (zone.key,)), zone, policy.forwarding, ESCALATION)


def planned(forwarding: Forwarding, policy: TimeLimitPolicy) -> Forwarding:
    """With the instant at which to look at it again; pure."""
    return replace(forwarding, next_notice_at=next_at(notices_of(forwarding, policy), forwarding.said_until))


def part_of(clock: Clock, policy: TimeLimitPolicy) -> Forwarding:
    """The part of a request that a customer decides about, by when it is to be passed on; pure."""
    day = due_on(clock.arrival, clock.right, clock.scope, policy, "processor")
    ends = due_at(day, clock.arrival, clock.right, clock.scope, policy, "processor")
    return planned(Forwarding(clock.request_id, clock.calendar, day, ends), policy)


async def expect(tx: UnitOfWork, clocks: Iterable[Clock], policy: TimeLimitPolicy) -> None:
    """Keeps in mind by when the customers' parts of new requests are to be passed on."""
    parts = [part_of(clock, policy) for clock in clocks]
    await tx.connection.copy_records_to_table("forwarding", records=map(_row, parts), columns=_NAMES)
    for part in parts:
        day = part.due_on.isoformat() if part.due_on else None
        tx.log_evidence(part.request_id, "deadline.forwarding_computed", {"due_on": day})


async def redate(tx: UnitOfWork, clocks: Sequence[Clock], policy: TimeLimitPolicy) -> None:
    """What is not passed on yet is to be by another day, since the dates of its request have moved."""
    clock_of = {clock.request_id: clock for clock in clocks}
    held = [each for each in await _hold(tx.connection, list(clock_of)) if each.due_on and each.forwarded_at is None]
    moved = [replace(part_of(clock_of[each.request_id], policy), ended_at=each.ended_at) for each in held]
    await _save(tx.connection, [planned(each, policy) for each in moved])


async def forwarded(tx: UnitOfWork, events: Sequence[RequestForwarded], policy: TimeLimitPolicy) -> None:
    """A customer has it: from now on their word is awaited, so many working days."""
    known = {each.request_id: each for each in await _hold(tx.connection, [event.request_id for event in events])}
    now_theirs = [
        planned(
            replace(
                known.get(event.request_id, Forwarding(event.request_id, event.calendar)),
                forwarded_at=event.forwarded_at,
                said_until=None,
            ),
            policy,
        )
        for event in events
    ]
    new = [each for each in now_theirs if each.request_id not in known]
    await tx.connection.copy_records_to_table("forwarding", records=map(_row, new), columns=_NAMES)
    await _save(tx.connection, [each for each in now_theirs if each.request_id in known])
    for each in now_theirs:
        days: JsonValue = [due.day.isoformat() for due in notices_of(each, policy)]
        tx.log_evidence(each.request_id, "deadline.reply_awaited", {"notices_on": days})


async def replied(tx: UnitOfWork, events: Sequence[ControllerReplied]) -> None:
    """The customer has said how they go on: nobody is reminded, and nothing escalated, any more."""
    ended = await end(tx, {event.request_id: event.replied_at for event in events})
    for request_id in ended:
        tx.log_evidence(request_id, "deadline.reply_received", {})


async def end(tx: UnitOfWork, at: dict[UUID, datetime]) -> list[UUID]:
    """Ends what is awaited of these requests, each at that instant; returns those of which anything was."""
    held = [each for each in await _hold(tx.connection, list(at)) if each.ended_at is None]
    await _save(tx.connection, [replace(each, ended_at=at[each.request_id], next_notice_at=None) for each in held])
    return [each.request_id for each in held]


async def sweep(
    tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy
) -> tuple[int, list[tuple[Clock, Due]]]:
    """Says what has come: of what came at once, as after downtime, only the latest."""
    found = [Forwarding(**row) for row in await tx.connection.fetch(_DUE, until, limit)]
    looked_at, told = await look(tx, found, until, partial(notices_of, policy=policy), partial(_say, tx, policy))
    await _save(tx.connection, looked_at)
    return len(found), told


def _say(tx: UnitOfWork, policy: TimeLimitPolicy, clock: Clock, forwarding: Forwarding, due: Due) -> None:
    if due.name == OVERDUE:
        tx.log_evidence(clock.request_id, "deadline.forwarding_overdue", {"due_on": due.day.isoformat()})
        tx.publish(ForwardingOverdue.about(clock, due_on=due.day))
        return
    numbers = (*policy.forwarding.reminder_working_days, policy.forwarding.escalation_working_days)
    days = numbers[[each.at for each in notices_of(forwarding, policy)].index(due.at)]
    notice = "reminder" if due.name == REMINDER else "escalation"
    tx.log_evidence(clock.request_id, "deadline.controller_silent", {"notice": notice, "working_days": days})
    tx.publish(ControllerSilent.about(clock, notice=notice, working_days=days))


async def _hold(connection: Connection, requests: Sequence[UUID]) -> list[Forwarding]:
    return [Forwarding(**row) for row in await connection.fetch(_HELD, requests)]


async def _save(connection: Connection, rows: Sequence[Forwarding]) -> None:
    await update_rows(connection, "forwarding", "request_id", _TYPES, [_row(each) for each in rows])
