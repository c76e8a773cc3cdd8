"""The figures of the privacy officer, counted from the clocks every few seconds.

Definitions: ``docs/metrics.md``. Where we are a processor for the data, a request is counted apart and in nothing else.
Each query reads an index that holds what it needs; a count that takes long is made less often
(``shared/runtime/loops.py``).
"""

from collections import Counter as Count
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from prometheus_client import Gauge

from services.deadline.clock import start_of
from services.deadline.retention import INCIDENT
from shared.app.service import Running
from shared.domain.rights import Right
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.runtime.loops import FIGURES, run_periodically
from shared.runtime.metrics import FIGURES_AT, PEOPLE, Percentiles, Ranks
from shared.storage.postgres import Connection

PERIOD = timedelta(days=30)
AGES = {"over 90": 90, "61-90": 60, "31-60": 30, "26-30": 25, "22-25": 21, "15-21": 14, "8-14": 7, "0-7": 0}
"""Age groups in days since receipt, the oldest first, each with its lower bound."""

DEFERRED_STATES = ("scheduled", "due_in_30_days", "due", "late", "held")
"""States of a deferred erasure by its day; each is counted once."""

DAYS_LEFT = ("over", *map(str, range(31)), "more")
"""Days until the commitment ends."""

_CLOCKS = ("commitment", "statutory")
_YES_NO = ("yes", "no")
_EVERY_SECONDS = 10.0


def _gauge(name: str, about: str, *labels: str) -> Gauge:
    return Gauge(name, about, labels, registry=PEOPLE)


OPEN_BY_AGE = _gauge("dsr_requests_open", "Open requests by age in days since receipt", "right", "age")
OPEN_BY_DAYS_LEFT = _gauge("dsr_requests_open_by_days_left", "Open requests by days until they are due", "days")
DUE_SOON = _gauge("dsr_requests_due_soon", "Open requests that are due within seven days", "right")
OVERDUE = _gauge("dsr_requests_overdue", "Open requests whose day is over", "right", "clock")
_HOW = ("right", "outcome", "timeliness", "extended")
ANSWERED_BY_OUTCOME = _gauge("dsr_requests_answered", "Requests answered in the last 30 days", *_HOW)
QUESTIONS = _gauge("dsr_questions_asked", "Questions sent in the last 30 days", "question", "in_time")
PROCESSOR_OPEN = _gauge("dsr_processor_requests_open", "Requests that we have yet to forward", "in_time")
PROCESSOR_FORWARDED = _gauge("dsr_processor_forwarded", "Requests forwarded in the last 30 days", "in_time")
REACHED_DUE = _gauge("dsr_requests_reached_due", "Requests whose commitment ended in the last 30 days", "right")
EXTENDED = _gauge("dsr_requests_extended", "Of those, how many were extended", "right")
DEFERRED_UNTIL = _gauge("dsr_erasures_deferred", "What a system had to keep until it is erased", "system", "state")
TIME_TO_RESPOND = Percentiles("dsr_time_to_respond_days", "From receipt to the answer, last 30 days", "right")
SUSPENSION = Percentiles("dsr_suspension_days", "From a question to its answer, last 30 days", "question")
PROCESSOR_DAYS = Percentiles("dsr_processor_forwarding_days", "From receipt to forwarding, last 30 days")

# A part that is still owed after the answer counts as open, with the request's due date.
OPEN = """
SELECT "right", width_bucket(received_at, $3::timestamptz[]) AS older_than,
       CASE WHEN due_at <= $2 THEN 0 ELSE LEAST(GREATEST(due_on - $1::date, 0) + 1, 32) END AS days_left,
       count(*) AS n,
       count(*) FILTER (WHERE due_at > $2 AND due_on - $1::date <= 7) AS due_soon,
       count(*) FILTER (WHERE due_at <= $2) AS commitment,
       count(*) FILTER (WHERE statutory_due_at <= $2) AS statutory
FROM (SELECT "right", received_at, due_on, due_at, statutory_due_at FROM clock
      WHERE role = 'controller' AND responded_at IS NULL
      UNION ALL SELECT "right", received_at, due_on, due_at, statutory_due_at FROM clock
      WHERE outstanding <> '') AS owed
GROUP BY GROUPING SETS ((1, 2), (3))
"""

ANSWERED = """
SELECT "right", outcome, timeliness, CASE WHEN promised_on IS NOT NULL THEN 'yes' ELSE 'no' END, count(*)
FROM clock WHERE role = 'controller' AND responded_at > $1 GROUP BY 1, 2, 3, 4
"""

# Requests forwarded for customers are one figure, without the right.
RESPONDED = """
SELECT role, CASE role WHEN 'controller' THEN "right" ELSE '' END AS "right", count(*) AS n,
       count(*) FILTER (WHERE timeliness = 'on_time') AS in_time, percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY extract(epoch FROM responded_at - received_at)::float8 / 86400) AS days
FROM clock WHERE role IN ('controller', 'processor') AND responded_at > $1
             AND CASE role WHEN 'processor' THEN outcome = 'forwarded'
                      ELSE outcome NOT IN ('withdrawn', 'forwarded') END
GROUP BY 1, 2
"""

# Counts by the first promised day, even if an extension moved it.
FELL_DUE = """
SELECT "right", count(*), 0 FROM clock
WHERE role = 'controller' AND promised_on IS NULL AND due_at > $1 AND due_at <= $2 GROUP BY 1
UNION ALL
SELECT "right", count(*), count(*) FROM clock
WHERE role = 'controller' AND promised_on >= $1::date AND promised_on < $2::date GROUP BY 1
"""

TO_FORWARD = """
SELECT CASE WHEN due_at > $1 THEN 'yes' ELSE 'no' END, count(*)
FROM clock WHERE role = 'processor' AND responded_at IS NULL GROUP BY 1
"""

SUSPENDED = """
SELECT question, count(*), percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY extract(epoch FROM answered_at - asked_at)::float8 / 86400),
       sum(extract(epoch FROM answered_at - asked_at)::float8 / 86400)
FROM question WHERE answered_at > $1 GROUP BY 1
"""

ASKED = """
SELECT question, CASE WHEN in_time THEN 'yes' ELSE 'no' END, count(*) FROM question
WHERE asked_at > $1 AND in_time IS NOT NULL GROUP BY 1, 2
"""

DEFERRED = """
SELECT ref, CASE WHEN due_at IS NULL THEN 'held' WHEN due_at <= $2 THEN 'late' WHEN due_at <= $1 THEN 'due'
                 WHEN due_at <= $3 THEN 'due_in_30_days' ELSE 'scheduled' END, count(*)
FROM timer WHERE kind = 'retention' AND reported <> 'done' GROUP BY 1, 2
"""


async def run(running: Running, policy: TimeLimitPolicy) -> None:
    """Counts while the service runs."""

    async def look() -> None:
        unit_of_work = running.unit_of_work
        now = unit_of_work.clock.now()
        async with unit_of_work.pool.acquire() as connection:
            await count(connection, now, policy)
        FIGURES_AT.labels(unit_of_work.service).set(now.timestamp())

    await run_periodically(look, "statistics", _EVERY_SECONDS, running.stopping, running.heartbeats, share=FIGURES)


async def count(connection: Connection, now: datetime, policy: TimeLimitPolicy) -> None:
    """Counts once; days are in the controller's zone."""
    here, since = ZoneInfo(policy.commitment.controller_zone), now - PERIOD
    today = now.astimezone(here).date()
    opened = await connection.fetch(OPEN, today, now, age_limits(today, here))
    rows, ages = [row for row in opened if row["right"] is not None], [*AGES]
    _set(OPEN_BY_AGE, product(Right, AGES), ((row["right"], ages[row["older_than"]], row["n"]) for row in rows))
    _set(DUE_SOON, product(Right), ((row["right"], row["due_soon"]) for row in rows))
    _set(
        OVERDUE,
        product(Right, _CLOCKS),
        ((row["right"], clock, row[clock]) for row in rows for clock in _CLOCKS),
    )
    left = [(DAYS_LEFT[row["days_left"]], row["n"]) for row in opened if row["days_left"] is not None]
    _set(OPEN_BY_DAYS_LEFT, product(DAYS_LEFT), left)
    ANSWERED_BY_OUTCOME.clear()
    _set(ANSWERED_BY_OUTCOME, (), await connection.fetch(ANSWERED, since))
    responded = await connection.fetch(RESPONDED, since)
    for role, metric in (("controller", TIME_TO_RESPOND), ("processor", PROCESSOR_DAYS)):
        metric.put({row["right"]: Ranks(row["n"], *row["days"]) for row in responded if row["role"] == role})
    forwarded = [row for row in responded if row["role"] == "processor"]
    in_time = [("yes", row["in_time"]) for row in forwarded] + [("no", row["n"] - row["in_time"]) for row in forwarded]
    _set(PROCESSOR_FORWARDED, product(_YES_NO), in_time)
    _set(PROCESSOR_OPEN, product(_YES_NO), await connection.fetch(TO_FORWARD, now))
    fell_due = await connection.fetch(FELL_DUE, since, now)
    _set(REACHED_DUE, product(Right), ((right, number) for right, number, _ in fell_due))
    _set(EXTENDED, product(Right), ((right, extended) for right, _, extended in fell_due))
    suspended = await connection.fetch(SUSPENDED, since)
    SUSPENSION.put({kind: Ranks(n, days[0], days[1], total) for kind, n, days, total in suspended})
    _set(QUESTIONS, product(Question, _YES_NO), await connection.fetch(ASKED, since))
    deferred = await connection.fetch(DEFERRED, now, now - INCIDENT, now + PERIOD)
    DEFERRED_UNTIL.clear()
    _set(DEFERRED_UNTIL, product({row["ref"] for row in deferred}, DEFERRED_STATES), deferred)


def age_limits(today: date, zone: ZoneInfo) -> list[datetime]:
    """Returns the midnights at which the age groups begin, the oldest first."""
    return [start_of(today - timedelta(days=days), zone) for days in AGES.values() if days]


def _set(gauge: Gauge, cells: Iterable[tuple[str, ...]], rows: Iterable[Iterable[Any]]) -> None:
    """Sets every cell to the sum of its rows (labels, then a number), so that a panel shows zero instead of no data."""
    counted = Count[tuple[str, ...]]()
    for *labels, number in rows:
        counted[tuple(labels)] += number
    for cell in {*cells, *counted}:
        gauge.labels(*cell).set(counted[cell])
