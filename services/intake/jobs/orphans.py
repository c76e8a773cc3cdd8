"""The sweep of the vault: whose data lie there though nobody needs them; counted, and left to a person to remove.

Definitions: ``docs/metrics.md``.
"""

from collections import Counter
from datetime import datetime, timedelta

from services.intake.core import metrics
from services.intake.core.instants import Retention, retention
from services.intake.jobs import expiry
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.runtime.loops import FIGURES, run_periodically
from shared.storage.postgres import Connection

GRACE = timedelta(hours=1)
"""Time in which a service may still learn that its data is no longer needed."""

KINDS = ("collected", "expired", "key", "no_request")

_EVERY_SECONDS = 3600.0
_AT_MOST_SECONDS = 30.0
"""Less than a loop may stand still for."""

# A key that a system which keeps data, or an erasure that is not done, still needs is told by the reports of the
# request. By whom systems have named, a restriction is lifted.
_ORPHANS = """
SELECT what, count(DISTINCT subject_ref) FROM (
    SELECT 'collected' AS what, s.subject_ref
    FROM vault.sealed s JOIN vault.subject v USING (subject_ref) JOIN request r USING (subject_ref)
    WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND r.responded_at < $1
          AND (s.kind IN ('records', 'upload') AND NOT (r.owed OR r.renewing)
          OR r.outcome IN ('withdrawn', 'refused') AND (s.kind IN ('package', 'release')
             OR s.kind = 'identities' AND s.source NOT IN ('requester', 'taken_back', 'dropped')
                AND r."right" NOT IN ('restriction', 'objection')))
    UNION ALL
    SELECT 'expired', s.subject_ref FROM vault.sealed s JOIN request r USING (subject_ref)
    WHERE s.kind IN ('package', 'release') AND r.package_id IS NOT NULL AND r.responded_at < $2 AND s.created_at < $2
    UNION ALL
    SELECT 'key', r.subject_ref FROM request r JOIN vault.subject v USING (subject_ref)
    WHERE v.wrapped_key IS NOT NULL AND r."right" = 'erasure' AND r.state = 'closed' AND r.closed_at < $1
          AND r.responded_at < $1
          AND NOT r.resumable AND r.outcome NOT IN ('forwarded', 'refused')
          AND (r.outcome = 'withdrawn' OR NOT jsonb_path_exists(
              coalesce(r.tasks, '[]'), '$[*] ? (@.operation == "erase" && (@.outcome == "retained"
                  || exists(@.failure) || exists(@.not_searched) || !exists(@.outcome)))'))
    UNION ALL
    SELECT 'no_request', v.subject_ref FROM vault.subject v
    WHERE v.wrapped_key IS NOT NULL AND v.created_at < $1
          AND NOT EXISTS (SELECT 1 FROM request r WHERE r.subject_ref = v.subject_ref)
          AND NOT EXISTS (SELECT 1 FROM request r WHERE r.request_id = v.subject_ref)
          AND NOT EXISTS (SELECT 1 FROM subject_token t WHERE t.subject_ref = v.subject_ref AND t.used_at IS NULL)
          AND NOT EXISTS (SELECT 1 FROM mail m WHERE m.mail_id = v.subject_ref AND m.decided_at IS NULL)
          AND NOT EXISTS (SELECT 1 FROM vault.returned r WHERE r.subject_ref = v.subject_ref)
          AND NOT EXISTS (SELECT 1 FROM vault.legal_hold h WHERE h.hold_id = v.subject_ref AND h.lifted_at IS NULL)
          AND NOT EXISTS (SELECT 1 FROM incident i WHERE i.incident_id = v.subject_ref)
    UNION ALL
    SELECT 'no_request', s.subject_ref FROM vault.sealed s
    WHERE s.created_at < $1 AND NOT EXISTS (SELECT 1 FROM vault.subject v WHERE v.subject_ref = s.subject_ref)
) AS orphans GROUP BY 1
"""


async def run(running: Running, settings: IntakeSettings) -> None:
    """Sweeps for as long as the service runs."""
    kept, periods = timedelta(days=settings.package_days), retention()

    async def look() -> None:
        async with running.unit_of_work.pool.acquire() as connection:
            await count(connection, running.unit_of_work.clock.now(), kept, periods)

    await run_periodically(look, "orphans", _EVERY_SECONDS, running.stopping, running.heartbeats, share=FIGURES)


async def count(connection: Connection, now: datetime, kept: timedelta, periods: Retention) -> None:
    """Counts once; where that takes too long, there is no number until the next time. ``kept``: of a package."""
    try:
        rows = await connection.fetch(_ORPHANS, now - GRACE, now - GRACE - kept, timeout=_AT_MOST_SECONDS)
        past = await expiry.past(connection, periods, now - GRACE - expiry.EVERY)
    except TimeoutError:
        metrics.ORPHANS.clear()
        raise
    found = Counter({row[0]: row[1] for row in rows}) + Counter({"expired": sum(past.values())})
    for what in KINDS:
        metrics.ORPHANS.labels(what).set(found.get(what, 0))
