"""Recipients who are told of what was done (Art. 19): reminded until they say something, then put before people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from services.deadline import repository
from services.deadline.awaited import Awaited, look, notices
from services.deadline.clock import REMINDER, Clock, Due, next_at, start_of
from shared.domain.events import RecipientConcerned, RecipientSettled, RecipientSilent, RecipientTold
from shared.domain.time_limit import arrival_date
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork

SILENT: Final = "recipient_silent"
UNTOLD: Final = "recipient_untold"


@dataclass(frozen=True, slots=True)
class Notice(Awaited):
    """One recipient whom a request concerns; ``told_at``: None while they are yet to be told."""

    recipient: str
    concerned_at: datetime
    told_at: datetime | None = None


_NAMES: Final = tuple(Notice.__dataclass_fields__)
_COLUMNS: Final = ", ".join(_NAMES)
_row = attrgetter(*_NAMES)
_MOVES: Final = ("concerned_at", "told_at", "ended_at", "next_notice_at", "said_until")
_TEXTS: Final = ("calendar", "recipient")
_SAVE = f"""
INSERT INTO recipient_notice ({_COLUMNS}) SELECT * FROM unnest({
    ", ".join(
        f"${place}::{'uuid' if name == 'request_id' else 'text' if name in _TEXTS else 'timestamptz'}[]"
        for place, name in enumerate(_NAMES, 1)
    )
})
ON CONFLICT (request_id, recipient) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _MOVES)}
"""  # noqa: S608  # names of ours
_HELD = f"SELECT {_COLUMNS} FROM recipient_notice WHERE request_id = ANY($1) ORDER BY request_id, recipient FOR UPDATE"  # noqa: S608  # names of ours
_AWAITED = "SELECT request_id FROM recipient_notice WHERE request_id = ANY($1) AND ended_at IS NULL"
_DUE = f"""
SELECT {_COLUMNS} FROM recipient_notice WHERE next_notice_at <= $1
ORDER BY next_notice_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""  # noqa: S608


def notices_of(notice: Notice, policy: TimeLimitPolicy) -> list[Due]:
    """What is to be said of it until somebody acts, each at the start of its day where the controller is; pure."""
    if notice.ended_at is not None:
        return []
    zone, rules = ZoneInfo(policy.commitment.controller_zone), policy.recipients
    since = arrival_date(notice.told_at or notice.concerned_at, (zone.key,))
    if notice.told_at is None:
        last = notice.day_after(since, rules.by_hand_working_days)
        return [Due(start_of(last, zone), UNTOLD, last, UNTOLD, rules.escalate_to)]
    return notices(notice, since, zone, rules, SILENT)


async def concerned(tx: UnitOfWork, events: Sequence[RecipientConcerned], policy: TimeLimitPolicy) -> None:
    """A recipient is to be told, or was: it is watched from now on, and anew where they are told of more."""
    clocks = await repository.of(tx.connection, [event.request_id for event in events])
    new = [
        Notice(event.request_id, clock.calendar, event.recipient, event.concerned_at, event.told_at)
        for event in events
        if (clock := clocks.get(event.request_id))
    ]
    await _save(tx, [_planned(each, policy) for each in new])


async def told(tx: UnitOfWork, events: Sequence[RecipientTold], policy: TimeLimitPolicy) -> None:
    """They were told: their word is awaited from then on."""
    told_at = {(event.request_id, event.recipient): event.told_at for event in events}
    held = await _held(tx, events)
    moved = [replace(each, told_at=told_at[_key(each)], said_until=None) for each in held if _key(each) in told_at]
    await _save(tx, [_planned(each, policy) for each in moved])


async def settled(tx: UnitOfWork, events: Sequence[RecipientSettled]) -> None:
    """They have said something, or are not to be told: nobody is reminded any more."""
    ended_at = {(event.request_id, event.recipient): event.settled_at for event in events}
    held = await _held(tx, events)
    ended = [
        replace(each, ended_at=ended_at[_key(each)], next_notice_at=None) for each in held if _key(each) in ended_at
    ]
    await _save(tx, ended)


async def quiet(tx: UnitOfWork, clocks: Iterable[Clock]) -> list[Clock]:
    """Those answered requests of which nothing is owed any more, and no recipient is awaited."""
    answered = {clock.request_id: clock for clock in clocks if clock.responded_at and not clock.outstanding}
    waiting = {row[0] for row in await tx.connection.fetch(_AWAITED, list(answered))}
    return [clock for request_id, clock in answered.items() if request_id not in waiting]


async def sweep(
    tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy
) -> tuple[int, list[tuple[Clock, Due]]]:
    """Says what has come: of what came at once, as after downtime, only the latest."""
    found = [Notice(**row) for row in await tx.connection.fetch(_DUE, until, limit)]
    looked_at, people = await look(tx, found, until, partial(notices_of, policy=policy), partial(_say, tx, policy))
    await _save(tx, looked_at)
    return len(found), people


def _say(tx: UnitOfWork, policy: TimeLimitPolicy, clock: Clock, notice: Notice, due: Due) -> None:
    rules = policy.recipients
    numbers = (
        (*rules.reminder_working_days, rules.escalation_working_days)
        if notice.told_at
        else (rules.by_hand_working_days,)
    )
    days = numbers[[each.at for each in notices_of(notice, policy)].index(due.at)]
    kind: Literal["reminder", "escalation", "untold"]
    kind = "reminder" if due.name == REMINDER else "untold" if due.name == UNTOLD else "escalation"
    detail: dict[str, JsonValue] = {"recipient": notice.recipient, "notice": kind, "working_days": days}
    tx.log_evidence(clock.request_id, "deadline.recipient_silent", detail)
    tx.publish(RecipientSilent.about(clock, **detail))


def _planned(notice: Notice, policy: TimeLimitPolicy) -> Notice:
    return replace(notice, next_notice_at=next_at(notices_of(notice, policy), notice.said_until))


def _key(notice: Notice) -> tuple[UUID, str]:
    return notice.request_id, notice.recipient


async def _held(tx: UnitOfWork, events: Sequence[RecipientTold | RecipientSettled]) -> list[Notice]:
    rows = await tx.connection.fetch(_HELD, list({event.request_id for event in events}))
    return [Notice(**row) for row in rows]


async def _save(tx: UnitOfWork, notices: Sequence[Notice]) -> None:
    rows = {_key(each): _row(each) for each in notices}
    if rows:
        await tx.connection.execute(_SAVE, *map(list, zip(*rows.values(), strict=True)))
