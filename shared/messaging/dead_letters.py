"""Publishes records that could not be handled to a dead-letter topic; pauses a topic with too many of them."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

import asyncpg

from shared.domain import topics
from shared.domain.topics import Message, ServiceName
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.telemetry import traceparent
from shared.storage.postgres import Connection

OURS = "dsr_"
"""The prefix of the headers that a dead letter adds to those of its record."""

REPLAYED_FOR = "dsr_replayed_for"
"""The header by which a dead letter that is sent again names the service that has set it aside: no other reads it."""

_COUNT = """
INSERT INTO consumed_topic AS t (topic, since, dead_letters) VALUES ($1, $2, 1)
ON CONFLICT (topic) DO UPDATE SET
    since = CASE WHEN t.since > $2 - interval '1 day' THEN t.since ELSE $2 END,
    dead_letters = CASE WHEN t.since > $2 - interval '1 day' THEN t.dead_letters + 1 ELSE 1 END,
    paused_at = coalesce(
        t.paused_at, CASE WHEN t.since > $2 - interval '1 day' AND t.dead_letters >= $3 THEN $2 END
    )
RETURNING paused_at IS NOT NULL
"""


def dead_letter(record: Message, reason: str, detail: str, tx: UnitOfWork) -> Message:
    """A record that could not be handled, with the name of what it broke, what is wrong, and where the broker has it.

    It is as it came, but for headers of a size that is not passed on.
    """
    why = {"dsr_reason": reason, "dsr_topic": record.topic, "dsr_set_aside_at": tx.now.isoformat()}
    if detail:
        why["dsr_detail"] = detail
    if record.offset is not None:
        why |= {"dsr_partition": str(record.partition), "dsr_offset": str(record.offset)}
    return Message(topics.dead_letters(tx.service), record.key, record.value, {**passed_on(record.headers), **why})


_HEADER, _HEADERS = 1_024, 32
"""The largest header that is passed on, in characters of name and value, and how many are."""


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """A stranger's headers without what is too large, too many or no ``traceparent``; how many those were, says one."""
    known = {name: traceparent(value) if name == "traceparent" else value for name, value in headers.items()}
    small = [(name, value) for name, value in known.items() if value is not None and len(name) + len(value) <= _HEADER]
    kept = dict(small[:_HEADERS])
    return kept if len(kept) == len(headers) else kept | {"dsr_headers_cut": str(len(headers) - len(kept))}


async def count(tx: UnitOfWork, topic: str, limit: int) -> bool:
    """Counts a dead letter of that topic; returns whether the topic is paused, because they are more than the limit."""
    return bool(await tx.connection.fetchval(_COUNT, topic, tx.now, limit))


async def paused(pool: asyncpg.Pool) -> AbstractSet[str]:
    """The topics that the service leaves alone."""
    rows = await pool.fetch("SELECT topic FROM consumed_topic WHERE paused_at IS NOT NULL")
    return frozenset(row[0] for row in rows)


async def paused_since(connection: Connection) -> Sequence[tuple[ServiceName, str, datetime]]:
    """Every paused topic of every service, and since when."""
    found = []
    for service in ServiceName:
        rows = await connection.fetch(
            f"SELECT topic, paused_at FROM {service}.consumed_topic WHERE paused_at IS NOT NULL ORDER BY 1"  # noqa: S608  # a name of ours
        )
        found += [(service, row[0], row[1]) for row in rows]
    return found


async def resume(connection: Connection, service: ServiceName, topic: str, besides: int = 0) -> bool:
    """Lets a service read a topic again, and count its dead letters from zero; returns whether it was paused.

    ``besides``: additional dead letters that this day may bring.
    """
    status = await connection.execute(
        f"UPDATE {service}.consumed_topic SET since = now(), dead_letters = -$2::integer, paused_at = NULL"  # noqa: S608  # a name of ours
        " WHERE topic = $1 AND paused_at IS NOT NULL",
        *(topic, besides),
    )
    return bool(status != "UPDATE 0")
