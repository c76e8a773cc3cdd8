"""The certificate: checked offline by anyone, and any change to it is found."""

import base64
import hmac
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import asyncpg
import orjson
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured, UnknownKey
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.text import nfc
from shared.storage import certificate, evidence, keyring
from shared.storage.keyring import Keyring
from shared.storage.subject_data import SubjectData, decode, encode
from shared.storage.vault import Vault, _open, _seal

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def entry(request_id: UUID, number: int) -> Mapping[str, object]:
    """An entry as the evidence has it."""
    prev_hash = bytes([number]) * 32
    detail: dict[str, object] = {"system": "crm", "task_id": str(uuid7()), "found": number, "remaining": 0}
    text = orjson.dumps(detail, option=orjson.OPT_SORT_KEYS).decode()
    at, actor, action = AT + timedelta(microseconds=number), "service:erasure", "task.concluded"
    return {
        "chain": "erasure",
        "seq": 10 * number,
        "at": at,
        "request_id": request_id,
        "actor": actor,
        "action": action,
        "detail": text,
        "prev_hash": prev_hash,
        "hash": evidence.digest(prev_hash, "erasure", 10 * number, at, (request_id, actor, action, text)),
    }


@pytest.fixture
def good(keys: Keyring) -> dict[str, Any]:
    request_id = uuid7()
    facts = {"request_id": str(request_id), "right": "erasure", "outcome": "fulfilled"}
    entries = [cast("asyncpg.Record", entry(request_id, number)) for number in (1, 2, 3)]
    hashes = [each["hash"] for each in entries]
    signature = keys.signing.sign(evidence.signed_content(hashes))
    proofs = [evidence.InclusionProof(evidence.merkle_path(hashes, place), signature) for place in range(3)]
    return json.loads(json.dumps(certificate.build(facts, entries, proofs, keys)))  # type: ignore[no-any-return]


def public(keys: Keyring) -> bytes:
    return keys.signing.public_key().public_bytes_raw()


def resigned(changed: dict[str, Any], keys: Keyring) -> dict[str, Any]:
    """Forges a certificate with the key, but without the evidence."""
    content = {name: value for name, value in changed.items() if name != "signature"}
    signature = keys.signing.sign(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    return {**content, "signature": base64.b64encode(signature).decode()}


def test_untouched_certificate_holds(good: dict[str, Any], keys: Keyring) -> None:
    assert certificate.verify(good, public(keys)) == []
    assert certificate.verify(good) == []


def test_any_changed_byte_of_the_file_is_found(good: dict[str, Any], keys: Keyring) -> None:
    file = orjson.dumps(good)
    for place in range(len(file)):
        changed = bytearray(file)
        changed[place] ^= 1
        with suppress(ValueError):  # what is no JSON any more, or no certificate
            assert certificate.verify(orjson.loads(changed), public(keys)), (place, changed[place - 10 : place + 10])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["entries"][0].update(actor="service:export"), "its hash does not belong to what it says"),
        (lambda c: c["entries"][0].update(prev_hash="00" * 32), "its hash does not belong to what it says"),
        (lambda c: c["request"].update(request_id=str(uuid7())), "it is about another request"),
        (lambda c: c["entries"].append(c["entries"][0]), "is there twice"),
        (lambda c: c["entries"].append(_next_to(c["entries"][0])), "does not follow from the one before"),
        (lambda c: c["entries"][1].update(_other_receipt(c["entries"][1])), "the signature of its batch"),
    ],
)
def test_who_signs_a_changed_record_and_forgets_what_belongs_to_it_is_found_out(
    good: dict[str, Any], keys: Keyring, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(good)
    problems = certificate.verify(resigned(good, keys), public(keys))
    assert any(said in problem for problem in problems)


def _other_receipt(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with another count, and a hash that belongs to it."""
    detail = orjson.dumps({**orjson.loads(entry["detail"]), "found": 0}, option=orjson.OPT_SORT_KEYS).decode()
    return _rehashed({**entry, "detail": detail})


def _next_to(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry that claims the place after another one."""
    return _rehashed({**entry, "seq": entry["seq"] + 1})


def _rehashed(entry: dict[str, Any]) -> dict[str, Any]:
    fields = (UUID(entry["request_id"]), entry["actor"], entry["action"], entry["detail"])
    at = datetime.fromisoformat(entry["at"])
    hashed = evidence.digest(bytes.fromhex(entry["prev_hash"]), entry["chain"], entry["seq"], at, fields)
    return {**entry, "hash": hashed.hex()}


def test_certificate_of_another_key_is_found(good: dict[str, Any], tmp_path: Path) -> None:
    keyring.create(tmp_path / "stranger.json")
    stranger = keyring.load(tmp_path / "stranger.json")
    assert certificate.verify(good, public(stranger)) == ["it was signed with another key than the one that you trust"]


@pytest.mark.parametrize("other", [{}, [], None, {"version": "dsr-certificate-1"}, "certificate"])
def test_what_is_no_certificate_is_called_that(other: Any) -> None:
    with pytest.raises(ValueError, match="not a certificate"):
        certificate.verify(other)


def test_a_certificate_of_another_version_is_not_judged(good: dict[str, Any], keys: Keyring) -> None:
    good["version"] = "dsr-certificate-2"
    with pytest.raises(ValueError, match="dsr-certificate-1"):
        certificate.verify(resigned(good, keys), public(keys))


def run(folder: Path, content: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    file = folder / "certificate.json"
    file.write_bytes(content)
    command = [sys.executable, "-m", "services", "certificate", "verify", str(file), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_says_in_plain_words_what_holds(good: dict[str, Any], keys: Keyring, tmp_path: Path) -> None:
    ended = run(tmp_path, orjson.dumps(good), "--key", base64.b64encode(public(keys)).decode())
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"holds: request {good['request']['request_id']} (erasure) closed as fulfilled" in ended.stdout
    assert "3 entries with their hashes, signed receipts: 3" in ended.stdout


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"[1]"])
def test_the_command_ends_with_1_and_one_sentence_for_what_is_no_certificate(tmp_path: Path, content: bytes) -> None:
    ended = run(tmp_path, content)
    assert ended.returncode == 1
    assert "not a certificate" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_the_command_ends_with_1_and_says_what_does_not_hold(good: dict[str, Any], tmp_path: Path) -> None:
    good["entries"][0]["actor"] = "service:export"
    ended = run(tmp_path, orjson.dumps(good))
    assert ended.returncode == 1
    assert "does not hold: entry erasure/10: its hash does not belong to what it says" in ended.stdout


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40))
def test_each_entry_leads_to_what_the_signature_of_its_batch_covers(hashes: list[bytes]) -> None:
    covered = evidence.signed_content(hashes)
    for place, hashed in enumerate(hashes):
        steps = evidence.merkle_path(hashes, place)
        assert evidence.merkle_root(hashed, steps) == covered
        assert evidence.merkle_root(hashed[:-1] + bytes([hashed[-1] ^ 1]), steps) != covered


# The keyring: made once, readable by its owner alone, and clear about what is wrong with a file that is none.
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


def test_a_running_process_opens_what_another_has_sealed_with_the_next_key(path: Path) -> None:
    owned = keyring.load(path)
    keyring.rotate(path)
    nonce = bytes(12)
    sealed = keyring.load(path).key("k2").encrypt(nonce, b"Ada", None)
    assert owned.key("k2").decrypt(nonce, sealed, None) == b"Ada"
    assert owned.active == "k1"
    with pytest.raises(UnknownKey):
        owned.key("k3")


def test_every_key_is_another(path: Path) -> None:
    raw = json.loads(path.read_text())
    secrets = [raw["keys"]["k1"], raw["lookup"], raw["claims"], raw["signing"]]
    assert len(set(secrets)) == len(secrets)


def test_a_missing_keyring_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="dsr key new"):
        keyring.load(tmp_path / "none.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"active": "k1", "keys": {"k1": "c2hvcnQ="}}'])
@pytest.mark.parametrize("use", [keyring.load, keyring.rotate])
def test_invalid_keyring_is_refused_unquoted(path: Path, content: str, use: Callable[[Path], object]) -> None:
    path.write_text(content)
    with pytest.raises(Misconfigured, match="cannot be used") as refused:
        use(path)
    assert "c2hvcnQ" not in str(refused.value)
    assert path.read_text() == content


def test_missing_key_is_named_and_a_missing_active_key_fails_immediately(path: Path) -> None:
    with pytest.raises(UnknownKey, match="k7"):
        keyring.load(path).key("k7")
    path.write_text(json.dumps({**json.loads(path.read_text()), "active": "k2"}))
    with pytest.raises(Misconfigured, match="cannot be used"):
        keyring.load(path)


def test_fingerprint_is_unique_to_an_identity(path: Path, tmp_path: Path) -> None:
    keys = keyring.load(path)
    email = Identity(IdentityType.EMAIL, "ada@example.org", source="crm")
    assert keys.fingerprint(email) == keyring.load(path).fingerprint(Identity(IdentityType.EMAIL, "ada@example.org"))
    assert keys.fingerprint(email) != keys.fingerprint(Identity(IdentityType.NAME, "ada@example.org"))
    keyring.create(tmp_path / "other.json")
    assert keys.fingerprint(email) != keyring.load(tmp_path / "other.json").fingerprint(email)


@pytest.mark.parametrize("content", [b"", b"email\0ada@example.org", b"x" * 5_000])
def test_hash_for_look_ups_is_the_hmac_of_rfc_2104(path: Path, content: bytes) -> None:
    keys = keyring.load(path)
    assert keys.hash(content) == hmac.digest(keys.lookup, content, "sha256")


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
def test_sealed_piece_opens_whole_for_its_subject_alone(content: bytes, bound_to: bytes, place: int) -> None:
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
