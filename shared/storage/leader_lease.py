"""Elects a leader by a lease in the database; a fencing token refuses writes of a former leader.

A holder that freezes, or whose node or connection is lost, is followed by another once its time is over. It may wake
and go on: what it then writes names its token, and is refused (M. Kleppmann, "How to do distributed locking", 2016).
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import DsrError
from shared.storage.postgres import Connection

_ACQUIRE = """
INSERT INTO lease AS l (name, token, held_until) VALUES ($1, 1, clock_timestamp() + $2)
ON CONFLICT (name) DO UPDATE SET token = l.token + 1, held_until = EXCLUDED.held_until
WHERE l.held_until <= clock_timestamp() RETURNING token
"""

FENCE = "held AS (UPDATE lease SET held_until = clock_timestamp() + $3 WHERE name = $1 AND token = $2 RETURNING token)"
"""The common table expression of a fenced statement: a row if the lease is still ours, which it renews.

The statement's own arguments begin at ``$4``.
"""

_RENEW = f"WITH {FENCE} SELECT FROM held"
_RELEASE = "UPDATE lease SET held_until = clock_timestamp() WHERE name = $1 AND token = $2"
_REVOKE = "UPDATE lease SET token = token + 1, held_until = clock_timestamp() WHERE name = $1"


class LeaderLeaseLost(DsrError):
    """Another process is the leader; writes of this one are refused."""


@dataclass(frozen=True, slots=True)
class LeaderLease:
    """A lease of the connection's schema; each statement under it times out after ``duration``."""

    name: str
    token: int
    duration: timedelta

    async def write(self, connection: Connection, fenced: str, *arguments: object) -> None:
        """Runs a statement that begins with ``WITH`` and ``FENCE``, which changes at least a row.

        Raises:
            LeaderLeaseLost: it has changed nothing, since another process is the leader.
        """
        timeout = self.duration.total_seconds()
        status = await connection.execute(fenced, self.name, self.token, self.duration, *arguments, timeout=timeout)
        if status.endswith(" 0"):
            raise LeaderLeaseLost(self.name)

    async def renew(self, connection: Connection) -> None:
        """Renews the lease; raises ``LeaderLeaseLost`` if another process is the leader."""
        await self.write(connection, _RENEW)

    async def release(self, connection: Connection) -> None:
        """Ends the lease, if it is still ours."""
        await connection.execute(_RELEASE, self.name, self.token, timeout=self.duration.total_seconds())


async def acquire(connection: Connection, name: str, lasts: timedelta) -> LeaderLease | None:
    """Takes the lease if it is free or expired."""
    token = await connection.fetchval(_ACQUIRE, name, lasts, timeout=lasts.total_seconds())
    return None if token is None else LeaderLease(name, token, lasts)


async def revoke(connection: Connection, name: str) -> None:
    """Fences off the holder until the caller's transaction ends; then any process may take the lease."""
    await connection.execute(_REVOKE, name)
