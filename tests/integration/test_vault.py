"""The vault: sealed for one subject under one key; shred the key, and nobody reads it any more."""

import base64
import dataclasses
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from uuid_utils.compat import uuid7

from deploy.demo.traces import Seeker
from shared.domain.errors import Shredded, UnknownKey
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.storage import keyring, vault
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData, encode_identities
from shared.storage.vault import Sealing, Vault
from tests.fixtures.engine import Harness, OpenHarness, SetClock

ADA = Identity(IdentityType.EMAIL, "ada@example.org")
NUMBER = Identity(
    IdentityType.PHONE, "+442079460000", datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), "crm"
)


async def test_what_is_sealed_for_a_subject_is_read_back_as_it_was(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    ref = uuid7()
    change = Change(field="email", current="ada@example.org", asserted="ada@example.net")
    async with harness.unit_of_work.begin() as tx:
        said = SubjectData((ADA, NUMBER), (change,))
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(ref, said, tx.now)])
        assert await tx.vault.subject_data(tx.connection, [ref]) == {ref: said}


SEALS_NOTHING: list[tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = [
    (bytes, bytes),
    (base64.b64encode, base64.b64decode),
]


@pytest.mark.parametrize("instead", [None, *SEALS_NOTHING], ids=["sealed", "in clear", "in base64"])
async def test_nothing_of_it_stands_in_the_database_in_clear_and_the_search_that_says_so_would_find_it(
    open_harness: OpenHarness,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    instead: tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]] | None,
) -> None:
    if instead:
        seal, unseal = instead
        monkeypatch.setattr(vault, "_seal", lambda _key, content, *_: seal(content))
        monkeypatch.setattr(vault, "_open", lambda _key, content, _ref: unseal(content))
    harness = await open_harness()
    ref = await harness.subject(ADA)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [Sealing(ref, "records", "crm", b"Ada Lovelace")], tx.now)
    seeker = Seeker({"address": [ADA.value], "name": ["Ada Lovelace"]}, encoded=True)
    await seeker.in_postgres(database)
    places = {who: set(found) for who, found in seeker.found.items()}
    assert places == ({"address": {"vault.subject"}, "name": {"vault.sealed"}} if instead else {})


async def test_identities_that_systems_yield_are_known_once_each(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    ref = await harness.subject(ADA)
    async with harness.unit_of_work.begin() as tx:
        pieces = [Sealing(ref, "identities", "crm", encode_identities([ADA, NUMBER])) for _ in range(2)]
        await tx.vault.seal(tx.connection, pieces, tx.now)
        known = await tx.vault.subject_data(tx.connection, [ref])
        more = encode_identities([replace(ADA, shared=True)])
        await tx.vault.seal(tx.connection, [Sealing(ref, "identities", "crm", more)], tx.now)
        later = await tx.vault.subject_data(tx.connection, [ref])
    assert known[ref].identities == (ADA, NUMBER)
    assert later[ref].identities == (replace(ADA, shared=True), NUMBER)


async def test_a_shredded_subject_cannot_be_read_by_anyone(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await open_harness()
    ref, other = await harness.subject(ADA), await harness.subject(NUMBER)
    sealing = Sealing(ref, "package", "export", b"everything")
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [sealing], tx.now)
        assert await tx.vault.shred(tx.connection, [ref], clock.now()) == [ref]
        assert await tx.vault.shred(tx.connection, [ref], clock.now()) == []
        assert set(await tx.vault.subject_data(tx.connection, [ref, other])) == {other}
        with pytest.raises(Shredded):
            await tx.vault.open_one(tx.connection, sealing.sealed_id)
        with pytest.raises(Shredded):
            await tx.vault.open_kind(tx.connection, ref, "package")
        with pytest.raises(Shredded):
            await tx.vault.seal(tx.connection, [Sealing(ref, "package", "export", b"more")], tx.now)
    row = await harness.pool.fetchrow("SELECT wrapped_key, statement FROM vault.subject WHERE subject_ref = $1", ref)
    assert row is not None
    assert tuple(row) == (None, None)


@pytest.mark.parametrize(("name", "error"), [("k2", UnknownKey), ("k1", InvalidTag)])
async def test_a_keyring_without_the_key_opens_nothing_though_it_has_another_of_the_same_name(
    open_harness: OpenHarness, tmp_path: Path, name: str, error: type[Exception]
) -> None:
    harness = await open_harness()
    ref = await harness.subject()
    keyring.create(tmp_path / "other.json", active=name)
    stranger = Vault(keyring.load(tmp_path / "other.json"))
    async with harness.pool.acquire() as connection:
        with pytest.raises(error):
            await stranger.subject_data(connection, [ref])


async def test_a_retired_key_still_opens_what_it_sealed(open_harness: OpenHarness, tmp_path: Path) -> None:
    harness = await open_harness()
    ref = await harness.subject(ADA)
    keyring.create(tmp_path / "next.json", active="k2")
    fresh, retired = keyring.load(tmp_path / "next.json"), harness.unit_of_work.vault.keyring
    rotated = Vault(dataclasses.replace(fresh, keys={**retired.keys, **fresh.keys}))
    later = uuid7()
    async with harness.unit_of_work.begin() as tx:
        await rotated.insert_subjects(tx.connection, [rotated.new_subject(later, SubjectData((NUMBER,)), tx.now)])
        known = await rotated.subject_data(tx.connection, [ref, later])
    assert {known[ref].identities, known[later].identities} == {(ADA,), (NUMBER,)}
    assert await harness.pool.fetchval("SELECT kek_id FROM vault.subject WHERE subject_ref = $1", later) == "k2"


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE vault.sealed SET subject_ref = $2 WHERE subject_ref = $1",
        """UPDATE vault.subject b SET wrapped_key = a.wrapped_key, statement = a.statement
           FROM vault.subject a WHERE a.subject_ref = $1 AND b.subject_ref = $2""",
    ],
)
async def test_what_was_sealed_for_one_subject_opens_for_no_other(open_harness: OpenHarness, swap: str) -> None:
    harness = await open_harness()
    one, other = await harness.subject(ADA), await harness.subject(NUMBER)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [Sealing(one, "records", "crm", b"hers")], tx.now)
    await harness.pool.execute(swap, one, other)
    async with harness.pool.acquire() as connection:
        with pytest.raises(InvalidTag):
            await _read_all(harness, connection, other)


async def _read_all(harness: Harness, connection: Connection, ref: UUID) -> None:
    await harness.unit_of_work.vault.subject_data(connection, [ref])
    await harness.unit_of_work.vault.open_kind(connection, ref, "records")
