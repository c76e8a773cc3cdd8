"""What every site refuses before any page sees it, and what every answer of one carries."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.intake.api.door import Door
from services.intake.auth import Caller
from services.intake.errors import BadRequest, TooLarge, UnsupportedType
from services.intake.grant import Grant
from services.intake.json_body import MalformedBody, read_json
from services.intake.quota import Rate
from services.intake.ranges import Span, asked
from services.intake.settings import IntakeSettings
from services.intake.web.forms import LONGEST, read_form
from services.intake.web.guard import HEADERS, Guard, refused
from shared.app.http import probes
from shared.domain.errors import IllegalTransition, Unavailable
from shared.downstreams.http_client import together
from shared.runtime.liveness import Heartbeats

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
    guard = Guard(inside, URL, proxies, Rate(pages, 1.0), because)
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
async def test_a_form_of_ours_is_read(headers: dict[str, str]) -> None:
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
async def test_what_is_no_form_of_ours_is_refused(content: bytes, kind: str, why: str) -> None:
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
    door = Door(Breaks(ValueError()), {"/v1/requests": Breaks(error)}, keys, IntakeSettings(), AsyncMock())
    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
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
    assert await together(answers(1), answers(2)) == [1, 2]


async def test_after_a_failure_the_task_still_waits_for_a_time_and_is_not_cancelled_by_it() -> None:
    with pytest.raises(Unavailable):
        await together(answers(1), fails(), fails())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


# Which bytes a header asks for (RFC 9110, 14).
TAG = '"a"'


@pytest.mark.parametrize(
    ("header", "span", "of_ten"),
    [
        ("bytes=0-", Span(0, None), (0, 10)),
        ("bytes=3-5", Span(3, 5), (3, 6)),
        ("bytes=3-99", Span(3, 99), (3, 10)),
        ("bytes=-4", Span(None, 4), (6, 10)),
        ("bytes=-99", Span(None, 99), (0, 10)),
        ("bytes=10-", Span(10, None), None),
        ("bytes=-0", Span(None, 0), None),
    ],
)
def test_one_range_is_what_is_asked_for(header: str, span: Span, of_ten: tuple[int, int] | None) -> None:
    assert asked(header, None, TAG) == asked(header, TAG, TAG) == span
    assert span.of(10) == of_ten


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=5-3", "bytes=1-2,4-5", "lines=1-2", "bytes=a-", "bytes=--1"]
)
def test_anything_else_asks_for_all(header: str | None) -> None:
    assert asked(header, None, TAG) is None


def test_a_range_of_what_has_changed_since_asks_for_all() -> None:
    assert asked("bytes=3-", '"b"', TAG) is None


def test_only_what_begins_at_the_first_byte_begins() -> None:
    assert [Span(first, 5).continues for first in (0, 1, None)] == [False, True, True]


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
