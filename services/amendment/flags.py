"""Whose flag in a CRM or a tracker somebody of the company had set before us: a lift leaves it as it was found.

A system with one flag for a person does not say whose it is. What each restriction of ours has seen there when it began
is noted; where another one was in force, the flag may have been that one's, and what the first has seen counts.
"""

from collections.abc import Sequence
from uuid import UUID

from shared.messaging.unit_of_work import UnitOfWork

_NOTE = """
INSERT INTO restriction_flag (request_id, system, reference, was_set)
SELECT f.request_id, t.system, flag.key, bool_and(flag.value::boolean) AND coalesce((
    SELECT bool_and(other.was_set) FROM restriction_flag other JOIN restriction r USING (request_id)
    WHERE other.system = t.system AND other.reference = flag.key AND other.request_id <> f.request_id
      AND r.lifted_at IS NULL), true)
FROM fulfilment f JOIN task t USING (fulfilment_id) CROSS JOIN LATERAL jsonb_each(t.progress -> 'flags') flag
WHERE f.request_id = ANY($1) AND t.operation = 'restrict' AND t.progress ? 'flags'
GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING
"""
# Of two at once, the one that was slower to be noted may be the one that has seen it first.
_SEEN_UNSET = """
UPDATE restriction_flag other SET was_set = false FROM restriction_flag mine, restriction r
WHERE mine.request_id = ANY($1) AND NOT mine.was_set AND other.was_set
  AND other.system = mine.system AND other.reference = mine.reference
  AND r.request_id = other.request_id AND r.lifted_at IS NULL
"""
_LEFT = """
SELECT request_id, system, reference FROM restriction_flag WHERE request_id = ANY($1) AND was_set ORDER BY 1, 2, 3
"""


async def note(tx: UnitOfWork, restricted: Sequence[UUID]) -> None:
    """Notes what the restrictions of these requests have found, whether or not they are done in every system."""
    if restricted:
        await tx.connection.execute(_NOTE, restricted)
        await tx.connection.execute(_SEEN_UNSET, restricted)


async def left(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, dict[str, list[str]]]:
    """By request and system, whose flag stays when it is lifted: somebody of the company had set it before."""
    found: dict[UUID, dict[str, list[str]]] = {}
    for request_id, system, reference in await tx.connection.fetch(_LEFT, requests):
        found.setdefault(request_id, {}).setdefault(system, []).append(reference)
    return found


async def forget(tx: UnitOfWork, lifted: Sequence[UUID]) -> None:
    """Forgets what restrictions have found that are lifted."""
    await tx.connection.execute("DELETE FROM restriction_flag WHERE request_id = ANY($1)", lifted)
