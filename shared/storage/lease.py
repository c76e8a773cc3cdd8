"""Leases a turn: one process works for all, and a token fences off a process that has lost the lease.

A holder that freezes, or whose node or connection is lost, is followed by another once its time is over. It may wake
and go on: what it then writes names its token, and is refused (M. Kleppmann, "How to do distributed locking", 2016).
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.domain.errors import DsrError
from shared.storage.postgres import Connection

_TAKE = """
INSERT INTO lease AS l (name, token, held_until) VALUES ($1, 1, clock_timestamp() + $2)
ON CONFLICT (name) DO UPDATE SET token = l.token + 1, held_until = EXCLUDED.held_until
WHERE l.held_until <= clock_timestamp() RETURNING token
"""

HELD = "held AS (UPDATE lease SET held_until = clock_timestamp() + $3 WHERE name = $1 AND token = $2 RETURNING token)"
"""The common table expression of a fenced statement: a row if the turn is still ours, which it prolongs.

The statement's own arguments begin at ``$4``.
"""

_RENEW = f"WITH {HELD} SELECT FROM held"
_RELEASE = "UPDATE lease SET held_until = clock_timestamp() WHERE name = $1 AND token = $2"
_REVOKE = "UPDATE lease SET token = token + 1, held_until = clock_timestamp() WHERE name = $1"


class TurnLost(DsrError):
    """Another process holds the lease; writes of this one are refused."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A lease that was taken, in the schema of the connection; no statement of it may take longer than it lasts."""

    name: str
    token: int
    lasts: timedelta

    async def write(self, connection: Connection, fenced: str, *arguments: object) -> None:
        """Runs a statement that begins with ``WITH`` and ``HELD``, which changes at least a row.

        Raises:
            TurnLost: it has changed nothing, since another process has the turn.
        """
        timeout = self.lasts.total_seconds()
        status = await connection.execute(fenced, self.name, self.token, self.lasts, *arguments, timeout=timeout)
        if status.endswith(" 0"):
            raise TurnLost(self.name)

    async def renew(self, connection: Connection) -> None:
        """Prolongs the turn; raises ``TurnLost`` if another process has it."""
        await self.write(connection, _RENEW)

    async def release(self, connection: Connection) -> None:
        """Gives the turn back, if it is still ours."""
        await connection.execute(_RELEASE, self.name, self.token, timeout=self.lasts.total_seconds())


async def take(connection: Connection, name: str, lasts: timedelta) -> Turn | None:
    """Takes the turn if it is free or expired."""
    token = await connection.fetchval(_TAKE, name, lasts, timeout=lasts.total_seconds())
    return None if token is None else Turn(name, token, lasts)


async def revoke(connection: Connection, name: str) -> None:
    """Fences off the holder until the caller's transaction ends; then any process may take the turn."""
    await connection.execute(_REVOKE, name)
