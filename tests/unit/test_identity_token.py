"""A token opens the identities of one subject to one system for one task, until it expires."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
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


def test_a_token_is_read_as_it_was_made_until_the_second_of_its_expiry() -> None:
    token = issue(TOKEN, KEY, NOON)
    assert verify(token, KEY, NOON) == TOKEN
    assert verify(token, KEY, TOKEN.expires_at - timedelta(seconds=1)) == TOKEN
    with pytest.raises(TokenExpired, match=r"expired at 2026-03-05T12:00:00\+00:00"):
        verify(token, KEY, TOKEN.expires_at)


@pytest.mark.parametrize("now", [NOON, NOON + timedelta(days=30)])
def test_a_token_of_another_key_is_forged_and_nothing_more_also_when_it_expired(now: datetime) -> None:
    with pytest.raises(TokenForged):
        verify(issue(TOKEN, OTHER, NOON), KEY, now)


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
