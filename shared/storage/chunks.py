"""Seals large pieces chunk by chunk under the subject's key, so that no process holds a whole one.

Each chunk is bound to its piece and its place in it (additional data of AES-GCM), and the piece itself says how many
there are and how long it is: none can be moved, exchanged or left out unnoticed.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from asyncpg import Pool
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.domain.errors import Shredded
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing, Vault

CHUNK = 2**20
"""Bytes of a chunk; the last one is shorter."""
_NONCE = 12
_INSERT = "INSERT INTO vault.chunk (sealed_id, position, content) VALUES ($1, $2, $3)"
_ONE = "SELECT content FROM vault.chunk WHERE sealed_id = $1 AND position = $2"
_WHOSE = "SELECT subject_ref FROM vault.sealed WHERE sealed_id = $1"

Begin = Callable[[], AbstractAsyncContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Chunked:
    """A piece in chunks: how long it is in bytes, and the SHA-256 of all of it in hexadecimal."""

    sealed_id: UUID
    subject_ref: UUID
    size: int
    sha256: str


class ChunkWriter:
    """Seals a piece while it is made: holds one chunk at a time.

    ``begin``: a transaction in which a chunk is stored, ended with the block. The last chunk is stored by ``close``.
    """

    def __init__(self, begin: Begin, vault: Vault, piece: Sealing, now: datetime) -> None:
        self._begin = begin
        self._vault = vault
        self._piece = piece
        self._now = now
        self._key: AESGCM | None = None
        self._waiting = bytearray()
        self._position = self._size = 0
        self._hash = hashlib.sha256()

    async def write(self, content: bytes) -> None:
        """Adds to the piece.

        Raises:
            Shredded: the subject's key is gone.
        """
        self._hash.update(content)
        self._size += len(content)
        self._waiting += content
        while len(self._waiting) >= CHUNK:
            async with self._begin() as connection:
                await self._seal(connection, bytes(self._waiting[:CHUNK]))
            del self._waiting[:CHUNK]

    async def close(self, connection: Connection) -> Chunked:
        """Ends the piece, in the caller's transaction: only now can it be read.

        Raises:
            Shredded: the subject's key is gone.
        """
        if self._waiting or not self._position:
            await self._seal(connection, bytes(self._waiting))
        done = Chunked(self._piece.sealed_id, self._piece.subject_ref, self._size, self._hash.hexdigest())
        known = {"sealed_id": str(done.sealed_id), "size": done.size, "sha256": done.sha256}
        header = Sealing(done.subject_ref, self._piece.kind, self._piece.source, orjson.dumps(known), done.sealed_id)
        await self._vault.replace(connection, header)
        return done

    async def _seal(self, connection: Connection, content: bytes) -> None:
        if self._key is None:
            await self._vault.seal(connection, [self._piece], self._now)
            self._key = await self._vault.key(connection, self._piece.subject_ref)
        nonce, place = os.urandom(_NONCE), _place(self._piece.subject_ref, self._piece.sealed_id, self._position)
        sealed = nonce + self._key.encrypt(nonce, content, place)
        await connection.execute(_INSERT, self._piece.sealed_id, self._position, sealed)
        self._position += 1


async def find(connection: Connection, vault: Vault, sealed_id: UUID) -> Chunked | None:
    """Returns the size and hash of a piece in chunks, or None if there is none.

    Raises:
        Shredded: its subject's key is gone.
        ValueError: what it says is about another piece.
    """
    content = await vault.open_one(connection, sealed_id)
    if content is None:
        return None
    header = orjson.loads(content)
    if header["sealed_id"] != str(sealed_id):
        raise ValueError("the piece in the vault was exchanged for another")
    return Chunked(sealed_id, await connection.fetchval(_WHOSE, sealed_id), header["size"], header["sha256"])


async def read(pool: Pool, vault: Vault, piece: Chunked, first: int, end: int) -> AsyncIterator[bytes]:
    """The bytes ``[first, end)`` of a piece, a chunk at a time; between two of them no connection is held.

    Raises:
        Shredded: its subject's key is gone, or the piece is, in the middle of it.
        cryptography.exceptions.InvalidTag: a chunk is not the one that was sealed in that place.
    """
    for position in range(first // CHUNK, (end + CHUNK - 1) // CHUNK):
        async with pool.acquire() as connection:
            sealed = await connection.fetchval(_ONE, piece.sealed_id, position)
            key = await vault.key(connection, piece.subject_ref)
        if sealed is None:
            raise Shredded("it was removed while it was read")
        place = _place(piece.subject_ref, piece.sealed_id, position)
        content = key.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        start = position * CHUNK
        yield content[max(first - start, 0) : end - start]


def _place(subject_ref: UUID, sealed_id: UUID, position: int) -> bytes:
    return subject_ref.bytes + sealed_id.bytes + position.to_bytes(8)
