"""What intake counts of its answers beside their number: why it refused, what was fetched, what others found of it."""

from datetime import datetime, timedelta
from itertools import product

from services.intake import metrics
from services.intake.figures import business_days
from services.intake.settings import IntakeSettings
from shared.domain.rights import Right
from shared.domain.time_limit_policy import Commitment
from shared.storage.postgres import Connection

_PERIOD = timedelta(days=30)
_DECIDED = """
SELECT p.decision, p.reason, p.article, count(*) FROM proposal p JOIN request r USING (request_id)
WHERE r.responded_at > $1 AND r.role = 'controller'
      AND (p.decision, r.outcome) IN (('refuse', 'refused'), ('answer_in_part', 'partially_fulfilled'))
GROUP BY 1, 2, 3
"""
# Days of a package end so long after the answer.
_PACKAGES = """
SELECT CASE WHEN downloads > 0 AND downloaded = package_id THEN 'fetched' ELSE 'not_fetched' END, count(*) FROM request
WHERE package_id IS NOT NULL AND responded_at > $1 AND responded_at <= $2 GROUP BY 1
"""
_COMPLAINTS = """
SELECT lodged_with, coalesce(decision, 'open'), count(*) FROM complaint
WHERE received_on > $1::timestamptz::date OR decision IS NULL GROUP BY 1, 2
"""
_OVERTURNED = """
SELECT r."right", count(*) FROM complaint c JOIN request r USING (request_id)
WHERE c.decision = 'upheld' AND c.decided_on > $1::timestamptz::date
      AND r.outcome IN ('refused', 'partially_fulfilled') GROUP BY 1
"""
_BREACHES = """
SELECT CASE WHEN fault IS NULL THEN 'elsewhere' ELSE 'platform' END, count(*) FROM breach WHERE found_at > $1 GROUP BY 1
"""
_SAMPLE = "SELECT sampled, missed FROM intake_sample ORDER BY month DESC LIMIT 1"


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
    await _count_reviews(connection, since)


async def _count_reviews(connection: Connection, since: datetime) -> None:
    complaints = {(row[0], row[1]): row[2] for row in await connection.fetch(_COMPLAINTS, since)}
    told = ("open", "upheld", "rejected", "withdrawn")
    for cell in product(("controller", "authority", "court"), told):
        metrics.COMPLAINTS.labels(*cell).set(complaints.get(cell, 0))
    overturned = dict(map(tuple, await connection.fetch(_OVERTURNED, since)))
    for right in Right:
        metrics.OVERTURNED.labels(right).set(overturned.get(right, 0))
    found = dict(map(tuple, await connection.fetch(_BREACHES, since)))
    for found_by in ("platform", "elsewhere"):
        metrics.BREACHES_FOUND.labels(found_by).set(found.get(found_by, 0))
    for row in await connection.fetch(_SAMPLE):
        metrics.SAMPLED.set(row["sampled"])
        metrics.MISSED.set(row["missed"])
