"""The keyring: made once, readable by its owner alone, and clear about what is wrong with a file that is none."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.domain.errors import Misconfigured, UnknownKey
from shared.domain.identities import Identity, IdentityType
from shared.storage import keyring


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
