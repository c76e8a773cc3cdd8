"""Counts every figure of intake for its metrics: a gauge, the query that counts it, and the labels that show a zero.

Definitions: ``docs/metrics.md``. The page of time limits has figures of its own (``sla``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Final, NamedTuple, get_args
from uuid import UUID

from prometheus_client import Gauge

from services.intake.core import metrics
from services.intake.identity import stopped
from services.intake.identity.proving import identity_policy
from services.intake.queries.sla import business_days
from services.intake.recipients.recipients import overdue_before
from services.intake.request.lifecycle import State
from services.intake.request.reasons import Received
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.assignments import ConflictKind
from shared.domain.mail_content import MailKind
from shared.domain.policy import Policy
from shared.domain.rights import Right
from shared.domain.time_limit_policy import SurgeRule, TimeLimitPolicy
from shared.runtime.loops import FIGURES, run_periodically
from shared.runtime.metrics import FIGURES_AT, Ranks
from shared.runtime.settings import PolicySettings
from shared.storage.postgres import Connection

_PERIOD: Final = timedelta(days=30)
_EVERY_SECONDS: Final = 10.0
_RIGHTS: Final = [(right,) for right in Right]
_ONE: Final[Sequence[tuple[str, ...]]] = [()]
"""The labels of a gauge without labels."""
_WAITS: Final = (State.AWAITING_IDENTITY, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION)
_MAIL: Final = "FROM mail WHERE state IN ('proposed', 'reply')"


class Figure(NamedTuple):
    """A gauge and its query, whose rows are labels and a number; ``values``: the names of its parameters.

    ``zeros``: labels that show 0 where nothing is counted; none: only what is counted is shown.
    """

    gauge: Gauge
    query: str
    zeros: Sequence[tuple[str, ...]] = ()
    values: Sequence[str] = ()

    async def show(self, connection: Connection, known: Mapping[str, object]) -> None:
        """Counts once, and shows the numbers."""
        rows = await connection.fetch(self.query, *(known[name] for name in self.values))
        if not self.zeros:
            self.gauge.clear()
        for labels, number in (dict.fromkeys(self.zeros, 0) | {tuple(row)[:-1]: row[-1] for row in rows}).items():
            (self.gauge.labels(*labels) if labels else self.gauge).set(number)


_WORKED = 'SELECT "right", count(*) FROM request WHERE closed_at > $1 AND tasks IS NOT NULL'
_DECIDED = """
SELECT replace(a.action, '-', '_'), a.shown->>'reason', a.shown->>'article', count(*)
FROM approval a JOIN request r USING (request_id)
WHERE a.state = 'approved' AND r.responded_at > $1 AND r.role = 'controller'
      AND (a.action, r.outcome) IN (('refuse', 'refused'), ('answer-in-part', 'partially_fulfilled'))
GROUP BY 1, 2, 3
"""
# The days of a package end so long after the answer.
_PACKAGES_ENDED = """
SELECT CASE WHEN p.downloads > 0 THEN 'fetched' ELSE 'not_fetched' END, count(*)
FROM request r JOIN package p USING (request_id) WHERE r.responded_at > $1 AND r.responded_at <= $2 GROUP BY 1
"""
_RECIPIENTS = """
SELECT CASE WHEN n.state = 'notified' AND r.written_at < $1 THEN 'overdue' ELSE n.state END, count(*)
FROM recipient_notice n LEFT JOIN recipient_digest d USING (digest_id)
LEFT JOIN recipient_digest r ON r.digest_id = d.reminded_by WHERE n.settled_at IS NULL GROUP BY 1
"""
FIGURES_OF_INTAKE: Final = (
    Figure(
        metrics.WAITING,
        """SELECT "right", state, count(*) FROM request
        WHERE waits IS NOT NULL AND state IN ('awaiting_identity', 'awaiting_clarification', 'awaiting_decision')
        GROUP BY 1, 2""",
        [*product(Right, _WAITS)],
    ),
    Figure(metrics.WORKED, f"{_WORKED} GROUP BY 1", _RIGHTS, ["since"]),
    Figure(
        metrics.COVERED,
        f"""{_WORKED} AND NOT jsonb_path_exists(
            tasks, '$[*] ? (exists(@.failure) || exists(@.not_searched) || !exists(@.outcome))') GROUP BY 1""",
        _RIGHTS,
        ["since"],
    ),
    Figure(
        metrics.EXTENSIONS,
        "SELECT reason, count(*) FROM extension WHERE approved_at > $1 GROUP BY 1",
        values=["since"],
    ),
    Figure(
        metrics.DECIDED,
        _DECIDED,
        values=["since"],
    ),
    Figure(
        metrics.CONFLICTS,
        "SELECT kind, count(*) FROM register.conflict WHERE settled_at IS NULL GROUP BY 1",
        [(kind,) for kind in ConflictKind],
    ),
    Figure(metrics.PROOFS_STOPPED, stopped.COUNTED, [(why,) for why in get_args(stopped.Why)], ["failures"]),
    Figure(metrics.KEYS_SUSPENDED, "SELECT count(*) FROM suspended_key", _ONE),
    Figure(metrics.ERASURES_SUSPENDED, "SELECT count(*) FROM request WHERE waits = 'key'", _ONE),
    Figure(
        metrics.HOLDS,
        """SELECT CASE WHEN review_on < $1 THEN 'past' ELSE 'ahead' END, count(*)
        FROM vault.legal_hold WHERE lifted_at IS NULL GROUP BY 1""",
        [("ahead",), ("past",)],
        ["today"],
    ),
    Figure(
        metrics.INCIDENTS,
        """SELECT CASE WHEN notified_at IS NULL AND found_at <= $1::timestamptz - interval '72 hours'
        THEN 'no' ELSE 'yes' END, count(*) FROM incident WHERE closed_at IS NULL GROUP BY 1""",
        [("yes",), ("no",)],
        ["now"],
    ),
    Figure(
        metrics.INCIDENTS_FOUND,
        """SELECT CASE WHEN fault IS NULL THEN 'elsewhere' ELSE 'platform' END, count(*)
        FROM incident WHERE found_at > $1 GROUP BY 1""",
        [("platform",), ("elsewhere",)],
        ["since"],
    ),
    Figure(
        metrics.WITHHELD,
        """SELECT count(*) FROM package p JOIN request r USING (request_id)
        WHERE NOT p.gone AND p.fault IS NOT NULL AND r.responded_at > $1""",
        _ONE,
        ["kept_since"],
    ),
    Figure(
        metrics.PACKAGES_ENDED,
        _PACKAGES_ENDED,
        [("fetched",), ("not_fetched",)],
        ["ended_since", "kept_since"],
    ),
    Figure(
        metrics.LETTERS,
        "SELECT way, state, count(*) FROM delivery WHERE state IN ('waiting', 'needs_attention') GROUP BY 1, 2",
        [*product(("email", "post"), ("waiting", "needs_attention"))],
    ),
    Figure(
        metrics.LETTER_WAIT,
        """SELECT way, greatest(0, extract(epoch FROM $1::timestamptz - min(written_at)))
        FROM delivery WHERE state = 'waiting' GROUP BY 1""",
        [("email",), ("post",)],
        ["now"],
    ),
    Figure(metrics.MAIL_WAITING, f"SELECT state, count(*) {_MAIL} GROUP BY 1", [("proposed",), ("reply",)]),
    Figure(
        metrics.MAIL_WAIT,
        f"SELECT greatest(0, coalesce(extract(epoch FROM $1::timestamptz - min(read_at)), 0)) {_MAIL}",  # noqa: S608
        _ONE,
        ["now"],
    ),
    Figure(
        metrics.RECIPIENTS,
        _RECIPIENTS,
        [("underway",), ("notified",), ("overdue",)],
        ["silent"],
    ),
)
_CLOSED = """
SELECT "right", count(*), percentile_disc(ARRAY[0.5, 0.95]::float8[])
       WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - received_at)::float8 / 86400)
FROM request WHERE closed_at > $1 AND outcome NOT IN ('withdrawn', 'forwarded') GROUP BY 1
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


async def run(running: Running) -> None:
    """Counts for as long as the service runs."""
    for way in ("email", "post"):
        metrics.LETTERS_SENT.labels(way)
    for kind in MailKind:
        metrics.MAIL.labels(kind)
    for right, event in product(Right, ("accepted", "identity_needed", "identity_verified", "identity_failed")):
        metrics.REQUESTS.labels(right, event)  # at zero from the start: or the first of each would be no increase
    unit_of_work, limits = running.unit_of_work, PolicySettings().read_time_limits()

    async def look() -> None:
        now = unit_of_work.clock.now()
        async with unit_of_work.pool.acquire() as connection:
            await count(connection, unit_of_work.policy, limits, now)
        FIGURES_AT.labels(unit_of_work.service).set(now.timestamp())

    await run_periodically(look, "statistics", _EVERY_SECONDS, running.stopping, running.heartbeats, share=FIGURES)


async def count(connection: Connection, policy: Policy, limits: TimeLimitPolicy, now: datetime) -> None:
    """Counts all figures once; those of a period are of the last 30 days."""
    since, kept = now - _PERIOD, timedelta(days=IntakeSettings().package_days)
    known = {
        "now": now,
        "today": policy.today(now),
        "since": since,
        "kept_since": now - kept,
        "ended_since": since - kept,
        "silent": overdue_before(policy, limits, now),
        "failures": identity_policy().links.failures,
    }
    for figure in FIGURES_OF_INTAKE:
        await figure.show(connection, known)
    closed, detected = await connection.fetch(_CLOSED, since), await connection.fetch(_DETECTED, _first_id_at(since))
    metrics.TIME_TO_CLOSE.put({right: Ranks(number, *percentiles) for right, number, percentiles in closed})
    metrics.DETECTION_LAG.put({channel: Ranks(number, *percentiles) for channel, number, percentiles in detected})
    taken = await business_days(connection, since, limits.commitment)
    metrics.BUSINESS_DAYS.put(taken.by_right)
    metrics.BUSINESS_DAYS_BY_SYSTEM.put(taken.by_system)
    metrics.BUSINESS_DAYS_PROMISED.set(limits.commitment.average_business_days[1])


async def received(connection: Connection, now: datetime, rule: SurgeRule) -> Received:
    """Returns how many requests came lately, and the average of as many days before."""
    since = now - timedelta(days=rule.days)
    before = since - timedelta(days=rule.usual_days)
    row = await connection.fetchrow(_RECEIVED, _first_id_at(since), _first_id_at(before))
    lately, earlier = row or (0, 0)
    return Received(lately, earlier * rule.days / rule.usual_days)


def _first_id_at(instant: datetime) -> UUID:
    """Returns the least UUIDv7 of that millisecond."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
