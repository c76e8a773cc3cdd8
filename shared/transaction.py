"""One unit of work: state, inbox, outbox and evidence change together or not at all."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from pydantic import JsonValue

from shared import evidence, outbox
from shared.bell import Bell
from shared.bus import topics
from shared.bus.records import Heard, Message
from shared.bus.topics import ServiceName
from shared.clock import Clock
from shared.downstreams.contract import Operation
from shared.events import Event
from shared.plan import Stages
from shared.postgres import Connection
from shared.vault import Vault


class Transaction:
    """What a handler works with: the database, the time, what to publish and what to put on record.

    ``now`` is the same instant for everything in it. ``traces`` holds the ``traceparent`` of each request in hand, so
    that what is published continues its trace.
    """

    def __init__(self, connection: Connection, office: "Transactions") -> None:
        self.connection = connection
        self.service = office.service
        self.now = office.clock.now()
        self.vault = office.vault
        self.plans = office.plans
        self.traces: dict[UUID, str | None] = {}
        self.woken: set[tuple[str, str]] = set()
        self._messages: list[Message] = []
        self._entries: list[evidence.Entry] = []

    def publish(self, event: Event) -> None:
        """Says it on the bus, once this transaction has committed."""
        self._messages.append(outbox.message(event, self.service, self.traces.get(event.request_id)))

    def set_aside(self, record: Heard, reason: str) -> None:
        """Puts a record that cannot be handled among the dead letters, as it came, with the name of what it broke."""
        why = {"dsr_reason": reason, "dsr_topic": record.topic, "dsr_set_aside_at": self.now.isoformat()}
        topic = topics.dead_letters(self.service)
        self._messages.append(Message(topic, record.key, record.value, {**record.headers, **why}))

    def record(self, request_id: UUID, action: str, detail: Mapping[str, JsonValue], actor: str | None = None) -> None:
        """Puts it on record; ``actor`` is the service unless a person or a key did it."""
        self._entries.append(evidence.Entry(request_id, actor or f"service:{self.service}", action, detail))

    def wake(self, system: str, operation: str) -> None:
        """Wakes whoever works these tasks, once this transaction has committed."""
        self.woken.add((system, operation))

    async def flush(self) -> bool:
        """Writes what was published and recorded; returns whether the relay has anything new."""
        if self._messages:
            await outbox.insert(self.connection, self._messages)
        if self._entries:
            await evidence.append(self.connection, self.service, self.now, self._entries)
        return bool(self._messages)


class Transactions:
    """Opens transactions for one service; wakes its relay and desks after those that gave them something to do."""

    def __init__(
        self, pool: asyncpg.Pool, service: ServiceName, clock: Clock, vault: Vault, plans: Mapping[Operation, Stages]
    ) -> None:
        self.pool = pool
        self.service = service
        self.clock = clock
        self.vault = vault
        self.plans = plans
        self.relay_bell = Bell()
        self.bells: dict[tuple[str, str], Bell] = {}

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                tx = Transaction(connection, self)
                yield tx
                published = await tx.flush()
            if published:
                self.relay_bell.ring()
            for desk in tx.woken & self.bells.keys():
                self.bells[desk].ring()
