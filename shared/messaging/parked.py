"""Lists messages that the broker refused, and puts them back into the outbox."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.topics import ServiceName
from shared.messaging.outbox import RELAY
from shared.storage import leader_lease
from shared.storage.postgres import connected

_EACH = """
SELECT position, topic, octet_length(key) + octet_length(value) + octet_length(headers), reason, parked_at
FROM parked ORDER BY position
"""
_BACK = """
WITH back AS (DELETE FROM parked RETURNING position, topic, key, value, headers)
INSERT INTO outbox (position, topic, key, value, headers) OVERRIDING SYSTEM VALUE
SELECT position, topic, key, value, headers FROM back
"""


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked message, with the size of its content only."""

    service: ServiceName
    position: int
    topic: str
    bytes: int
    reason: str
    parked_at: datetime

    def __str__(self) -> str:
        return f"{self.service} {self.position}: {self.topic}, {self.bytes} bytes, {self.reason}, {self.parked_at}"


async def parked(dsn: str) -> list[Parked]:
    """Returns the parked messages of all services, in the order of each outbox."""
    found: list[Parked] = []
    async with connected(dsn) as connection:
        for service in ServiceName:
            await connection.execute(f"SET search_path = {service}")
            found += [Parked(service, *row) for row in await connection.fetch(_EACH)]
    return found


async def replay(dsn: str, service: ServiceName) -> int:
    """Puts all back into the outbox, each at the place that it had; returns how many.

    The relay has to take its turn again: what it has read by now may be behind one of these.
    """
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute(f"SET LOCAL search_path = {service}")
        await leader_lease.revoke(connection, RELAY)
        return int((await connection.execute(_BACK)).split()[-1])
