"""What of a breach its owner has proposed, and somebody else must agree with."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.storage.postgres import Connection

# Of how the risk was judged the last alone waits, and of a later hour there is one at a time (``awareness``).
_PENDING = """
SELECT * FROM (
    SELECT b.breach_id, 'approve' AS step, a.proposed_by, b.owner, b.notify_by
    FROM breach b JOIN LATERAL (
        SELECT proposed_by, approved_at FROM breach_assessment WHERE breach_id = b.breach_id
        ORDER BY assessment_id DESC LIMIT 1) a ON a.approved_at IS NULL
    WHERE b.closed_at IS NULL
    UNION ALL
    SELECT b.breach_id, 'approve-awareness', s.source, b.owner, b.notify_by
    FROM breach b JOIN vault.sealed s ON s.subject_ref = b.breach_id AND s.kind = 'breach_awareness_later'
    WHERE b.closed_at IS NULL) AS p
ORDER BY notify_by, breach_id, step LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Proposed:
    """What waits of a breach; ``step``: that by which another agrees; ``owner`` agrees with nothing of it."""

    breach_id: UUID
    step: str
    proposed_by: str
    owner: str | None
    notify_by: datetime


async def pending(connection: Connection, limit: int) -> list[Proposed]:
    """What waits for a second person in breaches, the nearest end of the 72 hours first."""
    return [Proposed(*row) for row in await connection.fetch(_PENDING, limit)]
