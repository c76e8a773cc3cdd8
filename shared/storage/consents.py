"""To which purposes consent is withdrawn (Art. 7(3)), and how whoever consents anew comes off the lists."""

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
_LATER = """
SELECT fingerprint FROM register.suppression WHERE fingerprint = ANY($1) AND since > $3
UNION SELECT fingerprint FROM register.consent_withdrawn
WHERE fingerprint = ANY($1) AND purpose = ANY($2::text[]) AND since > $3
"""
_GIVEN = (
    "DELETE FROM register.consent_withdrawn WHERE fingerprint = ANY($1) AND purpose = ANY($2) RETURNING fingerprint"
)
_OFF = "DELETE FROM register.suppression WHERE fingerprint = ANY($1) RETURNING fingerprint"


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


async def give(
    connection: Connection, fingerprints: Collection[bytes], purposes: Collection[str], at: datetime, *, marketing: bool
) -> tuple[set[bytes], set[bytes]]:
    """Takes off the lists whoever has consented to these purposes at that time: who was, and who has objected since.

    ``marketing``: direct marketing is one of the purposes, so that they get it again. An objection or withdrawal that
    is later than the consent stands, and nothing of that contact point is taken off.
    """
    known = list(fingerprints)
    later = {row[0] for row in await connection.fetch(_LATER, known, list(purposes), at)}
    first = [each for each in known if each not in later]
    gone = await connection.fetch(_GIVEN, first, list(purposes))
    gone += await connection.fetch(_OFF, first) if marketing else []
    return {row[0] for row in gone}, later
