"""The figures of the privacy officer, counted from the clocks every few seconds.

Definitions: ``docs/metrics.md``. Where we are a processor for the data, a request is counted apart and in nothing else.
Each query reads an index that holds what it needs; a count that takes long is made less often
(``shared/runtime/loops.py``).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import asyncpg
from prometheus_client import Gauge

from services.deadline import metrics
from services.deadline.deferrals import INCIDENT
from shared.app.service import Running
from shared.domain.rights import Right
from shared.domain.time_limit import Timeliness
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.runtime.loops import run_periodically
from shared.runtime.metrics import FIGURES_AT, Ranks
from shared.storage.postgres import Connection

PERIOD = timedelta(days=30)
AGES = ("over 90", "61-90", "31-60", "26-30", "22-25", "15-21", "8-14", "0-7")
"""Days since receipt, the oldest first."""

_NOT_OLDER = (90, 60, 30, 25, 21, 14, 7)
"""Where one age ends and the next begins."""

DEFERRED_STATES = ("scheduled", "due_in_30_days", "due", "late", "held")
"""How far the day is away after which a system erases what it had to keep; each is counted once."""

DAYS_LEFT = ("over", *map(str, range(31)), "more")
"""Days until the commitment ends."""

_CLOCKS = ("commitment", "statutory")
_EVERY_SECONDS = 10.0

Cell = tuple[str, ...]
"""The values of a figure's labels."""

OPEN = """
SELECT "right", width_bucket(received_at, $3::timestamptz[]) AS older_than,
       CASE WHEN due_at <= $2 THEN 0 ELSE LEAST(GREATEST(due_on - $1::date, 0) + 1, 32) END AS days_left,
       count(*) AS n,
       count(*) FILTER (WHERE due_at > $2 AND due_on - $1::date <= 7) AS due_soon,
       count(*) FILTER (WHERE due_at <= $2) AS commitment,
       count(*) FILTER (WHERE statutory_due_at <= $2) AS statutory,
       count(*) FILTER (WHERE due_at <= $2 AND statutory_due_at <= $2) AS breach,
       calendar
FROM clock WHERE role = 'controller' AND responded_at IS NULL GROUP BY GROUPING SETS ((1, 2), (3), (calendar))
"""

ANSWERED = """
SELECT "right", outcome, timeliness, CASE WHEN extended THEN 'yes' ELSE 'no' END AS extended, calendar, count(*) AS n
FROM clock WHERE role = 'controller' AND responded_at > $1 AND outcome <> 'duplicate'
GROUP BY GROUPING SETS ((1, 2, 3, 4), (3, 5))
"""

TIME_TO_RESPOND = """
SELECT "right", count(*), percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY extract(epoch FROM responded_at - received_at)::float8 / 86400)
FROM clock WHERE role = 'controller' AND responded_at > $1 AND outcome NOT IN ('withdrawn', 'forwarded', 'duplicate')
GROUP BY 1
"""

# The day that was promised first: where it was moved, what it was before stays.
FELL_DUE = """
SELECT "right", count(*), 0 FROM clock
WHERE role = 'controller' AND NOT extended AND due_at > $1 AND due_at <= $2 GROUP BY 1
UNION ALL
SELECT c."right", count(*), count(*) FROM clock_before b JOIN clock c USING (request_id)
WHERE c.role = 'controller' AND b.cause = 'extended' AND b.due_on >= $1::date AND b.due_on < $2::date GROUP BY 1
"""

TO_FORWARD = """
SELECT count(*) FILTER (WHERE due_at > $1), count(*) FILTER (WHERE due_at <= $1)
FROM clock WHERE role = 'processor' AND responded_at IS NULL
"""

FORWARDED = """
SELECT count(*), count(*) FILTER (WHERE timeliness = 'on_time'), percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY extract(epoch FROM responded_at - received_at)::float8 / 86400)
FROM clock WHERE role = 'processor' AND responded_at > $1 AND outcome = 'forwarded'
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
SELECT system, CASE WHEN state = 'held' THEN 'held' WHEN due_at <= $2 THEN 'late' WHEN due_at <= $1 THEN 'due'
                    WHEN due_at <= $3 THEN 'due_in_30_days' ELSE 'scheduled' END, count(*)
FROM deferral WHERE state <> 'done' GROUP BY 1, 2
"""


async def run(running: Running, policy: TimeLimitPolicy) -> None:
    """Counts for as long as the service runs."""

    async def look() -> None:
        unit_of_work = running.unit_of_work
        now = unit_of_work.clock.now()
        async with unit_of_work.pool.acquire() as connection:
            await count(connection, now, policy)
        FIGURES_AT.labels(unit_of_work.service).set(now.timestamp())

    await run_periodically(look, "statistics", _EVERY_SECONDS, running.stopping, running.heartbeats)


async def count(connection: Connection, now: datetime, policy: TimeLimitPolicy) -> None:
    """Counts once; days are those of the controller's zone."""
    here, since = ZoneInfo(policy.commitment.controller_zone), now - PERIOD
    today = now.astimezone(here).date()
    opened = await connection.fetch(OPEN, today, now, age_limits(today, here))
    answered = await connection.fetch(ANSWERED, since)
    _set_open([row for row in opened if row["calendar"] is None])
    _set_regimes(opened, answered, policy)
    metrics.ANSWERED.clear()
    for *labels, calendar, number in answered:
        if calendar is None:
            metrics.ANSWERED.labels(*labels).set(number)
    ranks = await connection.fetch(TIME_TO_RESPOND, since)
    metrics.TIME_TO_RESPOND.put({right: Ranks(number, *percentiles) for right, number, percentiles in ranks})
    reached, extended = Counter[Cell](), Counter[Cell]()
    for right, number, of_these in await connection.fetch(FELL_DUE, since, now):
        reached[right,] += number
        extended[right,] += of_these
    _set(metrics.REACHED_DUE, product(Right), reached)
    _set(metrics.EXTENDED, product(Right), extended)
    (to_forward,) = await connection.fetch(TO_FORWARD, now)
    ((forwarded, in_time, percentiles),) = await connection.fetch(FORWARDED, since)
    for answer, still, done in zip(("yes", "no"), to_forward, (in_time, forwarded - in_time), strict=True):
        metrics.PROCESSOR_OPEN.labels(answer).set(still)
        metrics.PROCESSOR_FORWARDED.labels(answer).set(done)
    metrics.PROCESSOR_DAYS.put({"": Ranks(forwarded, *percentiles)} if forwarded else {})
    suspended = await connection.fetch(SUSPENDED, since)
    metrics.SUSPENSION.put({kind: Ranks(n, ranked[0], ranked[1], total) for kind, n, ranked, total in suspended})
    asked: dict[Cell, int] = {
        (question, in_time): number for question, in_time, number in await connection.fetch(ASKED, since)
    }
    _set(metrics.QUESTIONS, product(Question, ("yes", "no")), asked)
    rows = await connection.fetch(DEFERRED, now, now - INCIDENT, now + PERIOD)
    deferred: dict[Cell, int] = {(system, state): number for system, state, number in rows}
    metrics.DEFERRED.clear()
    _set(metrics.DEFERRED, product({system for system, _ in deferred}, DEFERRED_STATES), deferred)


def age_limits(today: date, zone: ZoneInfo) -> list[datetime]:
    """The midnights at which requests of one age begin, the oldest first."""
    return [datetime.combine(today - timedelta(days=days), time(), zone) for days in _NOT_OLDER]


def _set(gauge: Gauge, cells: Iterable[Cell], counted: Mapping[Cell, int]) -> None:
    """Sets every cell, also those in which nobody is: a panel shows zero and not nothing."""
    for labels in cells:
        gauge.labels(*labels).set(counted.get(labels, 0))


def _set_open(rows: Iterable[asyncpg.Record]) -> None:
    days_left, ages, soon, late = Counter[Cell](), Counter[Cell](), Counter[Cell](), Counter[Cell]()
    for row in rows:
        right = row["right"]
        if right is None:
            days_left[DAYS_LEFT[row["days_left"]],] = row["n"]
            continue
        ages[right, AGES[row["older_than"]]] = row["n"]
        soon[right,] += row["due_soon"]
        for clock in _CLOCKS:
            late[right, clock] += row[clock]
    _set(metrics.OPEN, product(Right, AGES), ages)
    _set(metrics.DAYS_LEFT, product(DAYS_LEFT), days_left)
    _set(metrics.DUE_SOON, product(Right), soon)
    _set(metrics.OVERDUE, product(Right, _CLOCKS), late)


def _set_regimes(opened: Iterable[asyncpg.Record], answered: Iterable[asyncpg.Record], policy: TimeLimitPolicy) -> None:
    """Apart from right and age, whose cells would otherwise be too small to be told outside the privacy team."""
    still, done = Counter[Cell](), Counter[Cell]()
    for row in opened:
        if row["calendar"] is not None:
            regime = policy.regime_of(row["calendar"])
            still[regime, Timeliness.ON_TIME] += row["n"] - row["commitment"]
            still[regime, Timeliness.LATE_COMMITMENT] += row["commitment"] - row["breach"]
            still[regime, Timeliness.BREACH] += row["breach"]
    for row in answered:
        if row["calendar"] is not None:
            done[policy.regime_of(row["calendar"]), row["timeliness"]] += row["n"]
    cells = [*product(("EU", *sorted({*policy.suspension.regimes.values()} - {"EU"})), Timeliness)]
    _set(metrics.OPEN_BY_REGIME, cells, still)
    _set(metrics.ANSWERED_BY_REGIME, cells, done)
