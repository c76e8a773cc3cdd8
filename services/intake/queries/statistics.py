"""Counts for metrics: time to close, detection lag, coverage, and requests that wait for a person.

Definitions: ``docs/metrics.md``.
"""

from datetime import datetime, timedelta
from itertools import product
from uuid import UUID

from services.intake.core import metrics
from services.intake.identity import stopped
from services.intake.identity.proving import identity_policy
from services.intake.letters import delivery
from services.intake.mail import inbox
from services.intake.queries import answer_figures
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Received
from services.intake.reviews import rows
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.mail_content import MailKind
from shared.domain.rights import Right
from shared.domain.time_limit_policy import SurgeRule
from shared.runtime.loops import FIGURES, run_periodically
from shared.runtime.metrics import FIGURES_AT, Ranks
from shared.runtime.settings import PolicySettings
from shared.storage.postgres import Connection

PERIOD = timedelta(days=30)
_EVERY_SECONDS = 10.0
_FOR_A_PERSON = (State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION)

_WAITING = """
SELECT state, "right", count(*) FROM request
WHERE state IN ('awaiting_identity', 'awaiting_clarification', 'awaiting_decision') GROUP BY 1, 2
"""

_CLOSED = """
SELECT "right",
       count(*) FILTER (WHERE tasks IS NOT NULL) AS worked,
       count(*) FILTER (WHERE tasks IS NOT NULL AND NOT jsonb_path_exists(
           tasks, '$[*] ? (exists(@.failure) || exists(@.not_searched) || !exists(@.outcome))')) AS covered,
       count(*) FILTER (WHERE outcome NOT IN ('withdrawn', 'forwarded')) AS timed,
       percentile_disc(ARRAY[0.5, 0.95]::float8[])
           WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - received_at)::float8 / 86400)
           FILTER (WHERE outcome NOT IN ('withdrawn', 'forwarded')) AS percentiles
FROM request WHERE closed_at > $1 GROUP BY 1
"""

# Ids are UUIDv7, so the primary key is in the order of acceptance.
_DETECTED = """
SELECT channel, count(*), percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY GREATEST(0, extract(epoch FROM accepted_at - received_at)::float8 / 86400))
FROM request WHERE request_id >= $1 GROUP BY 1
"""


_RECEIVED = """
SELECT count(*) FILTER (WHERE request_id >= $1), count(*) FILTER (WHERE request_id < $1)
FROM request WHERE request_id >= $2
"""
_EXTENSIONS = "SELECT reason, count(*) FROM extension WHERE approved_at > $1 GROUP BY 1"


async def run(running: Running) -> None:
    """Counts for as long as the service runs."""
    commitment, settings = PolicySettings().read_time_limits().commitment, IntakeSettings()
    for way in ("email", "post"):
        metrics.LETTERS_SENT.labels(way)
    for kind in MailKind:
        metrics.MAIL.labels(kind)
    for right, event in product(Right, ("accepted", "identity_needed", "identity_verified", "identity_failed")):
        metrics.REQUESTS.labels(right, event)  # at zero from the start: or the first of each would be no increase

    async def look() -> None:
        unit_of_work = running.unit_of_work
        now = unit_of_work.clock.now()
        async with unit_of_work.pool.acquire() as connection:
            await count(connection, now)
            await answer_figures.count(connection, now, commitment, settings)
        FIGURES_AT.labels(unit_of_work.service).set(now.timestamp())

    await run_periodically(look, "statistics", _EVERY_SECONDS, running.stopping, running.heartbeats, share=FIGURES)


async def count(connection: Connection, now: datetime) -> None:
    """Counts once."""
    since = now - PERIOD
    waiting = {(state, right): number for state, right, number in await connection.fetch(_WAITING)}
    closed = {row["right"]: row for row in await connection.fetch(_CLOSED, since)}
    extensions = await connection.fetch(_EXTENSIONS, since)
    detected = await connection.fetch(_DETECTED, _first_id_at(since))
    for right, state in product(Right, _FOR_A_PERSON):
        metrics.WAITING.labels(right, state).set(waiting.get((state, right), 0))
    for right in Right:
        metrics.WORKED.labels(right).set(closed[right]["worked"] if right in closed else 0)
        metrics.COVERED.labels(right).set(closed[right]["covered"] if right in closed else 0)
    await rows.count_conflicts(connection)
    await delivery.count(connection, now)
    await inbox.count(connection, now)
    await stopped.count(connection, identity_policy().links.failures)
    metrics.EXTENSIONS.clear()
    for reason, number in extensions:
        metrics.EXTENSIONS.labels(reason).set(number)
    metrics.TIME_TO_CLOSE.put(
        {right: Ranks(row["timed"], *row["percentiles"]) for right, row in closed.items() if row["timed"]}
    )
    metrics.DETECTION_LAG.put({channel: Ranks(number, *percentiles) for channel, number, percentiles in detected})


async def received(connection: Connection, now: datetime, rule: SurgeRule) -> Received:
    """Requests that came lately, and the average of as many days before."""
    since = now - timedelta(days=rule.days)
    before = since - timedelta(days=rule.usual_days)
    row = await connection.fetchrow(_RECEIVED, _first_id_at(since), _first_id_at(before))
    lately, earlier = row or (0, 0)
    return Received(lately, earlier * rule.days / rule.usual_days)


def _first_id_at(instant: datetime) -> UUID:
    """The least UUIDv7 of that millisecond."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
