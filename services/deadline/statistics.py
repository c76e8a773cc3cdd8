"""The figures of the privacy officer, counted from the clocks every few seconds.

Definitions: ``docs/metrics.md``. Where we are a processor for the data, a request is counted apart and in nothing else.
Each query reads an index that holds what it needs; a count that takes long is made less often
(``shared/runtime/loops.py``).
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import asyncpg

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

_EVERY_SECONDS = 10.0

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
    here = ZoneInfo(policy.commitment.controller_zone)
    today = now.astimezone(here).date()
    opened = await connection.fetch(OPEN, today, now, age_limits(today, here))
    answered = await connection.fetch(ANSWERED, now - PERIOD)
    ranks = await connection.fetch(TIME_TO_RESPOND, now - PERIOD)
    fell_due = await connection.fetch(FELL_DUE, now - PERIOD, now)
    (to_forward,) = await connection.fetch(TO_FORWARD, now)
    (forwarded,) = await connection.fetch(FORWARDED, now - PERIOD)
    suspended = await connection.fetch(SUSPENDED, now - PERIOD)
    asked = await connection.fetch(ASKED, now - PERIOD)
    deferred = await connection.fetch(DEFERRED, now, now - INCIDENT, now + PERIOD)
    by_calendar = [row for row in opened if row["calendar"] is not None]
    _set_open([row for row in opened if row["calendar"] is None])
    _set_regimes(by_calendar, [row for row in answered if row["calendar"] is not None], policy)
    _set_extended(fell_due)
    _set_processor(to_forward, forwarded)
    _set_questions(asked)
    metrics.SUSPENSION.put(
        {kind: Ranks(number, ranked[0], ranked[1], total) for kind, number, ranked, total in suspended}
    )
    metrics.ANSWERED.clear()
    for *labels, calendar, number in answered:
        if calendar is None:
            metrics.ANSWERED.labels(*labels).set(number)
    _set_deferred(deferred)
    metrics.TIME_TO_RESPOND.put({right: Ranks(number, *percentiles) for right, number, percentiles in ranks})


def age_limits(today: date, zone: ZoneInfo) -> list[datetime]:
    """The midnights at which requests of one age begin, the oldest first."""
    return [datetime.combine(today - timedelta(days=days), time(), zone) for days in _NOT_OLDER]


def _set_open(rows: Iterable[asyncpg.Record]) -> None:
    """Sets every cell, also those in which nobody is: a panel shows zero and not nothing."""
    for right, age in product(Right, AGES):
        metrics.OPEN.labels(right, age).set(0)
    for days in DAYS_LEFT:
        metrics.DAYS_LEFT.labels(days).set(0)
    soon, late = dict.fromkeys(Right, 0), dict.fromkeys(product(Right, ("commitment", "statutory")), 0)
    for row in rows:
        if row["right"] is None:
            metrics.DAYS_LEFT.labels(DAYS_LEFT[row["days_left"]]).set(row["n"])
            continue
        right = Right(row["right"])
        metrics.OPEN.labels(right, AGES[row["older_than"]]).set(row["n"])
        soon[right] += row["due_soon"]
        for clock in ("commitment", "statutory"):
            late[right, clock] += row[clock]
    for right, count in soon.items():
        metrics.DUE_SOON.labels(right).set(count)
    for (right, clock), count in late.items():
        metrics.OVERDUE.labels(right, clock).set(count)


def _set_regimes(opened: Iterable[asyncpg.Record], answered: Iterable[asyncpg.Record], policy: TimeLimitPolicy) -> None:
    """Apart from right and age, whose cells would otherwise be too small to be told outside the privacy team."""
    regimes = ("EU", *sorted({*policy.suspension.regimes.values()} - {"EU"}))
    still = Counter(dict.fromkeys(product(regimes, Timeliness), 0))
    done = Counter(dict.fromkeys(product(regimes, Timeliness), 0))
    for row in opened:
        regime = policy.regime_of(row["calendar"])
        still[regime, Timeliness.ON_TIME] += row["n"] - row["commitment"]
        still[regime, Timeliness.LATE_COMMITMENT] += row["commitment"] - row["breach"]
        still[regime, Timeliness.BREACH] += row["breach"]
    for row in answered:
        done[policy.regime_of(row["calendar"]), Timeliness(row["timeliness"])] += row["n"]
    for labels in still:
        metrics.OPEN_BY_REGIME.labels(*labels).set(still[labels])
        metrics.ANSWERED_BY_REGIME.labels(*labels).set(done[labels])


def _set_questions(rows: Iterable[asyncpg.Record]) -> None:
    for question, in_time in product(Question, ("yes", "no")):
        metrics.QUESTIONS.labels(question, in_time).set(0)
    for question, in_time, number in rows:
        metrics.QUESTIONS.labels(question, in_time).set(number)


def _set_extended(rows: Iterable[asyncpg.Record]) -> None:
    reached, extended = Counter(dict.fromkeys(Right, 0)), Counter(dict.fromkeys(Right, 0))
    for right, number, of_these in rows:
        reached[Right(right)] += number
        extended[Right(right)] += of_these
    for right in Right:
        metrics.REACHED_DUE.labels(right).set(reached[right])
        metrics.EXTENDED.labels(right).set(extended[right])


def _set_processor(to_forward: asyncpg.Record, forwarded: asyncpg.Record) -> None:
    number, in_time, percentiles = forwarded
    for answer, still, done in zip(("yes", "no"), to_forward, (in_time, number - in_time), strict=True):
        metrics.PROCESSOR_OPEN.labels(answer).set(still)
        metrics.PROCESSOR_FORWARDED.labels(answer).set(done)
    metrics.PROCESSOR_DAYS.put({"": Ranks(number, *percentiles)} if number else {})


def _set_deferred(rows: Iterable[asyncpg.Record]) -> None:
    """Sets every state of each system that keeps something, so that what is no longer late is told as zero."""
    counted = {(system, state): number for system, state, number in rows}
    metrics.DEFERRED.clear()
    for system, state in product({system for system, _ in counted}, DEFERRED_STATES):
        metrics.DEFERRED.labels(system, state).set(counted.get((system, state), 0))
