"""Lists contact points that get no marketing (Art. 21(3)) and withdrawn consents (7(3)), by keyed hash alone."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.domain.identities import IdentityType
from shared.domain.rights import Right
from shared.storage.postgres import Connection

CHANNELS: Mapping[IdentityType, str] = {IdentityType.EMAIL: "email", IdentityType.PHONE: "phone"}
"""The channel of each type of contact point."""

_ADD = """
INSERT INTO register.suppression (fingerprint, request_id, "right", channel, since, looked_at)
SELECT f, r, w, c, $5, $5 FROM unnest($1::bytea[], $2::uuid[], $3::text[], $4::text[]) AS n (f, r, w, c)
ORDER BY f, r ON CONFLICT DO NOTHING RETURNING request_id
"""
_LISTED = "SELECT DISTINCT fingerprint FROM register.suppression WHERE fingerprint = ANY($1)"
# A person who got the number after it came onto the list has not objected.
_HOLDERS = """
FROM register.suppression s
WHERE s.fingerprint = ANY($1) AND NOT EXISTS (
    SELECT FROM register.assignment a WHERE a.identity = s.fingerprint AND a.valid_from > s.since AND NOT EXISTS (
        SELECT FROM register.assignment b
        WHERE b.identity = a.identity AND b.holder = a.holder AND b.valid_from <= s.since))
ORDER BY s.fingerprint, s.since DESC
"""
_WITHDRAW = """
INSERT INTO register.consent_withdrawn (fingerprint, purpose, since)
SELECT DISTINCT f, p, $3::timestamptz FROM unnest($1::bytea[], $2::text[]) AS n (f, p) ORDER BY f, p
ON CONFLICT (fingerprint, purpose) DO UPDATE SET since = excluded.since
"""
_WITHDRAWN = "SELECT fingerprint, purpose, since FROM register.consent_withdrawn WHERE fingerprint = ANY($1)"
_IN_FORCE = f"SELECT DISTINCT ON (s.fingerprint) s.fingerprint, s.request_id {_HOLDERS}"
_ENTRIES = f'SELECT s.fingerprint, s.request_id, s."right", s.channel, s.since {_HOLDERS}'


@dataclass(frozen=True, slots=True)
class SuppressionEntry:
    """A contact point, by its keyed hash, and the request for whose sake it is on the list."""

    fingerprint: bytes
    request_id: UUID
    right: Right
    channel: str


async def entries(connection: Connection, fingerprints: Collection[bytes]) -> list[tuple[SuppressionEntry, datetime]]:
    """Returns the entries of these contact points that still belong to the same person."""
    rows = await connection.fetch(_ENTRIES, list(fingerprints)) if fingerprints else []
    return [(SuppressionEntry(row[0], row[1], Right(row[2]), row[3]), row[4]) for row in rows]


async def add(connection: Connection, entries: Collection[SuppressionEntry], now: datetime) -> Counter[UUID]:
    """Puts them on the list; returns how many of each request are new."""
    if not entries:
        return Counter()
    columns = zip(*((e.fingerprint, e.request_id, e.right, e.channel) for e in entries), strict=True)
    return Counter(row[0] for row in await connection.fetch(_ADD, *map(list, columns), now))


async def listed(connection: Connection, fingerprints: Collection[bytes]) -> set[bytes]:
    """Returns the listed contact points, independent of their current holder."""
    return {row[0] for row in await connection.fetch(_LISTED, list(fingerprints))} if fingerprints else set()


async def in_force(connection: Connection, fingerprints: Collection[bytes]) -> dict[bytes, UUID]:
    """Returns the listed contact points that the register does not know to have moved, each with a request."""
    return {row[0]: row[1] for row in await connection.fetch(_IN_FORCE, list(fingerprints))}


async def withdraw(connection: Connection, withdrawn: Iterable[tuple[bytes, str]], now: datetime) -> None:
    """Notes which contact points no longer consent to which purpose."""
    if columns := [list(column) for column in zip(*withdrawn, strict=True)]:
        await connection.execute(_WITHDRAW, *columns, now)


async def withdrawn(connection: Connection, fingerprints: Collection[bytes]) -> list[tuple[bytes, str, datetime]]:
    """Returns the purposes to which these contact points no longer consent, and since when."""
    return [tuple(row) for row in await connection.fetch(_WITHDRAWN, list(fingerprints))] if fingerprints else []
