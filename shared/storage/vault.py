"""Seals personal data with AES-256-GCM, under a wrapped key for each record; destroying the key erases the data.

A request has two records: that of its subject (``subject_ref``) and that of its correspondence (``request_id``).
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from uuid_utils.compat import uuid7

from shared.domain.errors import Shredded
from shared.domain.identities import Identity
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection, insert_rows
from shared.storage.subject_data import SubjectData, decode, encode, merged, with_lower_levels

Row = tuple[object, ...]
MANUAL_STEPS = "manual_steps"
"""The kind of instructions for manual work, with ids of the subject's records."""
_KEY = 32
_NONCE = 12

REVOKED = "taken_back"
"""The source of identities whose proof was revoked, each with its remaining assurance level."""
DISCARDED = "dropped"
"""The source of stated identities that are no longer used."""
_REQUESTER_SOURCES = ["requester", REVOKED, DISCARDED]
_SUBJECT = ("subject_ref", "kek_id", "wrapped_key", "statement", "created_at")
_SEALED = ("sealed_id", "subject_ref", "kind", "source", "content", "created_at")
_KNOWN = """
SELECT s.subject_ref, s.kek_id, s.wrapped_key, s.statement, p.content, p.source
FROM vault.subject s LEFT JOIN vault.sealed p ON p.subject_ref = s.subject_ref AND p.kind = 'identities'
WHERE s.subject_ref = ANY($1) AND s.wrapped_key IS NOT NULL ORDER BY p.sealed_id
"""


@dataclass(frozen=True, slots=True)
class Sealing:
    """A piece of personal data to be sealed under a subject's key: ``kind`` and ``source`` are stored in clear."""

    subject_ref: UUID
    kind: str
    source: str
    content: bytes
    sealed_id: UUID = field(default_factory=uuid7)


class Vault:
    """Seals and opens data in batches, inside the caller's transaction."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def new_subject(self, subject_ref: UUID, data: SubjectData, now: datetime) -> Row:
        """Builds a row of ``vault.subject`` with a new key and the sealed data."""
        return self.new_record(subject_ref, encode(data), (), now)[0]

    def new_record(
        self, ref: UUID, statement: bytes, sealings: Sequence[Sealing], now: datetime
    ) -> tuple[Row, list[Row]]:
        """Builds a row of ``vault.subject`` with a new key and a sealed statement, and rows of sealed pieces."""
        chance = os.urandom(_KEY + 2 * _NONCE)  # one call of the system instead of three
        secret, nonce, another = chance[:_KEY], chance[_KEY:-_NONCE], chance[-_NONCE:]
        key = AESGCM(secret)
        wrapped = _seal(self.keyring.key(self.keyring.active), secret, ref.bytes, nonce)
        row = (ref, self.keyring.active, wrapped, _seal(key, statement, ref.bytes, another), now)
        return row, [_row(key, sealing, now) for sealing in sealings]

    @staticmethod
    async def insert_subjects(connection: Connection, rows: Sequence[Row]) -> None:
        """Stores rows made by ``new_subject`` or ``new_record``."""
        await insert_rows(connection, "vault.subject", _SUBJECT, rows)

    async def subject_data(self, connection: Connection, subjects: Iterable[UUID]) -> dict[UUID, SubjectData]:
        """Returns what each subject stated and what systems yielded; leaves out shredded subjects.

        Raises:
            UnknownKey: a subject's key is wrapped by a key that the keyring does not have.
        """
        keys: dict[UUID, AESGCM] = {}
        known: dict[UUID, SubjectData] = {}
        for ref, kek_id, wrapped, statement, content, source in await connection.fetch(_KNOWN, list(set(subjects))):
            if ref not in known:
                keys[ref] = self._key(kek_id, wrapped, ref)
                known[ref] = decode(_open(keys[ref], statement, ref.bytes))
            if content is not None:
                more = decode(_open(keys[ref], content, ref.bytes)).identities
                known[ref] = replace(known[ref], identities=_merge_piece(known[ref].identities, more, source))
        return known

    async def seal(self, connection: Connection, sealings: Sequence[Sealing], now: datetime) -> None:
        """Stores each piece under its subject's key.

        Raises:
            Shredded: one of the keys is gone.
        """
        if not sealings:
            return
        keys = await self._keys(connection, {sealing.subject_ref for sealing in sealings})
        await self.insert_sealed(connection, [_row(keys[sealing.subject_ref], sealing, now) for sealing in sealings])

    @staticmethod
    async def insert_sealed(connection: Connection, rows: Sequence[Row]) -> None:
        """Stores rows of pieces made by ``new_record``."""
        await insert_rows(connection, "vault.sealed", _SEALED, rows)

    async def statement(self, connection: Connection, ref: UUID) -> bytes:
        """Returns the statement of one record.

        Raises:
            Shredded: its key is gone.
        """
        if (found := (await self._subjects(connection, [ref])).get(ref)) is None:
            raise Shredded("its key is gone")
        return _open(*found, ref.bytes)

    async def statements(self, connection: Connection, refs: Iterable[UUID]) -> dict[UUID, bytes]:
        """Returns the statement of each record that has a key."""
        found = await self._subjects(connection, list(set(refs)))
        return {ref: _open(key, sealed, ref.bytes) for ref, (key, sealed) in found.items()}

    async def open_kind(self, connection: Connection, subject_ref: UUID, kind: str) -> list[tuple[UUID, str, bytes]]:
        """Returns the pieces of a kind of one subject as (id, source, content), oldest first.

        Raises:
            Shredded: the subject's key is gone.
        """
        key = (await self._keys(connection, {subject_ref}))[subject_ref]
        rows = await connection.fetch(
            "SELECT sealed_id, source, content FROM vault.sealed"
            " WHERE subject_ref = $1 AND kind = $2 ORDER BY sealed_id",
            subject_ref,
            kind,
        )
        return [(row[0], row[1], _open(key, row[2], subject_ref.bytes)) for row in rows]

    async def open_named(
        self, connection: Connection, subjects: Collection[UUID], kind: str, sources: Sequence[str]
    ) -> dict[str, bytes]:
        """Returns the pieces of a kind of these subjects by source; leaves out subjects without a key."""
        keys = await self._subjects(connection, list(subjects))
        query = (
            "SELECT subject_ref, source, content FROM vault.sealed"
            " WHERE subject_ref = ANY($1) AND kind = $2 AND source = ANY($3)"
        )
        rows = await connection.fetch(query, list(keys), kind, sources)
        return {row[1]: _open(keys[row[0]][0], row[2], row[0].bytes) for row in rows}

    async def open_latest(self, connection: Connection, subjects: Iterable[UUID], kind: str) -> dict[UUID, bytes]:
        """Returns the last piece of a kind of each subject that has a key."""
        refs = list(set(subjects))
        keys = await self._subjects(connection, refs)
        rows = await connection.fetch(
            "SELECT DISTINCT ON (subject_ref) subject_ref, content FROM vault.sealed"
            " WHERE subject_ref = ANY($1) AND kind = $2 ORDER BY subject_ref, sealed_id DESC",
            refs,
            kind,
        )
        return {ref: _open(keys[ref][0], content, ref.bytes) for ref, content in rows if ref in keys}

    @staticmethod
    async def list_pieces(connection: Connection, subject_ref: UUID, kind: str) -> list[tuple[UUID, str, int]]:
        """Returns id, source and size of each piece of that kind of a subject, oldest first."""
        query = (
            "SELECT sealed_id, source, octet_length(content) FROM vault.sealed"
            " WHERE subject_ref = $1 AND kind = $2 ORDER BY sealed_id"
        )
        return [(row[0], row[1], row[2]) for row in await connection.fetch(query, subject_ref, kind)]

    async def open_one(self, connection: Connection, sealed_id: UUID, *, lock: bool = False) -> bytes | None:
        """Returns one piece by its id, or None; ``lock``: locks it until the transaction ends.

        Raises:
            Shredded: its subject's key is gone.
        """
        query = "SELECT subject_ref, content FROM vault.sealed WHERE sealed_id = $1"
        row = await connection.fetchrow(f"{query} FOR UPDATE" if lock else query, sealed_id)
        if row is None:
            return None
        key = (await self._keys(connection, {row[0]}))[row[0]]
        return _open(key, row[1], row[0].bytes)

    async def rewrite(
        self, connection: Connection, sealed_ids: Collection[UUID], change: Callable[[UUID, bytes, bytes], bytes | None]
    ) -> None:
        """Replaces each piece by the result of ``change``, called with id, content and the record's statement.

        With None a piece stays as it is. Pieces that are gone, or whose key is, are left out.
        """
        rows = await connection.fetch(
            "SELECT p.sealed_id, p.content, s.subject_ref, s.kek_id, s.wrapped_key, s.statement"
            " FROM vault.sealed p JOIN vault.subject s USING (subject_ref)"
            " WHERE p.sealed_id = ANY($1) AND s.wrapped_key IS NOT NULL ORDER BY p.sealed_id FOR UPDATE OF p",
            list(sealed_ids),
        )
        changed: list[tuple[UUID, bytes]] = []
        for sealed_id, content, ref, kek_id, wrapped, statement in rows:
            key = self._key(kek_id, wrapped, ref)
            after = change(sealed_id, _open(key, content, ref.bytes), _open(key, statement, ref.bytes))
            if after is not None:
                changed.append((sealed_id, _seal(key, after, ref.bytes)))
        if changed:
            await connection.execute(
                "UPDATE vault.sealed s SET content = n.content FROM unnest($1::uuid[], $2::bytea[]) AS n (id, content)"
                " WHERE s.sealed_id = n.id",
                *map(list, zip(*changed, strict=True)),
            )

    async def replace(self, connection: Connection, sealing: Sealing) -> None:
        """Replaces the content of an existing piece.

        Raises:
            Shredded: its subject's key is gone.
        """
        key = (await self._keys(connection, {sealing.subject_ref}))[sealing.subject_ref]
        content = _seal(key, sealing.content, sealing.subject_ref.bytes)
        await connection.execute(
            "UPDATE vault.sealed SET content = $2 WHERE sealed_id = $1", sealing.sealed_id, content
        )

    @staticmethod
    async def drop_kind(
        connection: Connection, subjects: Sequence[UUID], kind: str, except_id: UUID | None = None
    ) -> None:
        """Deletes the pieces of a kind of these subjects, except one."""
        statement = "DELETE FROM vault.sealed WHERE subject_ref = ANY($1) AND kind = $2"
        await connection.execute(f"{statement} AND ($3::uuid IS NULL OR sealed_id <> $3)", subjects, kind, except_id)

    @staticmethod
    async def drop_of_systems(connection: Connection, subject_ref: UUID, systems: Collection[str]) -> None:
        """Deletes the data of one subject that these systems gave."""
        await connection.execute(
            "DELETE FROM vault.sealed WHERE subject_ref = $1 AND kind IN ('records', 'upload') AND source = ANY($2)",
            subject_ref,
            list(systems),
        )

    @staticmethod
    async def drop_of_source(connection: Connection, subjects: Collection[UUID], kind: str, system: str) -> None:
        """Deletes the pieces of a kind from one source, of these subjects."""
        if subjects:
            statement = "DELETE FROM vault.sealed WHERE subject_ref = ANY($1) AND kind = $2 AND source = $3"
            await connection.execute(statement, list(subjects), kind, system)

    @staticmethod
    async def drop_other_sources(connection: Connection, subject_ref: UUID, kind: str, source: str) -> None:
        """Deletes the pieces of a kind of one subject from all other sources."""
        statement = "DELETE FROM vault.sealed WHERE subject_ref = $1 AND kind = $2 AND source <> $3"
        await connection.execute(statement, subject_ref, kind, source)

    @staticmethod
    async def drop_one(connection: Connection, sealed_id: UUID) -> None:
        """Deletes one piece by its id."""
        await connection.execute("DELETE FROM vault.sealed WHERE sealed_id = $1", sealed_id)

    @staticmethod
    async def drop_located(connection: Connection, subject_ref: UUID) -> None:
        """Deletes identities that systems yielded; they are searched again with new statements."""
        await connection.execute(
            "DELETE FROM vault.sealed WHERE subject_ref = $1 AND kind = 'identities' AND source <> ALL($2)",
            subject_ref,
            _REQUESTER_SOURCES,
        )

    @staticmethod
    async def drop_collected(connection: Connection, subjects: Sequence[UUID]) -> None:
        """Deletes collected data and packages of these subjects; statements stay."""
        await connection.execute(
            "DELETE FROM vault.sealed WHERE subject_ref = ANY($1)"
            " AND (kind IN ('records', 'upload', 'package', 'release', 'manual_steps')"
            " OR kind = 'identities' AND source <> ALL($2))",
            subjects,
            _REQUESTER_SOURCES,
        )

    @staticmethod
    async def shred(connection: Connection, subjects: Sequence[UUID], now: datetime) -> list[UUID]:
        """Destroys the keys of these subjects; returns those that still had one."""
        rows = await connection.fetch(
            "UPDATE vault.subject SET wrapped_key = NULL, statement = NULL, shredded_at = $2"
            " WHERE subject_ref = ANY($1) AND wrapped_key IS NOT NULL RETURNING subject_ref",
            subjects,
            now,
        )
        return [row[0] for row in rows]

    @staticmethod
    async def unshredded(connection: Connection, subjects: Iterable[UUID]) -> set[UUID]:
        """Returns the subjects that have a key, locked until the transaction ends."""
        rows = await connection.fetch(
            "SELECT subject_ref FROM vault.subject WHERE subject_ref = ANY($1) AND wrapped_key IS NOT NULL FOR SHARE",
            list(subjects),
        )
        return {row[0] for row in rows}

    async def key(self, connection: Connection, subject_ref: UUID) -> AESGCM:
        """Returns the key of one subject, to seal in chunks.

        Raises:
            Shredded: it is gone.
        """
        return (await self._keys(connection, {subject_ref}))[subject_ref]

    async def _keys(self, connection: Connection, subjects: set[UUID]) -> dict[UUID, AESGCM]:
        keys = {ref: key for ref, (key, _) in (await self._subjects(connection, list(subjects))).items()}
        if len(keys) < len(subjects):
            message = f"{len(subjects) - len(keys)} subject(s) have no key any more"
            raise Shredded(message)
        return keys

    async def _subjects(self, connection: Connection, refs: Sequence[UUID]) -> dict[UUID, tuple[AESGCM, bytes]]:
        """Returns key and sealed data of the subjects that have a key."""
        rows = await connection.fetch(
            "SELECT subject_ref, kek_id, wrapped_key, statement FROM vault.subject"
            " WHERE subject_ref = ANY($1) AND wrapped_key IS NOT NULL",
            refs,
        )
        return {ref: (self._key(kek_id, wrapped, ref), sealed) for ref, kek_id, wrapped, sealed in rows}

    def _key(self, kek_id: str, wrapped: bytes, ref: UUID) -> AESGCM:
        return AESGCM(_open(self.keyring.key(kek_id), wrapped, ref.bytes))


def _row(key: AESGCM, sealing: Sealing, now: datetime) -> Row:
    ref = sealing.subject_ref
    sealed = _seal(key, sealing.content, ref.bytes)
    return (sealing.sealed_id, ref, sealing.kind, sealing.source, sealed, now)


def _seal(key: AESGCM, content: bytes, bound_to: bytes, nonce: bytes | None = None) -> bytes:
    nonce = nonce or os.urandom(_NONCE)
    return nonce + key.encrypt(nonce, content, bound_to)


def _merge_piece(known: tuple[Identity, ...], more: tuple[Identity, ...], source: str) -> tuple[Identity, ...]:
    """Merges a later piece into the known data."""
    if source == REVOKED:
        return with_lower_levels(known, more)
    if source == DISCARDED:
        discarded = {(each.type, each.value, each.source) for each in more}
        return tuple(each for each in known if (each.type, each.value, each.source) not in discarded)
    return merged(known + more)


def _open(key: AESGCM, sealed: bytes, bound_to: bytes) -> bytes:
    return key.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
