"""Counts reasons of refusals, packages by whether they were fetched, and who found incidents."""

from datetime import datetime, timedelta

from services.intake import metrics
from services.intake.figures import business_days
from services.intake.settings import IntakeSettings
from shared.domain.time_limit_policy import Commitment
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
    taken = await business_days.read(connection, since, commitment)
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
