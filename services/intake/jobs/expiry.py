"""Expires what the platform holds about a request, tier by tier, every hour and on record (REQ-E1).

Then it counts what is left in the vault that no request needs. A person removes that (``docs/runbook.md``).
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from services.intake.core import metrics
from services.intake.core.instants import Retention, retention
from services.intake.incidents import record as incidents
from services.intake.recipients import digests
from services.intake.request import status
from services.intake.settings import IntakeSettings
from shared.app.service import Running
from shared.domain.events import RequestExpired
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.runtime.loops import run_periodically
from shared.storage import open_requests
from shared.storage.postgres import Connection

EVERY = timedelta(hours=1)
_AT_A_TIME = 500
_AT_MOST_SECONDS = 5.0
GRACE = timedelta(hours=1)
"""The time in which a service consumes the event by which it drops something."""

# The identities that systems have named are needed to lift a restriction, keep an objection or finish an erasure.
_IN_FORCE = "r.outcome IN ('fulfilled', 'partially_fulfilled', 'assisted')"
_UNERASED = """jsonb_path_exists(coalesce(r.tasks, '[]'),
        '$[*] ? (@.operation == "erase" && (@.outcome == "retained"
            || exists(@.failure) || exists(@.not_searched) || !exists(@.outcome)))')"""
_NEEDED = f"""(r.facts ? 'resumable'
    OR r."right" = 'restriction' AND {_IN_FORCE}
        AND coalesce((r.facts ->> 'lifted_at')::timestamptz >= $1, true)
    OR r."right" = 'erasure' AND r.outcome IS DISTINCT FROM 'withdrawn' AND {_UNERASED}
    OR r.owed AND r.outcome IS DISTINCT FROM 'withdrawn' AND jsonb_path_exists(coalesce(r.tasks, '[]'),
        '$[*] ? (exists(@.failure) || exists(@.not_searched) || !exists(@.outcome))'))"""

_ERASED = """
    SELECT FROM request_lookup l JOIN vault.open_request o ON o.mark = l.hash
    JOIN request e ON e.request_id = o.request_id
    WHERE l.request_id = r.request_id AND l.proved AND o.kind = 'erased'
      AND e.outcome IN ('fulfilled', 'partially_fulfilled', 'no_data')
      AND e.closed_at < $1 AND r.accepted_at < e.closed_at AND (l.kind = 'account_id'
          OR NOT EXISTS (
              SELECT FROM request_lookup a WHERE a.request_id = r.request_id AND a.proved AND a.kind = 'account_id')
          OR NOT EXISTS (SELECT FROM vault.open_request x WHERE x.request_id = o.request_id AND x.type = 'account_id'))
"""
End = Callable[[UnitOfWork, str, datetime], Coroutine[None, None, int]]


class Tier(NamedTuple):
    """The rows of a tier that are past its period, from ``FROM`` on; ``$1``: the end of the period, seen from now.

    ``period``: its name in the policy; none: it is over. ``end``: ends some of them, and returns how many.
    """

    rows: str
    period: str | None
    end: End

    async def began(self, connection: Connection, periods: Retention, now: datetime) -> datetime:
        """Before when something must have begun to be past its period now."""
        kept = periods.model_dump()[self.period] if self.period else 0
        unit = "months" if self.period and self.period.endswith("months") else "days"
        moment: datetime = await connection.fetchval(f"SELECT $1::timestamptz - make_interval({unit} => $2)", now, kept)
        return moment


async def run(running: Running, settings: IntakeSettings) -> None:
    """Ends what is due for as long as the service runs."""
    periods, kept, unit_of_work = retention(), timedelta(days=settings.package_days), running.unit_of_work

    async def end() -> None:
        await end_all(unit_of_work, periods, lambda: running.heartbeats.beat("expiry"))
        async with unit_of_work.pool.acquire() as connection:
            await count_left(connection, periods, unit_of_work.clock.now(), kept)

    await run_periodically(end, "expiry", EVERY.total_seconds(), running.stopping, running.heartbeats)


async def end_all(unit_of_work: UnitOfWorkFactory, periods: Retention, beat: Callable[[], None]) -> dict[str, int]:
    """Ends everything that is past its period, in batches; returns how much, by tier."""
    ended = dict.fromkeys(DUE, 0)
    for name, tier in DUE.items():
        some = 1
        while some:
            async with unit_of_work.begin() as tx:
                some = await tier.end(tx, name, await tier.began(tx.connection, periods, tx.now))
            ended[name] += some
            beat()
    return ended


async def past(connection: Connection, periods: Retention, now: datetime) -> dict[str, int]:
    """Counts what is past its period, by tier."""
    return {
        name: await _count(connection, tier.rows, await tier.began(connection, periods, now))
        for name, tier in DUE.items()
    }


async def count_left(connection: Connection, periods: Retention, now: datetime, kept: timedelta) -> None:
    """Counts what should be gone for an hour; if that takes too long, there is no number until the next time.

    ``kept``: how long a package stays.
    """
    try:
        found = {what: await _count(connection, rows, now - GRACE) for what, rows in _UNNEEDED.items()}
        found["expired"] = await _count(connection, _PACKAGES, now - GRACE - kept)
        found["expired"] += sum((await past(connection, periods, now - GRACE - EVERY)).values())
    except TimeoutError:
        metrics.ORPHANS.clear()
        raise
    for what, number in found.items():
        metrics.ORPHANS.labels(what).set(number)


async def _count(connection: Connection, rows: str, began: datetime) -> int:
    number: int = await connection.fetchval(f"SELECT count(*) {rows}", began, timeout=_AT_MOST_SECONDS)
    return number


async def _delete(tx: UnitOfWork, name: str, began: datetime) -> int:
    done = await tx.connection.execute(f"DELETE {DUE[name].rows}", began)
    return int(done.rpartition(" ")[2])


async def _forget_subjects(tx: UnitOfWork, name: str, began: datetime) -> int:
    """Deletes tokens that expired, and what those sealed whose event never came."""
    deleted = f"DELETE {DUE[name].rows} RETURNING token, subject_ref, used_at"
    unread = [row for row in await tx.connection.fetch(deleted, began) if row[2] is None]
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", [row[1] for row in unread])
    for token, *_ in unread:
        tx.log_evidence(token, "evidence.tier_expired", {"tier": name})
    return len(unread)


Drop = Callable[[UnitOfWork, Sequence[UUID], Sequence[UUID]], Coroutine[None, None, None]]


def _of_requests(deleted: str, drop: Drop) -> End:
    """Ends rows that belong to requests, on record with each; ``deleted``: the column that ``drop`` takes."""

    async def end(tx: UnitOfWork, name: str, began: datetime) -> int:
        query = f"SELECT r.request_id, {deleted} {DUE[name].rows} LIMIT {_AT_A_TIME} FOR UPDATE OF r SKIP LOCKED"
        rows = await tx.connection.fetch(query, began)
        await drop(tx, [row[0] for row in rows], [row[1] for row in rows])
        for request_id in dict.fromkeys(row[0] for row in rows):
            tx.log_evidence(request_id, "evidence.tier_expired", {"tier": name})
        return len(rows)

    return end


async def _unseal(tx: UnitOfWork, _requests: Sequence[UUID], sealed: Sequence[UUID]) -> None:
    await tx.connection.execute("DELETE FROM vault.sealed WHERE sealed_id = ANY($1)", sealed)


async def _shred(tx: UnitOfWork, requests: Sequence[UUID], refs: Sequence[UUID]) -> None:
    await tx.vault.shred(tx.connection, refs, tx.now)
    await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = ANY($1)", refs)
    await tx.connection.execute("UPDATE package SET gone = true WHERE request_id = ANY($1)", requests)


async def _strike(tx: UnitOfWork, requests: Sequence[UUID], subjects: Sequence[UUID]) -> None:
    await open_requests.end(tx.connection, requests)
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", [*requests, *subjects])
    for table in ("request_lookup", "recipient_notice"):
        await tx.connection.execute(f"DELETE FROM {table} WHERE request_id = ANY($1)", requests)  # noqa: S608  # names
    deleted = (
        'DELETE FROM request WHERE request_id = ANY($1) RETURNING request_id, "right"'  # and all that refers to it
    )
    for request_id, right in await tx.connection.fetch(deleted, requests):
        status.publish_tombstone(tx, request_id)
        tx.publish(RequestExpired(request_id=request_id, right=Right(right), occurred_at=tx.now))


# An erasure also ends what earlier requests of the same person (``same_person``) have left, except letters, and a
# package within its days.
DUE: Final[Mapping[str, Tier]] = {
    "collected": Tier(
        """FROM vault.sealed s JOIN request r USING (subject_ref)
        WHERE s.kind IN ('records', 'upload') AND r.state = 'closed' AND NOT r.owed AND r.responded_at < $1""",
        "collected_days",
        _of_requests("s.sealed_id", _unseal),
    ),
    "letters": Tier(
        f"""FROM request r JOIN vault.subject v ON v.subject_ref = r.request_id
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND NOT {_NEEDED}
              AND NOT EXISTS (SELECT FROM letter l WHERE l.request_id = r.request_id AND l.written_at >= $1)
              AND NOT EXISTS (SELECT FROM delivery d WHERE d.request_id = r.request_id AND d.awaited IS NOT NULL
                              AND d.state IN ('waiting', 'needs_attention'))
              AND NOT EXISTS (SELECT FROM recipient_notice n WHERE n.request_id = r.request_id
                              AND n.digest_id IS NULL AND n.settled_at IS NULL)""",  # noqa: S608  # constants
        "correspondence_months",
        _of_requests("v.subject_ref", _shred),
    ),
    "identities": Tier(
        f"""FROM request r JOIN vault.subject v ON v.subject_ref = r.subject_ref
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND NOT {_NEEDED}
              AND NOT (r."right" = 'objection' AND {_IN_FORCE})""",
        "correspondence_months",
        _of_requests("v.subject_ref", _shred),
    ),
    "erased": Tier(
        f"""FROM request r JOIN vault.subject v ON v.subject_ref = r.subject_ref
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND NOT {_NEEDED} AND EXISTS ({_ERASED})
              AND NOT EXISTS (
                  SELECT FROM package p LEFT JOIN vault.sealed s ON s.sealed_id = p.package_id
                  WHERE p.request_id = r.request_id
                        AND (r.responded_at >= $1 - interval '14 days' OR s.sealed_id IS NOT NULL))""",
        None,
        _of_requests("r.subject_ref", _shred),
    ),
    "register": Tier(
        """FROM request r WHERE r.state = 'closed' AND r.closed_at < $1 AND NOT EXISTS (
            SELECT 1 FROM vault.subject v
            WHERE v.subject_ref IN (r.request_id, r.subject_ref) AND v.wrapped_key IS NOT NULL)""",
        "register_months",
        _of_requests("r.subject_ref", _strike),
    ),
    "subjects": Tier("FROM subject_token WHERE expires_at < $1", None, _forget_subjects),
    "accounts": Tier("FROM closed_account WHERE learned_at < $1", "account_months", _delete),
    "lookups": Tier(
        """FROM request_lookup l WHERE l.kind <> 'reference' AND NOT l.proved AND EXISTS (
            SELECT FROM request r JOIN vault.subject v USING (subject_ref)
            WHERE r.request_id = l.request_id AND r."right" <> 'consent_withdrawal' AND v.shredded_at <= $1)""",
        None,
        _delete,
    ),
    "idempotency": Tier("FROM idempotency WHERE accepted_at < $1", "idempotency_days", _delete),
    "incidents": Tier(
        "FROM incident WHERE closed_at < $1",
        "incident_months",
        lambda tx, _, began: incidents.forget(tx, began),
    ),
    "sessions": Tier("FROM web_session WHERE expires_at < $1", None, _delete),
    "tokens": Tier("FROM used_token WHERE used_at < $1::timestamptz - interval '1 day'", None, _delete),
    "digests": Tier(digests.EXPIRED, "correspondence_months", lambda tx, _, began: digests.delete_expired(tx, began)),
}
_PACKAGES: Final = """FROM package JOIN request r USING (request_id) WHERE r.responded_at < $1 AND EXISTS (
    SELECT FROM vault.sealed s
    WHERE s.subject_ref = r.subject_ref AND s.kind IN ('package', 'release') AND s.created_at < $1)"""
# The reports of an erasure say whether a system still needs its key. A restriction is lifted by the identities that
# systems have named.
_UNNEEDED: Final[Mapping[str, str]] = {
    "collected": """FROM request r JOIN vault.subject v USING (subject_ref)
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND r.responded_at < $1 AND EXISTS (
            SELECT FROM vault.sealed s WHERE s.subject_ref = r.subject_ref
            AND (s.kind IN ('records', 'upload') AND NOT (r.owed OR r.facts ? 'renewing')
                OR r.outcome IN ('withdrawn', 'refused') AND (s.kind IN ('package', 'release')
                    OR s.kind = 'identities' AND s.source NOT IN ('requester', 'taken_back', 'dropped')
                        AND r."right" NOT IN ('restriction', 'objection'))))""",
    "key": f"""FROM request r JOIN vault.subject v USING (subject_ref)
        WHERE v.wrapped_key IS NOT NULL AND r."right" = 'erasure' AND r.state = 'closed' AND r.closed_at < $1
              AND r.responded_at < $1 AND NOT r.facts ? 'resumable' AND r.outcome NOT IN ('forwarded', 'refused')
              AND (r.outcome = 'withdrawn' OR NOT {_UNERASED})""",
    "no_request": """FROM (
        SELECT v.subject_ref FROM vault.subject v
        WHERE v.wrapped_key IS NOT NULL AND v.created_at < $1
              AND NOT EXISTS (SELECT FROM request r WHERE r.subject_ref = v.subject_ref)
              AND NOT EXISTS (SELECT FROM request r WHERE r.request_id = v.subject_ref)
              AND NOT EXISTS (SELECT FROM subject_token t WHERE t.subject_ref = v.subject_ref AND t.used_at IS NULL)
              AND NOT EXISTS (SELECT FROM mail m WHERE m.mail_id = v.subject_ref AND m.decided_at IS NULL)
              AND NOT EXISTS (SELECT FROM vault.returned r WHERE r.subject_ref = v.subject_ref)
              AND NOT EXISTS (SELECT FROM vault.legal_hold h WHERE h.hold_id = v.subject_ref AND h.lifted_at IS NULL)
              AND NOT EXISTS (SELECT FROM incident i WHERE i.incident_id = v.subject_ref)
        UNION SELECT s.subject_ref FROM vault.sealed s WHERE s.created_at < $1
              AND NOT EXISTS (SELECT FROM vault.subject v WHERE v.subject_ref = s.subject_ref)) AS orphans""",
}
"""Data that no request needs, though the services have consumed the event by which they drop it: a defect left it."""
