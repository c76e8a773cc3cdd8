"""What is known of a subject is sealed and read back without loss."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.text import nfc
from shared.storage.keyring import Keyring
from shared.storage.subject_data import SubjectData, decode, encode
from shared.storage.vault import Vault, _open, _seal

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
