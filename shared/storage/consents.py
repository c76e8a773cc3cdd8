"""Purposes to which consent is withdrawn (Art. 7(3))."""

from collections.abc import Collection, Iterable
from datetime import datetime

from shared.storage.postgres import Connection

_WITHDRAW = """
INSERT INTO register.consent_withdrawn (fingerprint, purpose, since)
SELECT DISTINCT f, p, $3::timestamptz FROM unnest($1::bytea[], $2::text[]) AS n (f, p) ORDER BY f, p
ON CONFLICT (fingerprint, purpose) DO UPDATE SET since = excluded.since
"""
_WITHDRAWN = "SELECT fingerprint, purpose FROM register.consent_withdrawn WHERE fingerprint = ANY($1)"
_NOTED = "SELECT fingerprint, purpose, since FROM register.consent_withdrawn WHERE fingerprint = ANY($1)"


async def withdraw(connection: Connection, withdrawn: Iterable[tuple[bytes, str]], now: datetime) -> None:
    """Notes who, by a keyed hash, consents to which purpose no more."""
    if columns := [list(column) for column in zip(*withdrawn, strict=True)]:
        await connection.execute(_WITHDRAW, *columns, now)


async def withdrawn_by(connection: Connection, fingerprints: Collection[bytes]) -> list[tuple[bytes, str]]:
    """To what these consent no more."""
    return [tuple(row) for row in await connection.fetch(_WITHDRAWN, list(fingerprints))] if fingerprints else []


async def noted(connection: Connection, fingerprints: Collection[bytes]) -> list[tuple[bytes, str, datetime]]:
    """To what these consent no more, and since when."""
    return [tuple(row) for row in await connection.fetch(_NOTED, list(fingerprints))] if fingerprints else []
