"""What of a breach its owner has proposed, and somebody else must agree with."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.breach import breaches, notices
from shared.storage.postgres import Connection

# Of how the risk was judged the last alone waits, and of a later hour there is one at a time (``awareness``).
_PENDING = """
SELECT * FROM (
    SELECT b.breach_id, 'approve' AS step, a.proposed_by, b.owner, b.notify_by
    FROM breach b JOIN LATERAL (
        SELECT proposed_by, approved_at, void_at FROM breach_assessment WHERE breach_id = b.breach_id
        ORDER BY assessment_id DESC LIMIT 1) a ON a.approved_at IS NULL AND a.void_at IS NULL
    WHERE b.closed_at IS NULL
    UNION ALL
    SELECT b.breach_id, 'approve-awareness', s.source, b.owner, b.notify_by
    FROM breach b JOIN vault.sealed s ON s.subject_ref = b.breach_id AND s.kind = 'breach_awareness_later'
    WHERE b.closed_at IS NULL) AS p
"""
_NOT_AGREED = """
SELECT DISTINCT n.breach_id FROM breach_notice n JOIN breach b USING (breach_id)
WHERE b.closed_at IS NULL AND n.agreed_by IS NULL AND n.whom <> 'persons'
"""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What waits of a breach; ``step``: that by which another agrees; ``owner`` agrees with nothing of it."""

    breach_id: UUID
    step: str
    proposed_by: str
    owner: str | None
    notify_by: datetime


async def pending(connection: Connection, limit: int | None = None) -> list[Proposed]:
    """What waits for a second person in breaches, the nearest end of the 72 hours first; all of it without a limit."""
    found = [Proposed(*row) for row in await connection.fetch(_PENDING)]
    found += await _notices(connection, {row[0] for row in await connection.fetch(_NOT_AGREED)})
    return sorted(found, key=lambda each: (each.notify_by, each.breach_id, each.step))[:limit]


async def _notices(connection: Connection, noted_of: Collection[UUID]) -> list[Proposed]:
    """Of each breach the first notice that counts only once somebody else has agreed."""
    found = list[Proposed]()
    for each in await breaches.still_open(connection) if noted_of else ():
        if each.breach_id not in noted_of:
            continue
        waits = next((notice for notice in await notices.noted(connection, each) if notice.waits), None)
        if waits:
            found.append(Proposed(each.breach_id, "approve-notice", waits.noted_by, each.owner, each.notify_by))
    return found
