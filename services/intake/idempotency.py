"""Idempotency keys: the same key with the same body gives the first answer again, with another body an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from shared.messaging.unit_of_work import UnitOfWork

_CLAIM = """
INSERT INTO idempotency (key_id, idempotency_key, body_hash, request_ids, accepted_at)
SELECT c.key_id, c.idempotency_key, c.body_hash, c.request_ids, $5
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[]) AS c (key_id, idempotency_key, body_hash, request_ids)
ON CONFLICT DO NOTHING RETURNING key_id, idempotency_key
"""

_EARLIER = """
SELECT i.key_id, i.idempotency_key, i.body_hash, i.request_ids
FROM idempotency i JOIN unnest($1::text[], $2::text[]) AS c (key_id, idempotency_key) USING (key_id, idempotency_key)
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of an idempotency key: by which API key, with which body (SHA-256)."""

    key_id: str
    idempotency_key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an idempotency key was used for before: the body, and each request with its state and due date."""

    body_hash: bytes
    requests: tuple[tuple[UUID, str, date], ...]


async def claim(tx: UnitOfWork, claims: Mapping[Claim, Sequence[UUID]]) -> dict[Claim, Earlier]:
    """Claims these keys for these new requests; returns those that were claimed before, with what they stand for."""
    rows = await tx.connection.fetch(
        _CLAIM,
        [c.key_id for c in claims],
        [c.idempotency_key for c in claims],
        [c.body_hash for c in claims],
        [b"".join(request_id.bytes for request_id in ids) for ids in claims.values()],
        tx.now,
    )
    if len(rows) == len(claims):
        return {}
    claimed = {(row[0], row[1]) for row in rows}
    return await _earlier(tx, [c for c in claims if (c.key_id, c.idempotency_key) not in claimed])


async def _earlier(tx: UnitOfWork, claims: Sequence[Claim]) -> dict[Claim, Earlier]:
    rows = await tx.connection.fetch(_EARLIER, [c.key_id for c in claims], [c.idempotency_key for c in claims])
    found = {(row[0], row[1]): (row[2], _ids(row[3])) for row in rows}
    every = [request_id for _, ids in found.values() for request_id in ids]
    states = await tx.connection.fetch(
        "SELECT request_id, state, due_on FROM request WHERE request_id = ANY($1)", every
    )
    state_of = {row[0]: (row[0], row[1], row[2]) for row in states}
    answers = {}
    for each in claims:
        body_hash, ids = found[each.key_id, each.idempotency_key]
        answers[each] = Earlier(body_hash, tuple(state_of[request_id] for request_id in ids))
    return answers


def _ids(packed: bytes) -> list[UUID]:
    return [UUID(bytes=packed[start : start + 16]) for start in range(0, len(packed), 16)]
