"""The register of assignments in the platform's database: filled by a full read of its source, asked by number.

Numbers and holders are stored as keyed hashes alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from uuid_utils.compat import uuid7

from shared.domain.assignments import (
    NUMBERS,
    AssignedNumber,
    Assignment,
    Line,
    Register,
    RegisterConflict,
    check_contact_points,
)
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.identities import Identity
from shared.domain.policy_files import Readings
from shared.domain.proofs import ProofPolicy
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData

# Locked until the end, so that readings come one after the other; one that began before the last has been overtaken.
_SOURCE = """
INSERT INTO register.source AS s (source, namespace, filled_at) VALUES ($1, $2, $3)
ON CONFLICT (source) DO UPDATE SET namespace = $2, filled_at = $3 WHERE s.filled_at < $3 RETURNING s.source
"""
_ASSIGNMENTS = """
SELECT identity, holder, valid_from, valid_to, line FROM register.assignment WHERE identity = ANY($1)
"""
_READING = """
CREATE TEMPORARY TABLE reading (LIKE register.assignment INCLUDING CONSTRAINTS INCLUDING INDEXES) ON COMMIT DROP
"""
_COLUMNS = ("identity", "holder", "valid_from", "valid_to", "line", "source", "learned_at")
# A corrected period replaces the old one; a number that the source no longer lists is free.
# A change reported after the reading had begun (``register_changes``) is left to the next reading.
_CORRECTED = """
DELETE FROM register.assignment a USING (SELECT DISTINCT identity, holder FROM reading) r
WHERE a.source = $1 AND a.learned_at < $2 AND a.identity = r.identity AND a.holder = r.holder AND NOT EXISTS (
    SELECT 1 FROM reading n
    WHERE n.identity = a.identity AND n.holder = a.holder AND n.valid_from = a.valid_from
      AND n.valid_to IS NOT DISTINCT FROM a.valid_to AND n.line = a.line)
"""
_LEARNED = "INSERT INTO register.assignment SELECT * FROM reading ON CONFLICT DO NOTHING"
_ENDED = """
UPDATE register.assignment a SET valid_to = greatest($2, valid_from + interval '1 microsecond'), learned_at = $2
WHERE source = $1 AND valid_to IS NULL AND learned_at < $2
  AND NOT EXISTS (SELECT 1 FROM reading n WHERE n.identity = a.identity AND n.holder = a.holder)
"""


_CHANGED = "UPDATE register.source SET unannounced = true WHERE source = $1"
_ANNOUNCE = "UPDATE register.source SET changed_at = $1, unannounced = false WHERE unannounced"
_NOTE_READING = """
INSERT INTO register.reading (source, tried_at, failure) VALUES ($1, $2, $3)
ON CONFLICT (source) DO UPDATE SET tried_at = $2, failure = $3
"""
_LAST_READING = """
SELECT (SELECT filled_at FROM register.source WHERE source = $1),
       (SELECT failure FROM register.reading WHERE source = $1)
"""
# Noted again by each request that meets it, and for each on record once.
_CONFLICT = """
INSERT INTO register.conflict AS c
    (conflict_id, identity, system, valid_from, valid_to, kind, request_id, noticed_at)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::uuid[])
    AS said, (SELECT $8::timestamptz) AS now ORDER BY 2, 3, 4
ON CONFLICT (identity, system, valid_from, coalesce(valid_to, 'infinity'::timestamptz))
    DO UPDATE SET kind = EXCLUDED.kind, request_id = EXCLUDED.request_id
    WHERE c.settled_at IS NULL AND (c.request_id, c.kind) <> (EXCLUDED.request_id, EXCLUDED.kind)
RETURNING conflict_id, request_id, system, kind
"""
_SETTLED = """
SELECT identity, system, valid_from, valid_to FROM register.conflict
WHERE identity = ANY($1) AND settled_at IS NOT NULL
"""


class RecordedConflict(NamedTuple):
    """A conflict as it is put on record: nothing in it says whose number, or which."""

    conflict_id: UUID
    request_id: UUID
    system: str
    kind: str


@dataclass(frozen=True, slots=True)
class FillResult:
    """Counts of a reading: new, corrected and removed assignments."""

    learned: int
    ended: int
    undated: int
    """Numbers of which the source does not know since when they are whose: the register vouches for none of them."""


class TooMuchLost(DsrError):
    """A reading would end or correct more of the register than the policy allows: nothing of it was taken over."""


class LastReading(NamedTuple):
    """The start of the last reading that was applied, and why a later one was not."""

    filled_at: datetime | None
    failure: str | None


async def fill(
    connection: Connection,
    keyring: Keyring,
    source: str,
    namespace: str,
    rows: Iterable[AssignedNumber],
    read_at: datetime,
    *,
    believed: Readings | None = None,
) -> FillResult:
    """Brings the register up to what a full read of its source says, in one transaction; then ``announce`` it.

    ``read_at``: when the reading began. An assignment that the source no longer knows stays, and ends then; a reading
    that began before the last one changes nothing. ``believed``: how much a reading may lose; None where a person has
    said that it is right.

    Raises:
        Misconfigured: the source says nothing at all, or another one has filled the register.
        TooMuchLost: it would lose more than is believed, or names accounts of another system.
    """
    # Of two ends that a source tells of one assignment the earlier one holds: it comes last.
    read = sorted(rows, key=lambda each: -(each.number.valid_to or datetime.max.replace(tzinfo=UTC)).timestamp())
    dated = {
        (keyring.fingerprint(each.number), keyring.holder(namespace, each.account_id), each.number.valid_from): each
        for each in read
        if each.number.valid_from and not (each.number.valid_to and each.number.valid_to <= each.number.valid_from)
    }
    undated = len(read) - len(dated)
    if not dated:
        raise Misconfigured(f"{source} names no number with its period: the register is left as it was")
    records = [
        (identity, holder, since, each.number.valid_to, each.line.value, source, read_at)
        for (identity, holder, since), each in dated.items()
    ]
    async with connection.transaction():
        filled_by, holds = await connection.fetchrow("SELECT source, namespace FROM register.source") or (source, None)
        if filled_by != source:
            raise Misconfigured(f"the register is filled by {filled_by}: one source says whose a number is")
        if believed is not None and holds not in {None, namespace}:
            raise TooMuchLost(
                f"the register names accounts of {holds}, and those of {namespace} would take the place of all of them:"
                " the register is left as it was"
            )
        if await connection.fetchval(_SOURCE, source, namespace, read_at) is None:
            return FillResult(0, 0, undated)
        known = await connection.fetchval("SELECT count(*) FROM register.assignment WHERE source = $1", source)
        await connection.execute(_READING)
        await connection.copy_records_to_table("reading", records=records, columns=_COLUMNS)
        corrected = _count(await connection.execute(_CORRECTED, source, read_at))
        learned = _count(await connection.execute(_LEARNED))
        ended = _count(await connection.execute(_ENDED, source, read_at))
        if believed is not None and corrected + ended > (most := believed.most_lost(known)):
            raise TooMuchLost(
                f"the reading would end {ended} and correct {corrected} of {known} assignments, and a reading may lose"
                f" {most}: the register is left as it was"
            )
        if corrected or learned or ended:
            await connection.execute(_CHANGED, source)
    return FillResult(learned, ended, undated)


async def announce(connection: Connection, now: datetime) -> None:
    """Says that the register has changed, after that can be seen: who looked at it before looks again."""
    await connection.execute(_ANNOUNCE, now)


async def record_reading(connection: Connection, source: str, tried_at: datetime, failure: str | None) -> None:
    """Keeps how the last reading ended."""
    await connection.execute(_NOTE_READING, source, tried_at, failure)


async def last_reading(connection: Connection, source: str) -> LastReading:
    """The result of the last reading of a source, and the time of the last one that was applied."""
    return LastReading(*await connection.fetchrow(_LAST_READING, source) or (None, None))


async def register_for(connection: Connection, keyring: Keyring, identities: Iterable[Identity]) -> Register:
    """Returns the register's assignments of these identities' numbers."""
    source = await connection.fetchrow("SELECT namespace, filled_at FROM register.source LIMIT 1")
    if source is None:
        return Register()
    wanted = {keyring.fingerprint(identity) for identity in identities if identity.type in NUMBERS}
    found: defaultdict[bytes, list[Assignment]] = defaultdict(list)
    if not wanted:
        return Register(source[0], {}, keyring.fingerprint, keyring.holder, source[1])
    for row in await connection.fetch(_ASSIGNMENTS, list(wanted)):
        found[row[0]].append(Assignment(row[0], row[1], row[2], row[3], Line(row[4])))
    settled = {(row[0], row[1], row[2], row[3]) for row in await connection.fetch(_SETTLED, list(wanted))}
    return Register(source[0], found, keyring.fingerprint, keyring.holder, source[1], settled)


async def confirmed_by_register(
    connection: Connection, keyring: Keyring, known: Mapping[UUID, SubjectData], now: datetime, proofs: ProofPolicy
) -> tuple[Register, dict[UUID, SubjectData]]:
    """Returns the register of these subjects' numbers, and the subjects with the proof that it confirms."""
    register = await register_for(connection, keyring, (i for subject in known.values() for i in subject.identities))
    on_file = timedelta(days=proofs.on_file_days)
    return register, {
        ref: replace(subject, identities=check_contact_points(subject.identities, register, on_file, now))
        for ref, subject in known.items()
    }


async def record_conflicts(
    connection: Connection, found: Iterable[tuple[UUID, RegisterConflict]], now: datetime
) -> list[RecordedConflict]:
    """Keeps conflicts, each with the request that has met it; returns those that are not on record for it yet."""
    by_claim = {(each.number, each.system, each.valid_from, each.valid_to): (of, each) for of, each in found}
    rows = [(uuid7(), *claim, each.kind.value, of) for claim, (of, each) in by_claim.items()]
    if not rows:
        return []
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [RecordedConflict(*row) for row in await connection.fetch(_CONFLICT, *columns, now)]


def _count(tag: str) -> int:
    return int(tag.rpartition(" ")[2])
