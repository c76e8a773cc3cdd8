"""The keyring: made once, readable by its owner alone, and clear about what is wrong with a file that is none."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Misconfigured, UnknownKey
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.text import nfc
from shared.storage import keyring
from shared.storage.keyring import Keyring
from shared.storage.subject_data import SubjectData, decode, encode
from shared.storage.vault import Vault, _open, _seal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keyring.json"
    keyring.create(path)
    return path


def test_a_new_keyring_is_readable_by_its_owner_only_and_is_never_overwritten(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keyring.create(path)
    assert path.read_bytes() == before


def test_rotating_adds_a_key_makes_it_the_active_one_and_leaves_the_others_as_they_were(path: Path) -> None:
    before = json.loads(path.read_text())
    assert [keyring.rotate(path), keyring.rotate(path)] == ["k2", "k3"]
    after = json.loads(path.read_text())
    assert after["active"] == keyring.load(path).active == "k3"
    assert {**after, "active": "k1", "keys": {"k1": after["keys"]["k1"]}} == before
    assert len(set(after["keys"].values())) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_rotating_never_takes_the_name_of_a_key_that_is_there(path: Path) -> None:
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "active": "k2", "keys": {"k2": raw["keys"]["k1"]}}))
    assert keyring.rotate(path) == "k3"


def test_every_key_is_another(path: Path) -> None:
    raw = json.loads(path.read_text())
    secrets = [raw["keys"]["k1"], raw["lookup"], raw["claims"], raw["signing"]]
    assert len(set(secrets)) == len(secrets)


def test_a_missing_keyring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="dsr key new"):
        keyring.load(tmp_path / "none.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"active": "k1", "keys": {"k1": "c2hvcnQ="}}'])
@pytest.mark.parametrize("use", [keyring.load, keyring.rotate])
def test_a_file_that_is_no_keyring_is_refused_without_telling_what_is_in_it_and_left_alone(
    path: Path, content: str, use: Callable[[Path], object]
) -> None:
    path.write_text(content)
    with pytest.raises(Misconfigured, match="cannot be used") as refused:
        use(path)
    assert "c2hvcnQ" not in str(refused.value)
    assert path.read_text() == content


def test_a_key_that_is_not_there_is_named_and_the_active_one_is_missed_at_once(path: Path) -> None:
    with pytest.raises(UnknownKey, match="k7"):
        keyring.load(path).key("k7")
    path.write_text(json.dumps({**json.loads(path.read_text()), "active": "k2"}))
    with pytest.raises(Misconfigured, match="cannot be used"):
        keyring.load(path)


def test_a_fingerprint_is_the_same_for_the_same_identity_and_nobody_elses(path: Path, tmp_path: Path) -> None:
    keys = keyring.load(path)
    email = Identity(IdentityType.EMAIL, "ada@example.org", source="crm")
    assert keys.fingerprint(email) == keyring.load(path).fingerprint(Identity(IdentityType.EMAIL, "ada@example.org"))
    assert keys.fingerprint(email) != keys.fingerprint(Identity(IdentityType.NAME, "ada@example.org"))
    keyring.create(tmp_path / "other.json")
    assert keys.fingerprint(email) != keyring.load(tmp_path / "other.json").fingerprint(email)


def test_a_keyring_does_not_print_its_keys(path: Path) -> None:
    keys = keyring.load(path)
    shown = repr(keys)
    assert repr(keys.lookup) not in shown
    assert repr(keys.claims) not in shown


# What is known of a subject is sealed and read back without loss.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.none() | st.datetimes(timezones=st.just(UTC))
levels = st.sampled_from(["L0", "L2"])
identities = st.builds(Identity, st.sampled_from(IdentityType), texts, times, times, texts, times, levels)
said = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]), max_size=20).map(nfc).map(str.strip)
changes = st.builds(Change, field=st.just("name"), current=st.none() | said, asserted=said.filter(bool))
statements = st.builds(
    SubjectData, st.lists(identities, max_size=4).map(tuple), st.lists(changes, max_size=3).map(tuple)
)


@given(statements)
def test_a_statement_is_read_back_as_it_was(said: SubjectData) -> None:
    assert decode(encode(said)) == said


@given(st.binary(max_size=200), st.binary(min_size=16, max_size=16), st.integers(0, 2**16))
def test_a_sealed_piece_opens_only_whole_and_only_for_whom_it_was_sealed(
    content: bytes, bound_to: bytes, place: int
) -> None:
    key = AESGCM(bytes(32))
    sealed = _seal(key, content, bound_to)
    assert _open(key, sealed, bound_to) == content
    changed = bytearray(sealed)
    changed[place % len(sealed)] ^= 1
    with pytest.raises(InvalidTag):
        _open(key, bytes(changed), bound_to)
    with pytest.raises(InvalidTag):
        _open(key, sealed, bytes([bound_to[0] ^ 1]) + bound_to[1:])


def test_the_same_content_is_never_sealed_to_the_same_bytes(keys: Keyring) -> None:
    vault = Vault(keys)
    said = SubjectData((Identity(IdentityType.EMAIL, "ada@example.org"),))
    rows = {vault.new_subject(UUID(int=1), said, datetime(2026, 3, 2, tzinfo=UTC))[2:4] for _ in range(50)}
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == 50
