"""Everything that is kept beside a request: its letters, recipients, holds, and what waits for a second person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.intake import recipients
from services.intake.actors import PERSON
from services.intake.identity import stopped
from services.intake.identity.stopped import Why
from services.intake.recipients import Notice
from services.intake.request.causes.delivery import Told
from shared.storage.holds import LegalHold, kept_of
from shared.storage.postgres import Connection

_LETTERS = """
SELECT l.letter_id, l.kind, l.written_at, d.way, d.state, d.fault, d.sent_at,
       coalesce(d.awaited, '[]')
FROM letter l LEFT JOIN delivery d USING (letter_id) WHERE l.request_id = $1 ORDER BY l.letter_id
"""
# Of an answer that two persons have decided, or a request that is closed, nothing waits any more.
_PENDING = """
SELECT p.request_id, 'answer' AS what, p.decision AS which, p.proposed_by, p.proposed_at, r.due_on
FROM proposal p JOIN request r USING (request_id)
WHERE r.decided IS NULL AND (r.state <> 'closed' OR p.decision = 'end_part')
  AND NOT EXISTS (SELECT FROM evidence.entry e WHERE e.request_id = p.request_id AND e.action = 'decision.made'
                  AND e.at >= p.proposed_at)
UNION ALL
SELECT e.request_id, 'extension', e.reason, e.proposed_by, NULL, r.due_on
FROM extension e JOIN request r USING (request_id)
WHERE e.approved_at IS NULL AND r.state <> 'closed'
UNION ALL
SELECT b.request_id, 'weighing', b.finding, b.proposed_by, b.proposed_at, r.due_on
FROM balancing b JOIN request r USING (request_id) WHERE r.state <> 'closed'
UNION ALL
SELECT n.request_id, 'waiver', n.recipient, n.proposed_by, NULL, r.due_on
FROM recipient_notice n JOIN request r USING (request_id) WHERE n.waiver IS NOT NULL AND n.settled_at IS NULL
UNION ALL
SELECT t.request_id, 'proof', t.identity, t.first, t.first_at, r.due_on
FROM proof_taken_back t JOIN request r USING (request_id) WHERE t.second IS NULL
UNION ALL
SELECT h.request_id, 'identity', h.methods, h.holder, h.proposed_at, r.due_on
FROM proof_by_hand h JOIN request r USING (request_id) WHERE r.state <> 'closed' OR r.resumable
UNION ALL
SELECT w.request_id, 'begin', 'erasure', w.first, w.first_at, r.due_on
FROM wait_override w JOIN request r USING (request_id) WHERE w.second IS NULL AND r.postponed
UNION ALL
SELECT p.request_id, 'package', p.fault, p.first, p.first_at, r.due_on
FROM package_release p JOIN request r USING (request_id)
WHERE p.second IS NULL AND p.package_id = r.package_id AND p.fault = r.package_fault
  AND NOT r.renewing AND r.package_gone IS DISTINCT FROM r.package_id
"""
_PENDING_OF = f"SELECT * FROM ({_PENDING}) AS p WHERE $1::uuid IS NULL OR request_id = $1"  # noqa: S608  # constants
_HOLDERS = "SELECT key_id, holder FROM api_key WHERE key_id = ANY($1)"

What = Literal["answer", "extension", "weighing", "waiver", "package", "proof", "identity", "begin"]


@dataclass(frozen=True, slots=True)
class ListedLetter:
    """That a letter was written, and how far it has come; ``way``: None where it is fetched. What it says is sealed.

    ``tells``: what is said once it is delivered.
    """

    letter_id: UUID
    kind: str
    written_at: datetime
    way: str | None
    state: str | None
    fault: str | None
    sent_at: datetime | None
    tells: Sequence[Told] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """What one person has proposed, and another must agree with; ``which``: of an answer which, of a waiver whom."""

    request_id: UUID
    what: What
    which: str
    holder: str
    proposed_at: datetime | None
    due_on: datetime


@dataclass(frozen=True, slots=True)
class RequestFile:
    """What is kept beside one request.

    ``stopped``: for what the proof of who asks waits for a person; ``liftable``: one can say that it is theirs.
    """

    letters: Sequence[ListedLetter]
    notices: Sequence[Notice]
    holds: Sequence[LegalHold]
    pending: Sequence[Pending]
    stopped: Sequence[Why] = ()
    liftable: bool = False


async def read(connection: Connection, request_id: UUID, failures: int) -> RequestFile:
    """What is kept beside that request; ``failures``: so many wrong codes end those of its requester."""
    letters = [ListedLetter(*row) for row in await connection.fetch(_LETTERS, request_id)]
    notices = await recipients.of_request(connection, request_id)
    holds, proposed = await kept_of(connection, request_id), await pending(connection, request_id)
    why = await stopped.why(connection, failures, request_id)
    liftable = await stopped.liftable(connection, failures, request_id)
    return RequestFile(letters, notices, holds, proposed, why, liftable)


async def pending(connection: Connection, request_id: UUID | None = None, limit: int = 200) -> list[Pending]:
    """What waits for a second person, the most urgent first: of one request, or of all."""
    query = f"{_PENDING_OF} ORDER BY due_on, request_id LIMIT $2"
    rows = await connection.fetch(query, request_id, limit)
    keys = [row["proposed_by"] for row in rows]
    holders = dict(map(tuple, await connection.fetch(_HOLDERS, keys)))

    def holder(key_id: str) -> str:
        return str(holders.get(key_id, key_id.removeprefix(PERSON)))

    return [
        Pending(row["request_id"], row["what"], row["which"], holder(row["proposed_by"]), row[4], row["due_on"])
        for row in rows
    ]
