"""Stores copies that teams upload until their tasks have ended, sealed under the subject's key.

A place is opened when a team is asked, and dropped with the end of its task: an upload without a place is refused.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from uuid import UUID

from asyncpg import Pool

from shared.domain.clock import Clock
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing, Vault

KIND = "upload"
_EMPTY = b""


class UploadResult(StrEnum):
    """The result of an upload."""

    NEW = "new"
    SAME = "same"
    OTHER = "other"
    NOT_WAITED_FOR = "not_waited_for"


class Uploads:
    """The side of the service that asks."""

    def __init__(self, pool: Pool, vault: Vault, clock: Clock) -> None:
        self._pool = pool
        self._vault = vault
        self._clock = clock

    async def expect(self, system: str, commands: Mapping[UUID, UUID]) -> None:
        """Opens a place for each of these commands, by whose subject it is sealed; one that is open stays as it is.

        Raises:
            Shredded: the key of one of the subjects is gone.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            query = "SELECT sealed_id FROM vault.sealed WHERE sealed_id = ANY($1)"
            there = {row[0] for row in await connection.fetch(query, [*commands])}
            new = [
                Sealing(subject, KIND, system, _EMPTY, command)
                for command, subject in commands.items()
                if command not in there
            ]
            if new:
                await self._vault.seal(connection, new, self._clock.now())

    async def take(self, commands: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """Returns uploads by command; they stay until the task has ended.

        Raises:
            Shredded: the key of one of the subjects is gone.
        """
        async with self._pool.acquire() as connection:
            found = {command: await self._vault.open_one(connection, command) for command in commands}
        return {command: content for command, content in found.items() if content}


async def keep(connection: Connection, vault: Vault, sealing: Sealing) -> UploadResult:
    """Puts an upload into its place, if it is waited for, of that subject and system, and nothing else came before.

    Raises:
        Shredded: the subject's key is gone.
    """
    waiting = await connection.fetchrow(
        "SELECT subject_ref, source FROM vault.sealed WHERE sealed_id = $1 AND kind = $2 FOR UPDATE",
        sealing.sealed_id,
        KIND,
    )
    if waiting is None or tuple(waiting) != (sealing.subject_ref, sealing.source):
        return UploadResult.NOT_WAITED_FOR
    if before := await vault.open_one(connection, sealing.sealed_id):
        return UploadResult.SAME if before == sealing.content else UploadResult.OTHER
    await vault.replace(connection, sealing)
    return UploadResult.NEW
