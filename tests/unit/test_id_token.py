"""Who is let in by a token of the identity provider: every claim that must hold, and what the settings make of it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from services.intake.console.id_token import NotSignedIn, SignedIn, read
from services.intake.console.roles import Role
from services.intake.console.settings import ConsoleSettings
from shared.domain.identities import IdentityType
from shared.downstreams.bus.identity_token import (
    IdentityToken,
    TokenExpired,
    TokenForged,
    TokenMalformed,
    issue,
    verify,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEY = ECKey.generate_key("P-256", {"kid": "one"})
KEYS = KeySet([ECKey.import_key(KEY.as_dict(private=False))])
SETTINGS = ConsoleSettings(issuer="https://id.example")
SAID: dict[str, Any] = {
    "iss": "https://id.example",
    "aud": "dsr-console",
    "sub": "7f",
    "iat": SECONDS,
    "exp": SECONDS + 60,
    "nonce": "n",
    "amr": ["pwd", "mfa"],
    "preferred_username": "a.weber",
    "roles": ["dsr-handler", "other"],
}


def who(settings: ConsoleSettings = SETTINGS, nonce: str = "n", now: datetime = NOW, **changed: Any) -> SignedIn:
    said = {name: value for name, value in (SAID | changed).items() if value is not None}
    return read(jwt.encode({"alg": "ES256", "kid": "one"}, said, KEY), KEYS, settings, nonce, now)


def test_a_token_says_whose_key_somebody_would_have_and_which_roles() -> None:
    assert who(name="Anna Weber") == SignedIn(SAID["iss"], "7f", "a.weber", "Anna Weber", (Role.HANDLER,))
    assert who(roles=["dsr-approver", "dsr-handler"]).roles == (Role.HANDLER, Role.APPROVER)
    assert who(aud=["dsr-console", "other"], azp="dsr-console").name == "a.weber"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"iss": "https://elsewhere.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": ["another-client"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"aud": ["dsr-console", "another-client"]}, "azp"),
        ({"azp": "another-client"}, "azp"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"exp": SECONDS - 60}, "exp"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"iat": SECONDS - 661}, "iat"),
        ({"iat": SECONDS + 61}, "iat"),
        ({"iat": None}, "iat"),
        ({"sub": None}, "sub"),
        ({"sub": 7}, "sub"),
        ({"amr": ["pwd"]}, "second factor"),
        ({"amr": "mfa"}, "second factor"),
        ({"amr": None}, "second factor"),
        ({"amr": None, "acr": "urn:silver"}, "second factor"),
        ({"amr": [{"a": 1}]}, "second factor"),
        ({"amr": None, "acr": {"a": 1}}, "second factor"),
        ({"exp": 10**400}, "exp"),
        ({"iat": -(10**400)}, "iat"),
        ({"roles": ["something-else"]}, "roles"),
        ({"roles": None}, "roles"),
        ({"preferred_username": "Anna Weber"}, "preferred_username"),
        ({"preferred_username": "a.weber@example.org"}, "preferred_username"),
        ({"preferred_username": "person:a"}, "preferred_username"),
        ({"preferred_username": None}, "preferred_username"),
    ],
)
def test_a_token_that_does_not_hold_lets_nobody_in(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSignedIn, match=said):
        who(**changed)


def test_an_answer_to_no_question_lets_nobody_in() -> None:
    with pytest.raises(NotSignedIn, match="nonce"):
        who(nonce="")


def test_clocks_may_differ_by_as_much_as_the_settings_say() -> None:
    for off in (timedelta(seconds=-60), timedelta(seconds=119)):
        assert who(now=NOW + off).holder == "a.weber"
    with pytest.raises(NotSignedIn, match="exp"):
        who(now=NOW + timedelta(seconds=120))


def test_a_token_that_nobody_or_the_wrong_one_has_signed_lets_nobody_in() -> None:
    signed = [
        jwt.encode({"alg": "ES256", "kid": "one"}, SAID, ECKey.generate_key("P-256", {"kid": "one"})),
        jwt.encode({"alg": "HS256", "kid": "one"}, SAID, OctKey.import_key(b"x" * 32)),
        "eyJhbGciOiJub25lIn0." + jwt.encode({"alg": "ES256", "kid": "one"}, SAID, KEY).split(".")[1] + ".",
        jwt.encode({"alg": "ES256", "kid": "one"}, SAID, KEY).rpartition(".")[0] + ".",
        "a.b.c",
        "x" * 20_000,
    ]
    for token in signed:
        with pytest.raises(NotSignedIn):
            read(token, KEYS, SETTINGS, "n", NOW)


def test_roles_and_the_second_factor_are_read_where_the_settings_say() -> None:
    settings = ConsoleSettings(
        issuer="https://id.example",
        roles_claim="realm_access.roles",
        holder_claim="employee",
        auditor="Revision",
        acr="urn:gold, urn:silver",
        amr="face",
    )
    said: dict[str, Any] = {"realm_access": {"roles": ["Revision"]}, "employee": "e-17", "amr": None, "acr": "urn:gold"}
    assert who(settings, **said) == SignedIn(SAID["iss"], "7f", "e-17", "e-17", (Role.AUDITOR,))
    assert who(settings, **{**said, "acr": None, "amr": ["face"]}).holder == "e-17"
    with pytest.raises(NotSignedIn, match="second factor"):
        who(settings, **{**said, "acr": None, "amr": ["mfa"]})
    named = ConsoleSettings(issuer="https://id.example", roles_claim="https://x.example/roles")
    elsewhere: dict[str, Any] = {"https://x.example/roles": "dsr-admin"}
    assert who(named, **elsewhere).roles == (Role.ADMIN,)


# A token opens the identities of one subject to one system for one task, until it expires.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET, OTHER = b"k" * 32, b"x" * 32
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
    token = issue(TOKEN, SECRET, NOON)
    assert verify(token, SECRET, NOON) == TOKEN
    assert verify(token, SECRET, TOKEN.expires_at - timedelta(seconds=1)) == TOKEN
    with pytest.raises(TokenExpired, match=r"expired at 2026-03-05T12:00:00\+00:00"):
        verify(token, SECRET, TOKEN.expires_at)


@pytest.mark.parametrize("now", [NOON, NOON + timedelta(days=30)])
def test_a_token_of_another_key_is_forged_and_nothing_more_also_when_it_expired(now: datetime) -> None:
    with pytest.raises(TokenForged):
        verify(issue(TOKEN, OTHER, NOON), SECRET, now)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_token_that_was_changed_anywhere_is_refused(place: int, by: int) -> None:
    raw = bytearray(urlsafe_b64decode(issue(TOKEN, SECRET, NOON)))
    raw[place % len(raw)] ^= by
    with pytest.raises((TokenForged, TokenMalformed)):
        verify(urlsafe_b64encode(raw).decode(), SECRET, NOON)


@pytest.mark.parametrize(
    "token",
    ["", "é", "v1.a.b", "v1.a.b.c", "gAAAAA==", "b" * 2000, Fernet(urlsafe_b64encode(SECRET)).encrypt(b"{}").decode()],
    ids=["empty", "not ASCII", "no signature", "too many parts", "too short", "too long", "ours without its fields"],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(TokenMalformed):
        verify(token, SECRET, NOON)


def test_a_token_says_nothing_to_whoever_reads_it_on_the_bus() -> None:
    raw = urlsafe_b64decode(issue(TOKEN, SECRET, NOON))
    assert not any(said.encode() in raw for said in (TOKEN.system, str(TOKEN.subject_ref), str(TOKEN.task_id)))


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises((TokenMalformed, TokenForged)):
        verify(text, SECRET, NOON)
