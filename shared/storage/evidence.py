"""What was done, provably: an append-only log, one hash chain per service (Art. 5(2); REQ-A1, REQ-A2).

The hash of an entry is SHA-256 over the previous hash and the entry's fields, joined by NUL; anyone can recompute it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue

from shared.storage.postgres import Connection

GENESIS = bytes(32)

_COLUMNS = ("chain", "seq", "at", "request_id", "actor", "action", "detail", "prev_hash", "hash")
"""Named one by one: the next version may add one while this one is still at work."""

_HOLD_HEAD = "SELECT seq, hash FROM evidence.head WHERE chain = $1 FOR UPDATE"
ENTRIES = """
SELECT chain, seq, at, request_id, actor, action, detail, prev_hash, hash
FROM evidence.entry WHERE chain = $1 AND seq > $2 AND seq <= $3 ORDER BY seq
"""
_NEXT_ENTRIES = f"{ENTRIES} LIMIT 5000"
_FIRST_HEAD = "INSERT INTO evidence.head (chain, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done about one request; ``detail`` holds codes, counts and references only."""

    request_id: UUID
    actor: str
    action: str
    detail: Mapping[str, JsonValue]


def digest(prev_hash: bytes, chain: str, seq: int, at: datetime, entry_fields: tuple[UUID, str, str, str]) -> bytes:
    """The hash of one entry; ``entry_fields`` = request id, actor, action, detail as canonical JSON."""
    request_id, actor, action, detail = entry_fields
    text = f"\0{chain}\0{seq}\0{at.isoformat()}\0{request_id}\0{actor}\0{action}\0{detail}"
    return hashlib.sha256(prev_hash + text.encode()).digest()


async def append(connection: Connection, chain: str, at: datetime, entries: Sequence[Entry]) -> None:
    """Adds entries to the end of a chain; call it last in a transaction, since it holds the chain until the end."""
    head = await connection.fetchrow(_HOLD_HEAD, chain)
    if head is None:
        await connection.execute(_FIRST_HEAD, chain, GENESIS)
        head = await connection.fetchrow(_HOLD_HEAD, chain)
    seq, last = head or (0, GENESIS)
    rows = []
    for entry in entries:
        seq += 1
        detail = orjson.dumps(entry.detail, option=orjson.OPT_SORT_KEYS).decode()
        hashed = digest(last, chain, seq, at, (entry.request_id, entry.actor, entry.action, detail))
        rows.append((chain, seq, at, entry.request_id, entry.actor, entry.action, detail, last, hashed))
        last = hashed
    await connection.copy_records_to_table("entry", schema_name="evidence", columns=_COLUMNS, records=rows)
    await connection.execute("UPDATE evidence.head SET seq = $2, hash = $3 WHERE chain = $1", chain, seq, last)


def first_break(rows: Iterable[asyncpg.Record], prev_hash: bytes = GENESIS) -> tuple[str, int] | None:
    """The (chain, seq) of the first of one chain's rows that does not follow from the one before; None if all do."""
    for row in rows:
        fields = (row["request_id"], row["actor"], row["action"], row["detail"])
        expected = digest(prev_hash, row["chain"], row["seq"], row["at"], fields)
        if row["prev_hash"] != prev_hash or row["hash"] != expected:
            return row["chain"], row["seq"]
        prev_hash = row["hash"]
    return None


async def audit(connection: Connection, chain: str) -> tuple[str, int] | None:
    """The first break of a whole chain, a missing end included; None if every entry is there and follows."""
    head = await connection.fetchrow("SELECT seq, hash FROM evidence.head WHERE chain = $1", chain)
    end = tuple(head) if head else (0, GENESIS)
    seq, last = 0, GENESIS
    while rows := await connection.fetch(_NEXT_ENTRIES, chain, seq, end[0]):
        if found := first_break(rows, last):
            return found
        seq, last = rows[-1]["seq"], rows[-1]["hash"]
    return None if (seq, last) == end else (chain, seq + 1)
