"""Deduplicates events: ids are inserted in the handlers' own transaction, so that a repeat has no effect."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from shared.storage.postgres import Connection


async def fresh(connection: Connection, event_ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Marks these events as consumed; returns those that had not been consumed before."""
    rows = await connection.fetch(
        "INSERT INTO inbox (event_id, consumed_at) SELECT id, $2 FROM unnest($1::uuid[]) AS id"
        " ON CONFLICT DO NOTHING RETURNING event_id",
        event_ids,
        now,
    )
    return {row[0] for row in rows}


async def forget(connection: Connection, before: datetime, limit: int = 200_000) -> int:
    """Deletes up to ``limit`` marks older than any record the broker still holds; returns how many."""
    status = await connection.execute(
        "DELETE FROM inbox WHERE ctid = ANY(ARRAY(SELECT ctid FROM inbox WHERE consumed_at < $1 LIMIT $2))",
        before,
        limit,
    )
    return int(status.split()[-1])


KEEP = timedelta(days=14)
"""Twice the retention of the topics: a record that the broker can still deliver is always remembered."""
