"""Logs evidence append-only, in one hash chain per service (Art. 5(2); REQ-A1, REQ-A2).

The hash of an entry is SHA-256 over the previous hash and the entry's fields, joined by NUL; anyone can recompute it.
One Ed25519 signature covers the entries of a transaction: it is over the root of a Merkle tree of their hashes.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Final
from uuid import UUID

import asyncpg
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import JsonValue

from shared.storage.postgres import Connection, connected

GENESIS = bytes(32)

_COLUMNS = ("chain", "seq", "at", "request_id", "actor", "action", "detail", "prev_hash", "hash")
"""Named one by one: the next version may add one while this one is still at work."""

_LOCK_HEAD = "SELECT seq, hash FROM evidence.head WHERE chain = $1 FOR UPDATE"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM evidence.entry WHERE"  # noqa: S608  # constants
_OF_CHAIN = f"{_SELECT} chain = $1 AND seq > $2 AND seq <= $3 ORDER BY seq"
_OF_REQUEST = f"{_SELECT} request_id = $1 ORDER BY at, chain, seq"
_EXTEND = """
WITH added AS (
    INSERT INTO evidence.entry (chain, at, seq, request_id, actor, action, detail, prev_hash, hash)
    SELECT $1::text, $2::timestamptz, *
    FROM unnest($3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::bytea[])
), signed AS (INSERT INTO evidence.batch (chain, last_seq, signature) VALUES ($1, $10, $12))
UPDATE evidence.head SET seq = $10, hash = $11 WHERE chain = $1
"""
_BATCH_OF = """
SELECT b.last_seq, b.signature, ARRAY(SELECT e.hash FROM evidence.entry e WHERE e.chain = b.chain
    AND e.seq <= b.last_seq AND e.seq > coalesce(
        (SELECT max(p.last_seq) FROM evidence.batch p WHERE p.chain = b.chain AND p.last_seq < b.last_seq), 0)
    ORDER BY e.seq)
FROM evidence.batch b WHERE b.chain = $1 AND b.last_seq >= $2 ORDER BY b.last_seq LIMIT 1
"""
_FIRST_HEAD = "INSERT INTO evidence.head (chain, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING"

_TYPED: Final = (" ", "@", "\\", "\x7f")
"""Characters of typed text and addresses, which canonical JSON of codes, counts and references never has."""
_NUMBER = re.compile(r'"\+\d{6,}"')


Head = tuple[int, bytes]
"""The end of a chain: its last ``seq`` and hash."""


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """An entry about a request; ``detail`` holds only codes, counts and references."""

    request_id: UUID
    actor: str
    action: str
    detail: Mapping[str, JsonValue]


def digest(prev_hash: bytes, chain: str, seq: int, at: datetime, entry_fields: tuple[UUID, str, str, str]) -> bytes:
    """The hash of one entry; ``entry_fields`` = request id, actor, action, detail as canonical JSON."""
    request_id, actor, action, detail = entry_fields
    text = f"\0{chain}\0{seq}\0{at.isoformat()}\0{request_id}\0{actor}\0{action}\0{detail}"
    return hashlib.sha256(prev_hash + text.encode()).digest()


def signed_content(hashes: Sequence[bytes]) -> bytes:
    """Returns what the signature of a batch covers: the root over the hashes of its entries."""
    level = hashes
    while len(level) > 1:
        level = _next_level(level)
    return b"dsr-evidence\0" + level[0]


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    """Returns the next level of the tree; a node without a sibling moves up as it is."""
    return [_parent_hash(left, right) if right else left for left, right in zip_longest(level[::2], level[1::2])]


def _parent_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def merkle_path(hashes: Sequence[bytes], place: int) -> list[str]:
    """Returns the siblings, from the leaf up, with which the entry in that place leads to the root of its batch."""
    steps, level = [], hashes
    while len(level) > 1:
        if (sibling := place ^ 1) < len(level):
            steps.append(f"{'left' if sibling < place else 'right'} {level[sibling].hex()}")
        level, place = _next_level(level), place // 2
    return steps


def merkle_root(hashed: bytes, steps: Sequence[str]) -> bytes:
    """Returns what the signature of the batch covers, from the hash of one entry and its path."""
    for step in steps:
        side, sibling = step.split(" ")
        other = bytes.fromhex(sibling)
        hashed = _parent_hash(other, hashed) if side == "left" else _parent_hash(hashed, other)
    return signed_content([hashed])


async def _lock_head(connection: Connection, chain: str) -> Head:
    """Locks the end of a chain until the transaction ends; the next writer continues from there."""
    head = await connection.fetchrow(_LOCK_HEAD, chain)
    if head is None:
        await connection.execute(_FIRST_HEAD, chain, GENESIS)
        head = await connection.fetchrow(_LOCK_HEAD, chain)
    return (head[0], head[1]) if head else (0, GENESIS)


async def append(
    connection: Connection, chain: str, at: datetime, entries: Sequence[EvidenceEntry], signing: Ed25519PrivateKey
) -> None:
    """Adds entries to the end of a chain, once in a transaction, and last, since it holds the chain until the end.

    Raises:
        ValueError: an entry holds free text, which could never be taken away again: seal it, and refer to it.
    """
    details = [_coded(entry) for entry in entries]
    seq, last = await _lock_head(connection, chain)
    rows = []
    for entry, detail in zip(entries, details, strict=True):
        seq += 1
        fields = (entry.request_id, entry.actor, entry.action, detail)
        hashed = digest(last, chain, seq, at, fields)
        rows.append((seq, *fields, last, hashed))
        last = hashed
    signature = signing.sign(signed_content([row[-1] for row in rows]))
    await connection.execute(_EXTEND, chain, at, *map(list, zip(*rows, strict=True)), seq, last, signature)


def _coded(entry: EvidenceEntry) -> str:
    """The detail as canonical JSON, which puts no blank between its parts."""
    detail = orjson.dumps(entry.detail, option=orjson.OPT_SORT_KEYS).decode()
    typed = not detail.isascii() or any(each in detail for each in _TYPED)  # a pattern takes ten times as long
    if typed or ('"+' in detail and _NUMBER.search(detail)):
        raise ValueError(f"the evidence of {entry.action} would hold free text: seal it, and refer to it")
    return detail


async def entries(pool: asyncpg.Pool | Connection, request_id: UUID) -> list[asyncpg.Record]:
    """Returns the entries about a request from all chains, the oldest first."""
    return list(await pool.fetch(_OF_REQUEST, request_id))


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The path from an entry to the signature of its batch."""

    path: Sequence[str]
    signature: bytes


async def proofs(pool: asyncpg.Pool | Connection, entries: Sequence[asyncpg.Record]) -> list[InclusionProof]:
    """Returns the proof of each of these entries."""
    batches: dict[str, tuple[int, bytes, list[bytes]]] = {}
    found = {}
    for entry in sorted(entries, key=lambda each: (each["chain"], each["seq"])):
        chain, seq = entry["chain"], entry["seq"]
        if chain not in batches or batches[chain][0] < seq:
            batches[chain] = tuple(await pool.fetchrow(_BATCH_OF, chain, seq) or (seq, b"", [entry["hash"]]))
        last, signature, hashes = batches[chain]
        found[chain, seq] = InclusionProof(merkle_path(hashes, len(hashes) - 1 - (last - seq)), signature)
    return [found[entry["chain"], entry["seq"]] for entry in entries]


class ChainVerifier:
    """Reads one chain from its beginning to its end, a bounded number of entries at a time, round after round.

    ``broken_at`` is the ``seq`` of the first entry known to be changed or missing; it stays until a whole round has
    found the chain whole. ``rounds`` counts the rounds that have ended.
    """

    def __init__(self, chain: str) -> None:
        self.broken_at: int | None = None
        self.rounds = 0
        self._chain = chain
        self._found: int | None = None  # in this round
        self._seq, self._hash = 0, GENESIS

    async def step(self, connection: Connection, limit: int = 1_000) -> int:
        """Checks the next ``limit`` entries at most; returns how many it read."""
        head = await connection.fetchrow("SELECT seq, hash FROM evidence.head WHERE chain = $1", self._chain)
        end, end_hash = head or (0, GENESIS)
        rows = await connection.fetch(_OF_CHAIN, self._chain, self._seq, min(end, self._seq + limit))
        for row in rows:
            fields = (row["request_id"], row["actor"], row["action"], row["detail"])
            expected = digest(self._hash, self._chain, row["seq"], row["at"], fields)
            if (row["prev_hash"], row["hash"]) != (self._hash, expected):
                self._break(row["seq"])
            self._seq, self._hash = row["seq"], row["hash"]
        if not rows and self._seq < end:
            self._break(self._seq + 1)
            self._seq, self._hash = end, end_hash  # none of the next entries is there: the round ends here
        if self._seq >= end:
            if (self._seq, self._hash) != (end, end_hash):
                self._break(self._seq + 1)
            self.broken_at, self._found = self._found, None
            self._seq, self._hash = 0, GENESIS
            self.rounds += 1
        return len(rows)

    def _break(self, seq: int) -> None:
        self._found = self._found or seq
        self.broken_at = self.broken_at or self._found


async def verify(dsn: str) -> dict[str, int | None]:
    """The ``seq`` of the first break of every chain, a missing end included, or None where the chain is whole."""
    found: dict[str, int | None] = {}
    async with connected(dsn) as connection:
        every = "SELECT chain FROM evidence.head UNION SELECT chain FROM evidence.entry ORDER BY 1"
        for (chain,) in await connection.fetch(every):
            verifier = ChainVerifier(chain)
            while not verifier.rounds:
                await verifier.step(connection, 5_000)
            found[chain] = verifier.broken_at
    return found
