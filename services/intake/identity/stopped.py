"""Lists proof that waits for a person: wrong codes, a withheld link, or a recipient who did not ask (REQ-S5).

It waits as long as the request does; other proof, or an answer, ends it. A recipient may say that they have asked for
nothing. If a link or code of theirs proved the request, or they cannot open it any more, it waits after the answer
too: until a proposal to revoke the proof is approved by a second person, or rejected.
"""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from services.intake.core.schemas import Instant
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

Why = Literal["disowned", "wrong_codes", "withheld"]
_WAITING = """
SELECT l.request_id, CASE WHEN bool_or(l.disowned_at IS NOT NULL) THEN 'disowned' ELSE 'wrong_codes' END,
       coalesce(max(l.disowned_at), max(l.sent_at)), r.due_on
  FROM proof_link l JOIN request r USING (request_id)
 WHERE l.failures > 0 OR l.disowned_at IS NOT NULL
 GROUP BY l.request_id, r.request_id
HAVING bool_or(l.disowned_at IS NOT NULL) AND (r.state = 'awaiting_identity'
       OR EXISTS (SELECT FROM proof_link u WHERE u.request_id = r.request_id AND u.used_at IS NOT NULL
                  AND u.disowned_at IS NULL) AND NOT EXISTS (
           SELECT FROM approval a
            WHERE a.request_id = r.request_id AND a.action = 'revoke-proof' AND a.state = 'approved'))
    OR r.state = 'awaiting_identity' AND sum(l.failures) >= $1
UNION ALL
SELECT w.request_id, 'withheld', w.withheld_at, r.due_on FROM proof_withheld w JOIN request r USING (request_id)
 WHERE r.state = 'awaiting_identity' AND NOT EXISTS (
       SELECT FROM proof_link l WHERE l.request_id = w.request_id AND l.disowned_at IS NOT NULL)
"""
_LISTED = f"{_WAITING} ORDER BY due_on, request_id LIMIT $2"
_OF_ONE = f"SELECT * FROM ({_WAITING}) AS w (request_id, why, since, due_on) WHERE request_id = $2"  # noqa: S608  # constants
COUNTED = f"SELECT why, count(*) FROM ({_WAITING}) AS w (request_id, why, since, due_on) GROUP BY 1"  # noqa: S608
"""Counts those that wait, by why."""
_LIFT = """
UPDATE proof_link SET disowned_at = NULL WHERE request_id = $1 AND EXISTS (
    SELECT FROM approval a
    WHERE a.request_id = $1 AND a.action = 'revoke-proof' AND a.state = 'rejected' AND a.decided_at = $2)
"""
MOST = 1000
"""Rows of the list, at most."""


class Stopped(BaseModel):
    """A request whose proof waits for a person, as no link or code can give it."""

    request_id: UUID
    why: Why = Field(
        description="wrong_codes: so many were wrong that none is accepted any more; disowned: the recipient of the"
        " link says that they have asked for nothing, so another person may have; withheld: too many were sent to"
        " that mailbox in an hour, or asked for from one place, so the last one was not sent"
    )
    since: Instant


async def waiting(connection: Connection, failures: int) -> list[Stopped]:
    """Those that wait for a person, the nearest deadline first; ``failures``: so many wrong codes end them."""
    rows = await connection.fetch(_LISTED, failures, MOST)
    return [Stopped(request_id=row[0], why=row[1], since=row[2]) for row in rows]


async def why(connection: Connection, failures: int, request_id: UUID) -> list[Why]:
    """For what the proof of one request waits for a person: nothing, where it does not; ``failures``: as above."""
    rows = await connection.fetch(_OF_ONE, failures, request_id)
    return sorted({row["why"] for row in rows})


async def lift(tx: UnitOfWork, request_id: UUID) -> None:
    """Makes links and codes good again where a proposal to revoke the proof is rejected now: it was theirs."""
    await tx.connection.execute(_LIFT, request_id, tx.now)
