"""The expiry of what the platform holds about a request, tier by tier, every hour and on record (REQ-E1)."""

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.intake.core.instants import Retention, retention
from services.intake.incidents import record as incidents
from services.intake.recipients import digests
from services.intake.request import status
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

# By whom systems have named, a restriction is lifted, an objection kept up and an erasure finished.
_IN_FORCE = "r.outcome IN ('fulfilled', 'partially_fulfilled', 'assisted')"
_NEEDED = f"""(r.resumable
    OR r."right" = 'restriction' AND {_IN_FORCE} AND (r.lifted_at IS NULL OR r.lifted_at >= $1)
    OR r."right" = 'erasure' AND r.outcome IS DISTINCT FROM 'withdrawn' AND jsonb_path_exists(coalesce(r.tasks, '[]'),
        '$[*] ? (@.operation == "erase" && (@.outcome == "retained"
            || exists(@.failure) || exists(@.not_searched) || !exists(@.outcome)))')
    OR r.owed AND r.outcome IS DISTINCT FROM 'withdrawn' AND jsonb_path_exists(coalesce(r.tasks, '[]'),
        '$[*] ? (exists(@.failure) || exists(@.not_searched) || !exists(@.outcome))'))"""

_ERASED = """
    SELECT FROM vault.open_request o JOIN request e USING (request_id)
    WHERE o.kind = 'erased' AND e.outcome IN ('fulfilled', 'partially_fulfilled', 'no_data')
      AND e.closed_at < $1 AND r.accepted_at < e.closed_at AND (o.mark = r.proved_account
          OR o.mark = r.proved_email AND (r.proved_account IS NULL OR NOT EXISTS (
              SELECT FROM vault.open_request x WHERE x.request_id = o.request_id AND x.type = 'account_id')))
"""

# $1: the end of the period, as seen from now. An erasure also ends what earlier requests of the same person have left,
# which are told as in ``same_person``; their letters stay, and a package within its days unless that is waived.
DUE = {
    "collected": """
        SELECT r.request_id, s.sealed_id FROM vault.sealed s JOIN request r USING (subject_ref)
        WHERE s.kind IN ('records', 'upload') AND r.state = 'closed' AND NOT r.owed AND r.responded_at < $1""",
    "letters": f"""
        SELECT r.request_id, v.subject_ref FROM request r JOIN vault.subject v ON v.subject_ref = r.request_id
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND NOT {_NEEDED}
              AND NOT EXISTS (SELECT FROM letter l WHERE l.request_id = r.request_id AND l.written_at >= $1)
              AND NOT EXISTS (SELECT FROM delivery d WHERE d.request_id = r.request_id AND d.awaited IS NOT NULL
                              AND d.state IN ('waiting', 'person'))
              AND NOT EXISTS (SELECT FROM recipient_notice n WHERE n.request_id = r.request_id
                              AND n.digest_id IS NULL AND n.settled_at IS NULL)""",  # noqa: S608  # constants
    "identities": f"""
        SELECT r.request_id, v.subject_ref FROM request r JOIN vault.subject v ON v.subject_ref = r.subject_ref
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND r.closed_at < $1 AND NOT {_NEEDED}
              AND NOT (r."right" = 'objection' AND {_IN_FORCE})""",  # noqa: S608  # constants
    "erased": f"""
        SELECT r.request_id, r.subject_ref
        FROM request r JOIN vault.subject v ON v.subject_ref = r.subject_ref
        WHERE v.wrapped_key IS NOT NULL AND r.state = 'closed' AND NOT {_NEEDED} AND EXISTS ({_ERASED})
              AND (r.package_id IS NULL
                   OR r.responded_at < $1 - interval '14 days'
                   AND NOT EXISTS (SELECT 1 FROM vault.sealed s WHERE s.sealed_id = r.package_id))""",  # noqa: S608
    "register": """
        SELECT r.request_id, r.subject_ref FROM request r
        WHERE r.state = 'closed' AND r.closed_at < $1 AND NOT EXISTS (
            SELECT 1 FROM vault.subject v
            WHERE v.subject_ref IN (r.request_id, r.subject_ref) AND v.wrapped_key IS NOT NULL)""",
    "subjects": "SELECT NULL::uuid, t.subject_ref FROM subject_token t WHERE t.expires_at < $1",
    "accounts": "SELECT NULL::uuid, NULL::uuid FROM closed_account c WHERE c.learned_at < $1",
    "lookups": """
        SELECT NULL::uuid, NULL::uuid FROM request_lookup l JOIN request r USING (request_id)
        JOIN vault.subject v USING (subject_ref) WHERE v.shredded_at <= $1 AND l.kind <> 'reference'""",
    "idempotency": "SELECT NULL::uuid, NULL::uuid FROM idempotency i WHERE i.accepted_at < $1",
    "incidents": "SELECT i.request_id, i.incident_id FROM incident i WHERE i.closed_at < $1",
    "sessions": """
        SELECT NULL::uuid, NULL::uuid FROM web_session s WHERE s.expires_at < $1
        UNION ALL SELECT NULL, NULL FROM used_token t WHERE t.used_at < $1::timestamptz - interval '1 day'""",
    "digests": f"SELECT NULL::uuid, d.digest_id {digests.EXPIRED}",
}
"""What is past its period, by tier: the request, and what is to go of it."""

_BEFORE = """
SELECT $1::timestamptz - make_interval(days => $2), $1 - make_interval(months => $3), $1 - make_interval(months => $3),
       $1, $1 - make_interval(months => $4), $1, $1 - make_interval(months => $6), $1, $1 - make_interval(days => $5),
       $1 - make_interval(months => $7), $1, $1 - make_interval(months => $3)
"""


async def run(running: Running) -> None:
    """Ends what is due for as long as the service runs."""
    periods = retention()

    async def end() -> None:
        await end_all(running.unit_of_work, periods, lambda: running.heartbeats.beat("expiry"))

    await run_periodically(end, "expiry", EVERY.total_seconds(), running.stopping, running.heartbeats)


async def before(connection: Connection, periods: Retention, now: datetime) -> dict[str, datetime]:
    """Before when each tier must have begun to be past its period now."""
    days, months = periods.collected_days, periods.correspondence_months
    more = periods.register_months, periods.idempotency_days, periods.account_months, periods.incident_months
    row = await connection.fetchrow(_BEFORE, now, days, months, *more)
    return dict(zip(DUE, row or (), strict=True))


async def end_all(unit_of_work: UnitOfWorkFactory, periods: Retention, beat: Callable[[], None]) -> dict[str, int]:
    """Ends everything that is past its period, not all at once; returns how much, by tier."""
    ended = dict.fromkeys(DUE, 0)
    for tier in DUE:
        while some := await _end_some(unit_of_work, periods, tier):
            ended[tier] += some
            beat()
    return ended


async def past(connection: Connection, periods: Retention, now: datetime) -> dict[str, int]:
    """How much is past its period, by tier."""
    began = await before(connection, periods, now)
    counts = {tier: f"SELECT count(*) FROM ({due}) AS due" for tier, due in DUE.items()}  # noqa: S608  # constants
    return {
        tier: await connection.fetchval(count, began[tier], timeout=_AT_MOST_SECONDS) for tier, count in counts.items()
    }


async def _end_some(unit_of_work: UnitOfWorkFactory, periods: Retention, tier: str) -> int:
    async with unit_of_work.begin() as tx:
        began = (await before(tx.connection, periods, tx.now))[tier]
        if tier in _OF_NO_REQUEST:
            return await _OF_NO_REQUEST[tier](tx, began)
        rows = await tx.connection.fetch(f"{DUE[tier]} LIMIT {_AT_A_TIME} FOR UPDATE OF r SKIP LOCKED", began)
        await _END[tier](tx, [row[0] for row in rows], [row[1] for row in rows])
        for request_id in {row[0]: None for row in rows}:
            tx.log_evidence(request_id, "evidence.tier_expired", {"tier": tier})
    return len(rows)


async def _forget_keys(tx: UnitOfWork, began: datetime) -> int:
    done = await tx.connection.execute("DELETE FROM idempotency WHERE accepted_at < $1", began)
    return int(done.rpartition(" ")[2])


async def _forget_lookups(tx: UnitOfWork, began: datetime) -> int:
    done = await tx.connection.execute(
        "DELETE FROM request_lookup l USING request r JOIN vault.subject v USING (subject_ref)"
        " WHERE l.request_id = r.request_id AND v.shredded_at <= $1 AND l.kind <> 'reference'",
        began,
    )
    return int(done.rpartition(" ")[2])


async def _forget_sessions(tx: UnitOfWork, began: datetime) -> int:
    sessions = await tx.connection.execute("DELETE FROM web_session WHERE expires_at < $1", began)
    tokens = await tx.connection.execute(
        "DELETE FROM used_token WHERE used_at < $1::timestamptz - interval '1 day'", began
    )
    return sum(int(done.rpartition(" ")[2]) for done in (sessions, tokens))


async def _forget_subjects(tx: UnitOfWork, began: datetime) -> int:
    """Tokens that expired, and what those sealed whose event never came."""
    gone = "DELETE FROM subject_token WHERE expires_at < $1 RETURNING token, subject_ref, used_at"
    unread = [row for row in await tx.connection.fetch(gone, began) if row[2] is None]
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", [row[1] for row in unread])
    for token, *_ in unread:
        tx.log_evidence(token, "evidence.tier_expired", {"tier": "subjects"})
    return len(unread)


async def _forget_accounts(tx: UnitOfWork, began: datetime) -> int:
    done = await tx.connection.execute("DELETE FROM closed_account WHERE learned_at < $1", began)
    return int(done.rpartition(" ")[2])


async def _drop(tx: UnitOfWork, _requests: Sequence[UUID], sealed: Sequence[UUID]) -> None:
    await tx.connection.execute("DELETE FROM vault.sealed WHERE sealed_id = ANY($1)", sealed)


async def _shred(tx: UnitOfWork, _requests: Sequence[UUID], refs: Sequence[UUID]) -> None:
    await tx.vault.shred(tx.connection, refs, tx.now)
    await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = ANY($1)", refs)
    await tx.connection.execute("UPDATE request SET package_gone = package_id WHERE subject_ref = ANY($1)", refs)


async def _strike(tx: UnitOfWork, requests: Sequence[UUID], subjects: Sequence[UUID]) -> None:
    await open_requests.end(tx.connection, requests)
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", [*requests, *subjects])
    for table in ("request_lookup", "recipient_notice"):
        await tx.connection.execute(f"DELETE FROM {table} WHERE request_id = ANY($1)", requests)  # noqa: S608  # names
    gone = 'DELETE FROM request WHERE request_id = ANY($1) RETURNING request_id, "right"'  # and all that refers to it
    for request_id, right in await tx.connection.fetch(gone, requests):
        status.forget(tx, request_id)
        tx.publish(RequestExpired(request_id=request_id, right=Right(right), occurred_at=tx.now))


_END: dict[str, Callable[[UnitOfWork, Sequence[UUID], Sequence[UUID]], Coroutine[None, None, None]]] = {
    "collected": _drop,
    "letters": _shred,
    "identities": _shred,
    "erased": _shred,
    "register": _strike,
}
_OF_NO_REQUEST: dict[str, Callable[[UnitOfWork, datetime], Coroutine[None, None, int]]] = {
    "subjects": _forget_subjects,
    "accounts": _forget_accounts,
    "lookups": _forget_lookups,
    "idempotency": _forget_keys,
    "incidents": incidents.forget,
    "sessions": _forget_sessions,
    "digests": digests.forget,
}
