"""Fulfilments that know whom they are about, and wait for other requests of the same person before they erase."""

from collections.abc import Sequence
from uuid import UUID

from shared.domain.rights import Right
from shared.fulfilment.store import Postpone, Waiting
from shared.messaging.unit_of_work import UnitOfWork

# Before anything is erased, and again whenever it had stopped; not while it is at work.
_BEFORE_ERASING = """
SELECT f.fulfilment_id, f.request_id, f.subject_ref, f."right", f.details FROM fulfilment f
WHERE f.fulfilment_id = ANY($1) AND f.operation = 'erase' AND f.tenant IS NULL
  AND NOT f.details ?| ARRAY['deferred', 'owed', 'repair']
  AND NOT EXISTS (SELECT FROM vault.open_request o WHERE o.request_id = f.request_id AND o.kind = 'erasure'
                  AND NOT o.stopped)
  AND (SELECT t.operation FROM task t
       WHERE t.fulfilment_id = f.fulfilment_id AND t.state IN ('waiting', 'ready', 'failed') AND NOT t.observes
       ORDER BY t.stage LIMIT 1) = 'erase'
"""
_POSTPONE = "UPDATE fulfilment SET state = 'blocked', held = true WHERE fulfilment_id = ANY($1)"
_PUT_BACK = "UPDATE task SET state = 'waiting' WHERE fulfilment_id = ANY($1) AND state = 'ready' AND NOT observes"


async def postponed(tx: UnitOfWork, postpone: Postpone | None, ids: Sequence[UUID]) -> set[UUID]:
    """Those of these fulfilments that must wait before they erase (the rest); nobody works them until a retry."""
    if postpone is None or not ids:
        return set()
    rows = await tx.connection.fetch(_BEFORE_ERASING, ids)
    waiting = [Waiting(row[0], row[1], row[2], Right(row[3]), row[4]) for row in rows]
    held = await postpone(tx, waiting) if waiting else set()
    if held:
        await tx.connection.execute(_POSTPONE, list(held))
        await tx.connection.execute(_PUT_BACK, list(held))
    return held
