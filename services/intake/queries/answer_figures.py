"""Figures of answers: business days, reasons of refusals, packages fetched, who found incidents.

Business days are those of the controller's calendar, in its zone. The day of receipt is not counted, that of the answer
is (Reg. 1182/71, Art. 3(1)): what is answered on the day on which it came took none.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.intake.core import metrics
from services.intake.settings import IntakeSettings
from shared.domain.time_limit_policy import Commitment
from shared.domain.working_days import Calendar, calendar
from shared.runtime.metrics import Mean
from shared.storage.postgres import Connection

_PERIOD = timedelta(days=30)
_DECIDED = """
SELECT replace(a.action, '-', '_'), a.shown->>'reason', a.shown->>'article', count(*)
FROM approval a JOIN request r USING (request_id)
WHERE a.state = 'approved' AND r.responded_at > $1 AND r.role = 'controller'
      AND (a.action, r.outcome) IN (('refuse', 'refused'), ('answer-in-part', 'partially_fulfilled'))
GROUP BY 1, 2, 3
"""
# Days of a package end so long after the answer.
_PACKAGES = """
SELECT CASE WHEN downloads > 0 AND downloaded = package_id THEN 'fetched' ELSE 'not_fetched' END, count(*) FROM request
WHERE package_id IS NOT NULL AND responded_at > $1 AND responded_at <= $2 GROUP BY 1
"""
_INCIDENTS = """
SELECT CASE WHEN fault IS NULL THEN 'elsewhere' ELSE 'platform' END, count(*)
FROM incident WHERE found_at > $1 GROUP BY 1
"""


async def count(connection: Connection, now: datetime, commitment: Commitment, settings: IntakeSettings) -> None:
    """Counts once, of the last 30 days."""
    since = now - _PERIOD
    taken = await business_days(connection, since, commitment)
    metrics.BUSINESS_DAYS.put(taken.by_right)
    metrics.BUSINESS_DAYS_BY_SYSTEM.put(taken.by_system)
    metrics.BUSINESS_DAYS_PROMISED.set(commitment.average_business_days[1])
    metrics.DECIDED.clear()
    for decision, reason, article, number in await connection.fetch(_DECIDED, since):
        metrics.DECIDED.labels(decision, reason, article).set(number)
    kept = timedelta(days=settings.package_days)
    ended = dict(map(tuple, await connection.fetch(_PACKAGES, since - kept, now - kept)))
    for result in ("fetched", "not_fetched"):
        metrics.PACKAGES_ENDED.labels(result).set(ended.get(result, 0))
    found = dict(map(tuple, await connection.fetch(_INCIDENTS, since)))
    for found_by in ("platform", "elsewhere"):
        metrics.INCIDENTS_FOUND.labels(found_by).set(found.get(found_by, 0))


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
class ResponseDays:
    """The means by right, and by system of all requests in which it had a part."""

    by_right: Mapping[str, Mean]
    by_system: Mapping[str, Mean]


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
