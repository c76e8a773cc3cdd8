"""What every site refuses before any page sees it, and what every answer of one carries."""

from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.intake.errors import BadRequest, TooLarge, UnsupportedType
from services.intake.quota import Rate
from services.intake.web.forms import LONGEST, read_form
from services.intake.web.guard import HEADERS, Guard, refused

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
