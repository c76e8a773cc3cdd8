"""Changes state, inbox, outbox and evidence in one transaction."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.events import Event
from shared.domain.policy import Policy, read_policy
from shared.domain.topics import Message, ServiceName
from shared.messaging import outbox
from shared.runtime.loops import Wakeup
from shared.storage import evidence
from shared.storage.postgres import PLANNED_ONCE, Connection
from shared.storage.vault import Vault

_FEW = 20


class UnitOfWork:
    """Gives a handler its database, its time, and ways to publish and to log evidence.

    ``now`` is the same instant for everything in it. ``traces`` holds the ``traceparent`` of each request in hand, so
    that what is published continues its trace.
    """

    def __init__(self, connection: Connection, factory: "UnitOfWorkFactory") -> None:
        self.connection = connection
        self.service = factory.service
        self.now = factory.clock.now()
        self.vault = factory.vault
        self.policy = factory.policy
        self.traces: dict[UUID, str | None] = {}
        self._relay = factory.relay_wakeup
        self._messages: list[Message] = []
        self._entries: list[evidence.EvidenceEntry] = []
        self._afterwards: dict[Callable[[], None], None] = {}

    async def plan_once(self, records: int) -> None:
        """Lets statements about few records be planned once a connection: each time it takes longer than the work.

        A plan for many follows their number and the size of the tables.
        """
        if records <= _FEW and self.service not in PLANNED_ONCE:
            await self.connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")

    def publish(self, event: Event) -> None:
        """Publishes the event once this transaction has committed."""
        event.occurs(self.now)
        self.send(outbox.message(event, self.service, self.traces.get(event.request_id)))

    def send(self, message: Message) -> None:
        """Sends the message once this transaction has committed."""
        self._messages.append(message)

    def log_evidence(
        self, request_id: UUID, action: str, detail: Mapping[str, JsonValue], actor: str | None = None
    ) -> None:
        """Adds to the evidence of a request; ``actor`` is the service unless an officer or a key is given."""
        self._entries.append(evidence.EvidenceEntry(request_id, actor or f"service:{self.service}", action, detail))

    def after_commit(self, do: Callable[[], None]) -> None:
        """Calls the function once after this transaction has committed."""
        self._afterwards[do] = None

    async def flush(self) -> list[Callable[[], None]]:
        """Writes messages and evidence; returns the functions to call after the commit."""
        if self._messages:
            await outbox.insert(self.connection, self._messages)
            self.after_commit(self._relay.wake)
        if self._entries:
            signing = self.vault.keyring.signing
            await evidence.append(self.connection, self.service, self.now, self._entries, signing)
        return list(self._afterwards)


@dataclass(eq=False)
class UnitOfWorkFactory:
    """Opens units of work for one service; wakes its relay after those that published."""

    pool: asyncpg.Pool
    service: ServiceName
    clock: Clock
    vault: Vault
    policy: Policy = field(default_factory=read_policy)
    relay_wakeup: Wakeup = field(default_factory=Wakeup, init=False)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """Opens a transaction that commits when the block ends and rolls back when it raises."""
        async with self.pool.acquire() as connection:
            async with connection.transaction():
                tx = UnitOfWork(connection, self)
                yield tx
                afterwards = await tx.flush()
            for do in afterwards:
                do()
