"""Counts for the page of time limits: what is open and how old, how fast and how much in time.

Counted when the page is read, and shown again for a minute: definitions as in ``docs/metrics.md``, of 30 days.
A request is ``open`` until its answer has reached the person, and while a part of it is owed, though it is closed.
An owed part that was done late makes the answer as late.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from shared.domain.rights import Right
from shared.domain.time_limit_policy import Commitment
from shared.domain.working_days import Calendar, calendar
from shared.runtime.metrics import Mean
from shared.storage.postgres import Connection

DAYS: Final = 30
AGES: Final[Sequence[tuple[str, int]]] = (
    *(("0-7", 7), ("8-14", 14), ("15-21", 21), ("22-25", 25), ("26-30", 30), ("31-60", 60), ("61-90", 90)),
    ("over 90", 100_000),
)
"""Days since receipt, and the last of each."""
_OPEN = """
SELECT "right", $1::date - (received_at AT TIME ZONE $2)::date, count(*) FROM request
WHERE open AND role = 'controller' GROUP BY 1, 2
"""
_CAME = """
SELECT (accepted_at AT TIME ZONE $2)::date, count(*) FROM request
WHERE accepted_at >= $1 AND role = 'controller' GROUP BY 1
"""
_CLOSED = """
SELECT (responded_at AT TIME ZONE $2)::date, count(*) FROM request
WHERE responded_at >= $1 AND NOT open AND role = 'controller' GROUP BY 1
"""
# A day is over where it is over first: in the easternmost zone. Of what was owed, when the last of it was done counts.
_ON_TIME = """
SELECT "right", count(*), count(*) FILTER (WHERE greatest(responded_at, CASE WHEN owed THEN (
        SELECT max(at) FROM evidence.entry e WHERE e.request_id = request.request_id AND action IN (
            'part.completed', 'erasure.deferred_completed', 'task.recorded', 'decision.made')) END) < (
    SELECT min((due_on + 1)::timestamp AT TIME ZONE zone) FROM jsonb_array_elements_text(facts -> 'zones') AS zone))
FROM request
WHERE responded_at > $1 AND NOT open AND role = 'controller'
      AND outcome NOT IN ('withdrawn', 'forwarded') GROUP BY 1
"""
_OVERDUE = """
SELECT "right", count(*) FROM request
WHERE open AND role = 'controller' AND due_on < $1::date GROUP BY 1
"""


# Business days are those of the controller's calendar, in its zone. The day of receipt is not counted, that of the
# answer is (Reg. 1182/71, Art. 3(1)): what is answered on the day on which it came took none.
_ANSWERED = "responded_at > $1 AND role = 'controller' AND outcome NOT IN ('withdrawn', 'forwarded')"
_DAYS = "(received_at AT TIME ZONE $2)::date, (responded_at AT TIME ZONE $2)::date"
_BY_RIGHT = f"""
SELECT "right", {_DAYS}, count(*) FROM request WHERE {_ANSWERED} GROUP BY 1, 2, 3
"""  # noqa: S608  # constants
_BY_SYSTEM = f"""
SELECT system, {_DAYS}, count(*)
FROM request, LATERAL (SELECT DISTINCT each ->> 'system' AS system FROM jsonb_array_elements(tasks) AS each) AS theirs
WHERE {_ANSWERED} GROUP BY 1, 2, 3
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the burn-down: what was open at its end, what came and what was closed."""

    day: date
    open: int
    came: int
    closed: int


@dataclass(frozen=True, slots=True)
class OnTime:
    """Answers of one right in the period, those in time, and what is overdue now."""

    answered: int
    in_time: int
    overdue: int

    @property
    def rate(self) -> float | None:
        """Returns the share in time of what was answered, or should have been; None if there was nothing."""
        whole = self.answered + self.overdue
        return self.in_time / whole if whole else None


@dataclass(frozen=True, slots=True)
class ResponseDays:
    """The means by right, and by system of all requests in which it had a part."""

    by_right: Mapping[str, Mean]
    by_system: Mapping[str, Mean]


@dataclass(frozen=True, slots=True)
class Sla:
    """The figures of the page."""

    at: datetime
    days: Sequence[Day]
    on_time: Mapping[str, OnTime]
    ages: Mapping[str, Mapping[str, int]]
    response: ResponseDays

    @property
    def days_left(self) -> float | None:
        """Returns the days until all open requests are closed, at the pace of the period, without new ones."""
        closed = sum(each.closed for each in self.days)
        return self.days[-1].open * DAYS / closed if closed else None


async def read(connection: Connection, now: datetime, commitment: Commitment) -> Sla:
    """Returns the figures as they are now; days are those of the controller."""
    zone = ZoneInfo(commitment.controller_zone)
    today, since = now.astimezone(zone).date(), now - timedelta(days=DAYS)
    first = datetime.combine(today - timedelta(days=DAYS - 1), datetime.min.time(), zone)
    ages: dict[str, dict[str, int]] = {right: dict.fromkeys(dict(AGES), 0) for right in Right}
    for right, age, number in await connection.fetch(_OPEN, today, zone.key):
        ages[right][next(name for name, last in AGES if age <= last)] += number
    came = dict(map(tuple, await connection.fetch(_CAME, first, zone.key)))
    closed = dict(map(tuple, await connection.fetch(_CLOSED, first, zone.key)))
    still = sum(sum(each.values()) for each in ages.values())
    overdue = dict(map(tuple, await connection.fetch(_OVERDUE, today)))
    answered = {row[0]: (row[1], row[2]) for row in await connection.fetch(_ON_TIME, since)}
    on_time: dict[str, OnTime] = {right: OnTime(*answered.get(right, (0, 0)), overdue.get(right, 0)) for right in Right}
    response = await business_days(connection, since, commitment)
    return Sla(now, burn_down(today, still, came, closed), on_time, ages, response)


def burn_down(today: date, still: int, came: Mapping[date, int], closed: Mapping[date, int]) -> Sequence[Day]:
    """Returns the open requests at the end of each day, counted back from those open now; pure."""
    days: list[Day] = []
    for back in range(DAYS):
        day = today - timedelta(days=back)
        days.append(Day(day, max(still, 0), came.get(day, 0), closed.get(day, 0)))
        still += closed.get(day, 0) - came.get(day, 0)
    return days[::-1]


async def business_days(connection: Connection, since: datetime, commitment: Commitment) -> ResponseDays:
    """The means of what was answered since then."""
    days = calendar(commitment.staff_calendar)
    by_right = await connection.fetch(_BY_RIGHT, since, commitment.controller_zone)
    by_system = await connection.fetch(_BY_SYSTEM, since, commitment.controller_zone)
    return ResponseDays(means(map(tuple, by_right), days), means(map(tuple, by_system), days))


def means(rows: Iterable[tuple[str, date, date, int]], days: Calendar) -> Mapping[str, Mean]:
    """The mean of each group, of rows of it that came and were answered on the same days; pure."""
    taken: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for group, received, responded, number in rows:
        taken[group][0] += number
        taken[group][1] += number * days.working_days_between(received, responded)
    return {group: Mean(cases, total / cases) for group, (cases, total) in taken.items()}
