"""Checks before its release that each row of a package belongs to the subject."""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

import orjson

from shared.domain.errors import Shredded
from shared.domain.identities import Identity, IdentityType
from shared.domain.proofs import ProofAction, ProofPolicy
from shared.domain.release import (
    IdentityKey,
    KnownFacts,
    Match,
    ReleaseFault,
    ReleaseRow,
    TimeSpan,
    first_fault,
    instructed_of,
    names_of,
    proved_of,
    required,
    shared_of,
    stated_of,
    values_of,
)
from shared.domain.rights import NOTHING, Level, Right
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection
from shared.storage.vault import Vault

KIND = "release"
"""The kind of vault pieces with the identities by which rows of a package were found."""
_NAMESPACE = "SELECT namespace FROM register.source LIMIT 1"
_ROWS = "SELECT identity, holder, valid_from, valid_to, line FROM register.assignment WHERE identity = ANY($1)"
_HOLDS = """
SELECT EXISTS (
    SELECT FROM register.assignment WHERE identity = ANY($1) AND holder = $2 AND line = 'personal'
      AND valid_from <= $3 AND (valid_to IS NULL OR valid_to > $4))
"""
_REGISTER = "SELECT max(changed_at), coalesce(bool_or(unannounced), false) FROM register.source"
_PIECES = "SELECT sealed_id FROM vault.sealed WHERE subject_ref = $1 AND kind IN ('identities', $2) ORDER BY sealed_id"
_PERSONAL = "personal"
_ONE: Final[Level] = "L1"
_TWO: Final[Level] = "L2"
_NEVER = datetime.max.replace(tzinfo=UTC)
_NUMBERS = frozenset({IdentityType.PHONE, IdentityType.SIP_URI})

Rows = Sequence[ReleaseRow]
_Spans = Mapping[IdentityKey, Sequence[TimeSpan]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The categories of a package's rows, the identities that found them, its right, and when it was collected.

    A package of many rows has several, each of a part of them.
    """

    collected_at: datetime
    right: Right
    rows: Rows
    package_id: UUID

    def sealed(self) -> bytes:
        """As it lies in the vault."""
        return sealed(self.collected_at, self.right, self.rows, self.package_id)

    @classmethod
    def opened(cls, content: bytes) -> "Manifest":
        """From how it lies in the vault."""
        collected_at, right, rows, package_id = orjson.loads(zlib.decompress(content))
        return cls(datetime.fromisoformat(collected_at), Right(right), rows_of(rows), UUID(package_id))


def sealed(collected_at: datetime, right: Right, rows: Sequence[object], package_id: UUID) -> bytes:
    """A manifest as it lies in the vault; its rows may be as records have them in JSON, category and matches."""
    return zlib.compress(orjson.dumps([collected_at, right, rows, str(package_id)], default=list))


def rows_of(matched: Iterable[tuple[str, Iterable[Sequence[str | None]]]]) -> Rows:
    """Returns the identities that found each row, from the JSON of records."""
    return [
        ReleaseRow(
            category,
            [
                Match(str(kind), str(value), datetime.fromisoformat(at) if at else None, *of)
                for kind, value, at, *of in row
            ],
        )
        for category, row in matched
    ]


class ReleaseCheck:
    """Checks the manifests of one subject, whose identities are read once."""

    def __init__(self, vault: Vault, proofs: ProofPolicy, subject_ref: UUID) -> None:
        self._vault = vault
        self._proofs = proofs
        self._subject_ref = subject_ref
        self._known: dict[tuple[datetime, Level], KnownFacts] = {}

    async def fault(self, connection: Connection, manifest: Manifest) -> ReleaseFault | None:
        """Returns why the first row that is not shown to be the subject's is not; None if all are.

        Each row counts by identities that are proved to the level of its category.

        Raises:
            Shredded: the subject's key is gone.
        """
        policy, asked = self._proofs, ProofAction(manifest.right.value)
        levels = {category: by_action[asked] for category, by_action in policy.required_level.items()}
        needed: defaultdict[Level, list[Sequence[Match]]] = defaultdict(list)
        for row in manifest.rows:
            needed[required(row.category, levels, policy.categories)].append(row.matches)
        for level, rows in needed.items():
            known = await self._of(connection, manifest.collected_at, level)
            if fault := await asyncio.to_thread(first_fault, rows, known):
                stated = await self._of(connection, manifest.collected_at, NOTHING)
                return fault if first_fault(rows, stated) else ReleaseFault.NOT_PROVED
        return None

    async def _of(self, connection: Connection, at: datetime, least: Level) -> KnownFacts:
        if (at, least) not in self._known:
            who = self._subject_ref, at, least
            self._known[at, least] = await _known(connection, self._vault, self._proofs, *who)
        return self._known[at, least]


async def fault_of_package(
    connection: Connection, vault: Vault, proofs: ProofPolicy, subject_ref: UUID, package_id: UUID
) -> ReleaseFault | None:
    """Returns why a row of a package is not shown to be the subject's; None if all are.

    Raises:
        Shredded: the subject's key is gone.
    """
    check, untraced = ReleaseCheck(vault, proofs, subject_ref), True
    for place, _, _ in await vault.list_pieces(connection, subject_ref, KIND):
        content = await vault.open_one(connection, place)
        manifest = await asyncio.to_thread(Manifest.opened, content) if content else None
        if manifest is None or manifest.package_id != package_id:
            continue
        untraced = False
        if fault := await check.fault(connection, manifest):
            return fault
    return ReleaseFault.UNTRACED if untraced else None


async def version_of(connection: Connection, proofs: ProofPolicy, subject_ref: UUID, package_id: UUID) -> bytes | None:
    """Returns a hash of what a check depends on: the package, the subject's identities, the register, the policy.

    The result of a check stands as long as the hash. None while a change of the register is not announced.
    """
    [(changed, unannounced)] = await connection.fetch(_REGISTER)
    if unannounced:
        return None
    known = [row[0] for row in await connection.fetch(_PIECES, subject_ref, KIND)]
    return sha256(orjson.dumps([package_id, changed, known, proofs.version], default=str)).digest()


async def changed_at(connection: Connection) -> datetime | None:
    """Returns the time of the last change of the register, if there was any."""
    moment: datetime | None = await connection.fetchval("SELECT max(changed_at) FROM register.source")
    return moment


async def _known(
    connection: Connection, vault: Vault, proofs: ProofPolicy, subject_ref: UUID, at: datetime, least: Level
) -> KnownFacts:
    subject = (await vault.subject_data(connection, [subject_ref])).get(subject_ref)
    if subject is None:
        raise Shredded("the subject's key is gone, so the owner of the rows is unknown")
    namespace, tenant = await connection.fetchval(_NAMESPACE) or "", subject.tenant
    on_file = at - timedelta(days=proofs.on_file_days), at
    sure = await _confirmed(connection, vault.keyring, namespace, subject.identities, on_file)
    proved = [each for each in sure if each.level >= least]
    identities_then, others, lines = await _registered(connection, vault.keyring, namespace, proved, tenant)
    return KnownFacts(
        at=at,
        values=values_of(proved),
        stated=stated_of(subject.identities),
        periods=identities_then,
        others=others,
        lines=lines,
        proved=proved_of(proved) | (instructed_of(proved, identities_then.keys() | others.keys()) if tenant else {}),
        tenant=tenant,
        shared=shared_of(subject.identities),
        names=names_of(subject.identities),
    )


async def _confirmed(
    connection: Connection,
    keyring: Keyring,
    namespace: str,
    identities: Sequence[Identity],
    on_file: tuple[datetime, datetime],
) -> Sequence[Identity]:
    """The identities as well proved as the register bears out; ``on_file``: from when to when it must have known them.

    A proof by two contact points counts if the source of the register knows the address as one account's only. This
    account must have been the number's holder for long enough. The proof then counts for the account as well.
    """
    pair = [each for each in identities if each.together and each.level >= _TWO]
    if not pair:
        return identities
    ours = [each for each in identities if each.source == namespace and each.level >= _ONE]
    accounts = [each for each in ours if each.type is IdentityType.ACCOUNT_ID]
    addresses = {each.value for each in pair if each.type is IdentityType.EMAIL}
    current = {each.value for each in ours if each.type is IdentityType.EMAIL and each.valid_to is None}
    holds = False
    if len(accounts) == 1 and addresses & current:
        numbers = [keyring.fingerprint(each) for each in pair if each.type is IdentityType.PHONE]
        holder = keyring.holder(namespace, accounts[0].value)
        holds = await connection.fetchval(_HOLDS, numbers, holder, *on_file)
    if not holds:
        return [replace(each, level=min(each.level, _ONE)) if each.together else each for each in identities]
    return [replace(each, level=max(each.level, _TWO)) if each is accounts[0] else each for each in identities]


async def _registered(
    connection: Connection, keyring: Keyring, namespace: str, identities: Sequence[Identity], tenant: str | None
) -> tuple[_Spans, _Spans, _Spans]:
    """In which times the register shows the numbers as theirs, as others', and as lines that they hold for several.

    A customer's user is known there by the customer's name before the account that the customer states.
    """
    numbers = {keyring.fingerprint(i): (i.type.value, i.value) for i in identities if i.type in _NUMBERS}
    source, before = ("requester", f"{tenant}/") if tenant else (namespace, "")
    accounts = {
        keyring.holder(namespace, before + i.value)
        for i in identities
        if i.type is IdentityType.ACCOUNT_ID and i.source == source
    }
    identities_then: dict[IdentityKey, list[TimeSpan]] = {}
    others: dict[IdentityKey, list[TimeSpan]] = {}
    lines: dict[IdentityKey, list[TimeSpan]] = {}
    for fingerprint, holder, since, until, line in await connection.fetch(_ROWS, list(numbers)) if numbers else ():
        own = identities_then if line == _PERSONAL else lines  # a call of a shared line has no known owner
        whose = own if holder in accounts else others
        whose.setdefault(numbers[fingerprint], []).append((since, until or _NEVER))
    return identities_then, others, lines
