"""Every site's refusals before any page, its response headers, and access by token."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.console.provider import NotSignedIn, SignedIn, read
from services.console.roles import Role
from services.console.settings import ConsoleSettings
from services.intake.access.auth import Caller
from services.intake.access.grant import Grant
from services.intake.access.quota import RateLimiter
from services.intake.api.admission import Admission
from services.intake.core.errors import BadRequest, TooLarge, UnsupportedType
from services.intake.core.schemas import MalformedBody, read_json
from services.intake.settings import IntakeSettings
from services.web.forms import LONGEST, read_form
from services.web.guard import HEADERS, Guard, refused
from shared.app.http import probes
from shared.domain.errors import IllegalTransition, Unavailable
from shared.domain.identities import IdentityType
from shared.runtime.liveness import Heartbeats
from shared.systems.bus.identity_token import IdentityToken, TokenExpired, TokenInvalid, issue, verify
from shared.systems.http_client import run_together

URL = "https://privacy.example"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def echo(request: Request) -> Response:
    form = await read_form(request) if request.method == "POST" else None
    return PlainTextResponse(form.get("said") if form else "read")


async def because(scope: Any, receive: Any, send: Any) -> None:
    error = refused(Request(scope))
    await PlainTextResponse(type(error).__name__, 403)(scope, receive, send)


def client(pages: float = 1000.0, proxies: int = 0) -> httpx.AsyncClient:
    handlers: Any = {
        kind: lambda _request, error: PlainTextResponse(type(error).__name__, 400)
        for kind in (BadRequest, TooLarge, UnsupportedType)
    }
    inside = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])], exception_handlers=handlers)
    guard = Guard(inside, URL, proxies, RateLimiter(pages, 1.0), because)
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", guard)), base_url=URL, headers=FORM)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://privacy.example"},
    ],
)
async def test_a_form_that_a_page_of_another_site_sends_is_refused(headers: dict[str, str]) -> None:
    async with client() as visitor:
        answer = await visitor.post("/", content="said=yes", headers=headers)
    assert (answer.status_code, answer.text) == (403, "Forbidden")


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": URL}, {"Origin": "null"}])
async def test_own_form_is_read(headers: dict[str, str]) -> None:
    async with client() as visitor:
        answer = await visitor.post("/", content="said=%20Ja%20%E2%82%AC%0D%0Aund%20", headers=headers)
    assert answer.text == "Ja €\nund"


async def test_every_answer_carries_the_headers_also_one_that_refuses() -> None:
    async with client(pages=0.5) as visitor:
        answers = [await visitor.get("/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 403, 403]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == dict(HEADERS)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "script" not in HEADERS["Content-Security-Policy"]


async def test_an_address_that_asks_too_often_waits_and_others_do_not() -> None:
    async with client(pages=0.5, proxies=1) as visitor:
        answers = [
            await visitor.get("/", headers={"X-Forwarded-For": f"made-up, {address}"})
            for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 200]


async def test_all_addresses_of_one_ipv6_network_share_one_rate() -> None:
    async with client(pages=0.5, proxies=1) as visitor:
        answers = [
            await visitor.get("/", headers={"X-Forwarded-For": address})
            for address in (
                "2001:db8:0:1::1",
                "2001:db8:0:1:ffff::2",
                "2001:db8:0:2::1",
                "::ffff:192.0.2.9",
                "192.0.2.9",
            )
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 200, 200, 403]


@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        (b"said=" + b"x" * LONGEST, "application/x-www-form-urlencoded", "TooLarge"),
        (b"&".join([b"a=1"] * 500), "application/x-www-form-urlencoded", "BadRequest"),
        (b"said=%FF", "application/x-www-form-urlencoded", "BadRequest"),
        (b"said=yes", "multipart/form-data; boundary=x", "UnsupportedType"),
        (b"{}", "application/json", "UnsupportedType"),
    ],
)
async def test_foreign_form_is_refused(content: bytes, kind: str, why: str) -> None:
    async with client() as visitor:
        answer = await visitor.post("/", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.text) == (400, why)


# What breaks past all routing is answered too, and left to the server to log.
class Breaks:
    """An endpoint that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        raise self._error


async def post(error: Exception) -> httpx.Response:
    async def caller(_token: str | None) -> Caller:
        return Caller("0" * 12, "channel", "portal", "portal-1", Grant())

    keys: Any = SimpleNamespace(caller=caller)
    admission = Admission(Breaks(ValueError()), {"/v1/requests": Breaks(error)}, keys, IntakeSettings(), AsyncMock())
    transport = httpx.ASGITransport(admission, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
        return await client.post("/v1/requests", json={})


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("broken"), 500), (IllegalTransition("too late"), 409)])
async def test_what_an_endpoint_raises_is_answered_with_a_problem(error: Exception, status: int) -> None:
    answer = await post(error)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "broken" not in answer.text


# A body that two readers could understand differently is refused, and nothing of it is quoted.
PERSONAL = "ada@example.org"


def test_json_is_read_as_it_stands() -> None:
    said = '{"a": [1, -2.5, true, null, "\\u00e9 \\ud83d\\ude00"], "b": {"a": {}}}'
    assert read_json(said.encode()) == {"a": [1, -2.5, True, None, "é 😀"], "b": {"a": {}}}
    assert read_json(bytearray(b"7")) == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{right: erasure",
        b'{"email": "ada@example.org", "email": "eve@example.org"}',
        b'{"a": {"email": "ada@example.org", "\\u0065mail": "eve@example.org"}}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1} {"a": 2}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": "ada@example.org"}'.encode("utf-16"),
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"1" * 100_000,
        b"[" + b",".join([b"{}"] * 70_000) + b"]",
        ("{" + ",".join(f'"{n}": 1' for n in range(65)) + "}").encode(),
    ],
)
def test_what_is_no_json_or_more_than_one_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody) as refusal:
        read_json(body)
    assert PERSONAL not in str(refusal.value)


# Calls made side by side end together, and leave the task that made them as it was.
async def answers(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def fails() -> int:
    await asyncio.sleep(0)
    raise Unavailable("the CRM failed")


async def test_what_they_return_is_in_the_order_of_the_calls() -> None:
    assert await run_together(answers(1), answers(2)) == [1, 2]


async def test_after_a_failure_the_task_still_waits_for_a_time_and_is_not_cancelled_by_it() -> None:
    with pytest.raises(Unavailable):
        await run_together(answers(1), fails(), fails())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


# Readiness answers before a probe gives up, whatever the broker does.
async def test_a_check_that_never_ends_counts_as_failed() -> None:
    never = asyncio.Event()

    async def database() -> bool:
        return True

    app = Starlette(routes=probes(Heartbeats(), asyncio.Event(), {"database": database, "broker": never.wait}, None))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": True, "broker": False})
    never.set()


# Who is let in by a token of the identity provider: every claim that must hold, and what the settings make of it.

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


def test_id_token_names_holder_and_roles() -> None:
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
def test_invalid_id_token_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(NotSignedIn, match=said):
        who(**changed)


def test_id_token_without_a_sign_in_is_refused() -> None:
    with pytest.raises(NotSignedIn, match="nonce"):
        who(nonce="")


def test_clocks_may_differ_by_as_much_as_the_settings_say() -> None:
    for off in (timedelta(seconds=-60), timedelta(seconds=119)):
        assert who(now=NOW + off).holder == "a.weber"
    with pytest.raises(NotSignedIn, match="exp"):
        who(now=NOW + timedelta(seconds=120))


def test_id_token_with_a_wrong_signature_is_refused() -> None:
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
    with pytest.raises(TokenInvalid):
        verify(issue(TOKEN, OTHER, NOON), SECRET, now)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_token_that_was_changed_anywhere_is_refused(place: int, by: int) -> None:
    raw = bytearray(urlsafe_b64decode(issue(TOKEN, SECRET, NOON)))
    raw[place % len(raw)] ^= by
    with pytest.raises((TokenInvalid, TokenInvalid)):
        verify(urlsafe_b64encode(raw).decode(), SECRET, NOON)


@pytest.mark.parametrize(
    "token",
    ["", "é", "v1.a.b", "v1.a.b.c", "gAAAAA==", "b" * 2000, Fernet(urlsafe_b64encode(SECRET)).encrypt(b"{}").decode()],
    ids=["empty", "not ASCII", "no signature", "too many parts", "too short", "too long", "ours without its fields"],
)
def test_what_is_no_token_is_malformed(token: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(token, SECRET, NOON)


def test_token_reveals_nothing_on_the_bus() -> None:
    raw = urlsafe_b64decode(issue(TOKEN, SECRET, NOON))
    assert not any(said.encode() in raw for said in (TOKEN.system, str(TOKEN.subject_ref), str(TOKEN.task_id)))


@given(st.text(max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    with pytest.raises((TokenInvalid, TokenInvalid)):
        verify(text, SECRET, NOON)
