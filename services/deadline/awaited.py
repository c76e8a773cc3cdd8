"""Whose word is awaited: reminded on working days, then put before people; of what came at once, the latest is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from services.deadline import repository
from services.deadline.clock import REMINDER, Clock, Due, due_by, next_at, start_of
from shared.domain.time_limit_policy import ForwardingRules
from shared.domain.working_days import calendar
from shared.messaging.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Awaited:
    """What somebody has yet to do or say about a request.

    ``calendar``: whose working days count; ``ended_at``: nothing is awaited any more; ``next_notice_at``: when to look
    at it again, None once everything was said; ``said_until``: the instant of the last notice that was said.
    """

    request_id: UUID
    calendar: str
    ended_at: datetime | None = field(default=None, kw_only=True)
    next_notice_at: datetime | None = field(default=None, kw_only=True)
    said_until: datetime | None = field(default=None, kw_only=True)

    def day_after(self, since: date, working_days: int) -> date:
        """So many working days later."""
        return calendar(self.calendar).add_working_days(since, working_days)


Some = TypeVar("Some", bound=Awaited)


def notices(awaited: Awaited, since: date, zone: ZoneInfo, rules: ForwardingRules, silent: str) -> list[Due]:
    """The reminders to whoever was told on that day, each at the start of its own, and when people look; pure.

    ``silent``: the name of the last, and of its ticket.
    """
    days = [awaited.day_after(since, number) for number in rules.reminder_working_days]
    last = awaited.day_after(since, rules.escalation_working_days)
    reminders = [Due(start_of(day, zone), REMINDER, day) for day in days]
    return [*reminders, Due(start_of(last, zone), silent, last, silent, rules.escalate_to)]


async def look(
    tx: UnitOfWork,
    found: Sequence[Some],
    until: datetime,
    dues_of: Callable[[Some], Sequence[Due]],
    say: Callable[[Clock, Some, Due], None],
) -> tuple[list[Some], list[tuple[Clock, Due]]]:
    """Says what has come by then; returns the rows as they are to be kept, and of what people are to be told."""
    clocks = await repository.of(tx.connection, [each.request_id for each in found])
    told, looked_at = [], []
    for each in found:
        dues = dues_of(each)
        fresh, clock = due_by(dues, each.said_until, until), clocks.get(each.request_id)
        said_until = fresh[-1].at if fresh else each.said_until
        looked_at.append(replace(each, said_until=said_until, next_notice_at=next_at(dues, said_until)))
        if fresh and clock:
            tx.traces[clock.request_id] = clock.traceparent
            say(clock, each, fresh[-1])
            told.append((clock, fresh[-1]))
    return looked_at, told
