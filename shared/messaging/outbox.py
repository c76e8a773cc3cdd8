"""Stores messages with the change that they announce, sends them in order, and deletes them once acknowledged."""

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import orjson

from shared.domain.events import Event, type_of
from shared.domain.topics import Message, ServiceName
from shared.messaging.producer import BusAway, MessageRefused, Send
from shared.runtime import metrics
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup, gather, wait
from shared.storage.leader_lease import FENCE, LeaderLease, LeaderLeaseLost, acquire
from shared.storage.postgres import UNAVAILABLE, Connection, insert_rows

log = logging.getLogger(__name__)

RELAY = "relay"
"""The name of the lease for relaying a service's outbox."""

BEHIND_PARKED = "behind"
"""The reason to park a message: an earlier one of its topic and key is parked."""

_BATCH = 2_000
_POLL_SECONDS = 0.05
"""Seconds between polls for messages of other instances, which also notify the relaying process."""
_STANDBY_SECONDS = 0.5
_CLOSE_SECONDS = 0.5
_LEASE_LASTS = timedelta(seconds=3)

_NEXT = """
SELECT position, topic, key, value, headers, (topic, key) IN (SELECT topic, key FROM parked) AS behind
FROM outbox ORDER BY position LIMIT $1
"""
_DELETE = f"WITH {FENCE} DELETE FROM outbox WHERE position = ANY($4) AND EXISTS (SELECT FROM held)"  # noqa: S608  # constants
_PARK = f"""
WITH {FENCE}, gone AS (
    DELETE FROM outbox WHERE position = ANY($4) AND EXISTS (SELECT FROM held)
    RETURNING position, topic, key, value, headers
)
INSERT INTO parked (position, topic, key, value, headers, reason, parked_at)
SELECT position, topic, key, value, headers, $5, clock_timestamp() FROM gone
"""  # noqa: S608  # constants

_TRACEPARENT = re.compile("[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def message(event: Event, service: ServiceName, traceparent: str | None) -> Message:
    """Returns an event as a Kafka record (CloudEvents 1.0 binary content mode, key = request id)."""
    headers = {
        "ce_type": type_of(type(event)),  # first, with the right: a reader that waits for neither looks no further
        "ce_right": event.right,
        "ce_specversion": "1.0",
        "ce_id": str(event.event_id),
        "ce_source": f"/dsr/{service}",
        "ce_time": event.occurred_at.isoformat(),
        "content-type": "application/json",
    }
    if traceparent and _TRACEPARENT.fullmatch(traceparent):
        headers["traceparent"] = traceparent
    value = event.__pydantic_serializer__.to_json(event, exclude_none=True)
    return Message(event.topics[event.right], str(event.request_id).encode(), value, headers)


async def insert(connection: Connection, messages: Sequence[Message]) -> None:
    """Adds messages to the outbox of the connection's schema, in order."""
    rows = [(m.topic, m.key, m.value, orjson.dumps(m.headers)) for m in messages]
    await insert_rows(connection, "outbox", ("topic", "key", "value", "headers"), rows)


@dataclass
class Relay:
    """Sends the outbox of one schema in order of position; a lease makes one process the leader.

    A relay that stalls for longer than its lease is replaced by another, which sends again what is not deleted. What
    the first one sends on waking is a repeat, and its delete is refused. Both send in order from the same position, so
    whatever arrives for the first time arrives in order.
    """

    pool: asyncpg.Pool
    service: ServiceName
    send: Send
    wakeup: Wakeup
    duration: timedelta = _LEASE_LASTS
    _limit: int = field(default=_BATCH, init=False)
    _fault: str | None = field(default=None, init=False)

    async def run(self, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Relays until ``stopping`` is set, then sends once what is left; waits out outages."""
        woken = False
        while True:
            heartbeats.beat("relay")  # before the first wait: a loop that has never beaten is not missed
            last = stopping.is_set()
            try:
                async with self.pool.acquire() as connection:
                    if not await self._relay_with_lease(connection, stopping, heartbeats) and woken:
                        await connection.execute(f"NOTIFY {self._channel}")  # the process that relays
                woken = not last and await self.wakeup.wait(_STANDBY_SECONDS, stopping)
            except (*UNAVAILABLE, BusAway, LeaderLeaseLost) as error:
                fault = type(error).__name__
                if fault != self._fault:  # once, and not at each attempt
                    log.warning("outbox relay paused error=%s", fault)
                self._fault = fault
                self._limit = max(1, self._limit // 2)  # what took longer than a turn must not do so for ever
                await wait(stopping, _STANDBY_SECONDS)
            if last:
                return

    async def _relay_with_lease(self, connection: Connection, stopping: asyncio.Event, heartbeats: Heartbeats) -> bool:
        """Relays unless another process holds the lease; returns whether it did."""
        lease = None
        try:
            if lease := await acquire(connection, RELAY, self.duration):
                await connection.add_listener(self._channel, self._on_notify)
                await self._send_all(connection, lease, stopping, heartbeats)
        except TimeoutError:
            with suppress(*UNAVAILABLE):  # the server may be gone
                await connection.close(timeout=_CLOSE_SECONDS)
            raise
        finally:
            if lease and not connection.is_closed():
                await connection.remove_listener(self._channel, self._on_notify)
                await lease.release(connection)
        return lease is not None

    @property
    def _channel(self) -> str:
        return f"{RELAY}_{self.service}"

    def _on_notify(self, *_: object) -> None:
        self.wakeup.wake()

    async def _send_all(
        self, connection: Connection, lease: LeaderLease, stopping: asyncio.Event, heartbeats: Heartbeats
    ) -> None:
        now, seconds = asyncio.get_running_loop().time, self.duration.total_seconds()
        end: int | None = None
        renewed, pause = now(), _POLL_SECONDS
        while True:
            heartbeats.beat("relay")
            if now() - renewed > seconds / 3:
                await lease.renew(connection)
                renewed = now()
            if stopping.is_set() and end is None:
                # what other instances still add is for their relay to send
                end = await connection.fetchval("SELECT coalesce(max(position), 0) FROM outbox", timeout=seconds)
            limit, began = self._limit, now()
            rows = await connection.fetch(_NEXT, limit, timeout=seconds)
            if rows:
                self._limit = len(rows)  # of which half are tried next, should it fail
                if not await self._send(connection, lease, rows):
                    continue
                renewed, self._limit = began, min(_BATCH, 2 * limit)
            if end is not None and (not rows or rows[-1]["position"] >= end):
                return
            if len(rows) < limit:
                if rows and end is None:
                    await gather(now() - began, stopping)
                pause = _POLL_SECONDS if rows else min(2 * pause, seconds / 3)
                await self.wakeup.wait(pause)

    async def _send(self, connection: Connection, lease: LeaderLease, rows: Sequence[asyncpg.Record]) -> bool:
        """Sends these and deletes them; returns false if the broker refuses one for good, and half as many may go."""
        ready = [row for row in rows if not row["behind"]]
        positions = [row["position"] for row in ready]
        try:
            if ready:
                await self.send([Message(r["topic"], r["key"], r["value"], orjson.loads(r["headers"])) for r in ready])
                await lease.write(connection, _DELETE, positions)
                metrics.RELAYED.labels(self.service).inc(len(ready))
                if self._fault:
                    log.warning("outbox relay resumed after=%s", self._fault)
                    self._fault = None
        except MessageRefused as error:
            if len(ready) > 1:
                self._limit = len(ready) // 2
                return False
            topic, reason = ready[0]["topic"], str(error)
            log.error("a message for %s is parked, since the broker refuses it: %s", topic, reason)  # noqa: TRY400
            await lease.write(connection, _PARK, positions, reason)
        if behind := [row["position"] for row in rows if row["behind"]]:
            await lease.write(connection, _PARK, behind, BEHIND_PARKED)
        return True
