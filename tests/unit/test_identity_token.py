"""A token opens the identities of one subject to one system for one task, until it expires."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.identities import IdentityType
from shared.downstreams.bus.identity_token import (
    IdentityToken,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    issue,
    verify,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY, OTHER = b"k" * 32, b"x" * 32
TOKEN = IdentityToken(
    task_id=UUID(int=1),
    request_id=UUID(int=3),
    system="billing",
    needs=frozenset({IdentityType.EMAIL}),
    level="L0",
    subject_ref=UUID(int=2),
    expires_at=NOON + timedelta(hours=72),
)


def encrypted(key: bytes) -> str:
    return issue(TOKEN, key, NOON)


def signed(key: bytes, said: IdentityToken = TOKEN, signature: bytes | None = None) -> str:
    """A token as the version before issued it."""
    payload = urlsafe_b64encode(said.model_dump_json(by_alias=True).encode()).rstrip(b"=").decode()
    proof = signature or hmac.digest(key, f"v1.{payload}".encode(), "sha256")
    return f"v1.{payload}.{urlsafe_b64encode(proof).rstrip(b'=').decode()}"


both = pytest.mark.parametrize("made", [encrypted, signed])


@both
def test_a_token_is_read_as_it_was_made_until_the_second_of_its_expiry(made: Callable[[bytes], str]) -> None:
    token = made(KEY)
    assert verify(token, KEY, NOON) == TOKEN
    assert verify(token, KEY, TOKEN.expires_at - timedelta(seconds=1)) == TOKEN
    with pytest.raises(TokenExpired, match=r"expired at 2026-03-05T12:00:00\+00:00"):
        verify(token, KEY, TOKEN.expires_at)


@both
@pytest.mark.parametrize("now", [NOON, NOON + timedelta(days=30)])
def test_a_token_of_another_key_is_forged_and_nothing_more_also_when_it_expired(
    made: Callable[[bytes], str], now: datetime
) -> None:
    with pytest.raises(TokenForged):
        verify(made(OTHER), KEY, now)


@pytest.mark.parametrize(
    ("field", "value"), [("system", "crm"), ("subject_ref", UUID(int=3)), ("task_id", UUID(int=4))]
)
def test_a_signed_token_that_was_made_to_say_more_is_forged(field: str, value: object) -> None:
    proof = urlsafe_b64decode(signed(KEY).rpartition(".")[2] + "=")
    with pytest.raises(TokenForged):
        verify(signed(KEY, TOKEN.model_copy(update={field: value}), proof), KEY, NOON)


@given(st.binary(min_size=32, max_size=32))
def test_any_signed_token_of_the_right_form_is_refused_by_name(signature: bytes) -> None:
    with pytest.raises(TokenForged):
        verify(signed(KEY, signature=signature), KEY, NOON)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_token_that_was_changed_anywhere_is_refused(place: int, by: int) -> None:
    raw = bytearray(urlsafe_b64decode(issue(TOKEN, KEY, NOON)))
    raw[place % len(raw)] ^= by
    with pytest.raises((TokenForged, TokenMalformed)):
        verify(urlsafe_b64encode(raw).decode(), KEY, NOON)


@pytest.mark.parametrize(
    "token",
    ["", "é", "v1.a.b", "v1.a.b.c", "gAAAAA==", "b" * 2000, Fernet(urlsafe_b64encode(KEY)).encrypt(b"{}").decode()],
    ids=["empty", "not ASCII", "no signature", "too many parts", "too short", "too long", "ours without its fields"],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(TokenMalformed):
        verify(token, KEY, NOON)


def test_a_token_says_nothing_to_whoever_reads_it_on_the_bus() -> None:
    raw = urlsafe_b64decode(issue(TOKEN, KEY, NOON))
    assert not any(said.encode() in raw for said in (TOKEN.system, str(TOKEN.subject_ref), str(TOKEN.task_id)))


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises((TokenMalformed, TokenForged)):
        verify(text, KEY, NOON)
