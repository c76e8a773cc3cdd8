"""What is yet to be published: written with the change it speaks of, sent in order, deleted once acknowledged."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import orjson

from shared.domain.events import Event, type_of
from shared.domain.records import Message
from shared.domain.topics import ServiceName
from shared.messaging.producer import BusAway, Send
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup
from shared.storage.postgres import AWAY, Connection

log = logging.getLogger(__name__)

_BATCH = 2_000
_POLL_SECONDS = 0.05
_LEAD = "SELECT pg_try_advisory_lock(hashtext('dsr-relay'), hashtext($1))"


def message(event: Event, service: ServiceName, traceparent: str | None) -> Message:
    """An event as a Kafka record: CloudEvents 1.0 binary content mode, key = request id."""
    headers = {
        "ce_type": type_of(type(event)),  # first, with the right: a reader that waits for neither looks no further
        "ce_right": event.right,
        "ce_specversion": "1.0",
        "ce_id": str(event.event_id),
        "ce_source": f"/dsr/{service}",
        "ce_time": event.occurred_at.isoformat(),
        "content-type": "application/json",
    }
    if traceparent:
        headers["traceparent"] = traceparent
    return Message(event.topic, str(event.request_id).encode(), event.model_dump_json().encode(), headers)


async def insert(connection: Connection, messages: Sequence[Message]) -> None:
    """Adds messages to the outbox of the connection's schema, in order."""
    await connection.copy_records_to_table(
        "outbox",
        columns=["topic", "key", "value", "headers"],
        records=[(m.topic, m.key, m.value, orjson.dumps(m.headers)) for m in messages],
    )


@dataclass(frozen=True)
class Relay:
    """Sends the outbox of one schema in order of position; only one relay per schema is at work at a time."""

    pool: asyncpg.Pool
    service: ServiceName
    send: Send
    wakeup: Wakeup

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Relays until told to stop, then tries once to send what is left; waits out whoever is away."""
        while True:
            last = stopping.is_set()
            try:
                async with self.pool.acquire() as connection:
                    if await connection.fetchval(_LEAD, self.service):
                        await self._relay(connection, stopping, heartbeats)
            except (*AWAY, BusAway) as error:
                log.warning("outbox waits: %s", type(error).__name__)
            heartbeats.beat("relay")
            if last:
                return
            await self.wakeup.wait(1.0)

    async def _relay(self, connection: Connection, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        try:
            end: int | None = None
            while True:
                heartbeats.beat("relay")
                if stopping.is_set() and end is None:
                    # what other instances still add is for their relay to send
                    end = await connection.fetchval("SELECT coalesce(max(position), 0) FROM outbox")
                sent, last = await self._send_some(connection)
                if end is not None and (not sent or last >= end):
                    return
                if sent < _BATCH:
                    await self.wakeup.wait(_POLL_SECONDS)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock_all()")

    async def _send_some(self, connection: Connection) -> tuple[int, int]:
        """Sends what is next; returns how many messages, and the position of the last."""
        rows = await connection.fetch(
            "SELECT position, topic, key, value, headers FROM outbox ORDER BY position LIMIT $1", _BATCH
        )
        if rows:
            await self.send([Message(r[1], r[2], r[3], orjson.loads(r[4])) for r in rows])
            await connection.execute("DELETE FROM outbox WHERE position = ANY($1)", [r[0] for r in rows])
            metrics.RELAYED.labels(self.service).inc(len(rows))
        return len(rows), rows[-1][0] if rows else 0
