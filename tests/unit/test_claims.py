"""A claim opens the identities of one subject to one system for one task, until it expires."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.downstreams.bus.identity_token import Claim, ClaimExpired, ClaimForged, ClaimMalformed, mint, verify

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = b"k" * 32
CLAIM = Claim(UUID(int=1), "billing", UUID(int=2), NOON + timedelta(hours=72))


def parts(token: str) -> list[str]:
    return token.split(".")


def test_a_claim_is_read_as_it_was_made() -> None:
    assert verify(mint(CLAIM, KEY), KEY, NOON) == CLAIM


def test_a_claim_is_good_until_the_second_of_its_expiry() -> None:
    token = mint(CLAIM, KEY)
    assert verify(token, KEY, CLAIM.expires_at - timedelta(seconds=1)) == CLAIM
    with pytest.raises(ClaimExpired, match=r"expired at 2026-03-05T12:00:00\+00:00"):
        verify(token, KEY, CLAIM.expires_at)


def test_a_claim_of_another_key_is_forged() -> None:
    with pytest.raises(ClaimForged):
        verify(mint(CLAIM, b"x" * 32), KEY, NOON)


@pytest.mark.parametrize(
    ("field", "value"), [("system", "crm"), ("subject", str(UUID(int=3))), ("task", str(UUID(int=4))), ("exp", 2**40)]
)
def test_a_claim_that_was_made_to_say_more_is_forged(field: str, value: object) -> None:
    version, payload, signature = parts(mint(CLAIM, KEY))
    said = json.loads(urlsafe_b64decode(payload + "=="))
    changed = urlsafe_b64encode(json.dumps({**said, field: value}).encode()).rstrip(b"=").decode()
    with pytest.raises(ClaimForged):
        verify(f"{version}.{changed}.{signature}", KEY, NOON)


@pytest.mark.parametrize("token", ["", "v1", "v1.a", "v2.a.b", "v1.a.b.c", "v1.é.b", "v1..!", "v1.a." + "b" * 2000])
def test_what_is_no_claim_is_malformed(token: str) -> None:
    with pytest.raises(ClaimMalformed):
        verify(token, KEY, NOON)


def test_an_expired_forgery_is_called_forged_and_nothing_more() -> None:
    with pytest.raises(ClaimForged):
        verify(mint(CLAIM, b"x" * 32), KEY, NOON + timedelta(days=30))


def test_a_claim_has_one_spelling() -> None:
    token = mint(CLAIM, KEY)
    with pytest.raises(ClaimMalformed):
        verify(token + "=", KEY, NOON)


def test_a_claim_says_nothing_about_the_person() -> None:
    _, payload, _ = parts(mint(CLAIM, KEY))
    assert json.loads(urlsafe_b64decode(payload + "==")).keys() == {"task", "system", "subject", "exp"}


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises((ClaimMalformed, ClaimForged)):
        verify(text, KEY, NOON)


@given(st.binary(max_size=60), st.binary(min_size=32, max_size=32))
def test_any_token_of_the_right_form_is_refused_by_name(payload: bytes, signature: bytes) -> None:
    encoded = [urlsafe_b64encode(raw).rstrip(b"=").decode() for raw in (payload, signature)]
    with pytest.raises(ClaimForged):
        verify(f"v1.{'.'.join(encoded)}", KEY, NOON)
