"""HTTP answers are bounded; each bound has one named failure."""

import asyncio
from typing import Any

import orjson
import pytest

from shared.domain.errors import AnswerMalformed, AnswerUnreadable, Unavailable
from shared.systems.http_client import HttpClient, connect_http
from shared.systems.settings import AnswerLimits
from tests.fixtures.hostile_server import (
    FOREIGN,
    MIB,
    Answer,
    HostileServer,
    bomb,
    dripping,
    endless,
    hostile_server,
    packed,
    said,
    silent,
)

LIMITS = AnswerLimits(answer_bytes=MIB, answer_seconds=60, answer_items=1_000, answer_depth=20)
HURRIED = LIMITS.model_copy(update={"answer_seconds": 0.5})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


async def asked(server: HostileServer, limits: AnswerLimits = LIMITS) -> Any:
    client = HttpClient("the shop", connect_http(timeout=30, trust_env=False), sign_in="", limits=limits)
    try:
        return client.json(client.expect(await client.send("POST", server.url, json={}), "to us"))
    finally:
        await client.close()


REFUSED: list[tuple[str, Answer, type[Exception], str]] = [
    ("longer than may be", said(b'"' + b"x" * MIB + b'"'), AnswerMalformed, "more than answer_bytes = 1048576"),
    ("a length that is a lie", said(b"{}", length=2**40), AnswerUnreadable, "could not be reached"),
    ("without end", endless(), AnswerMalformed, "more than answer_bytes = 1048576"),
    ("a failure without end", said(b"x" * (2 * MIB), status=503), AnswerMalformed, "answer_bytes"),
    ("a body that drips", dripping(HEAD, b" "), Unavailable, "took longer than answer_seconds = 0.5"),
    (
        "a head that drips",
        dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        Unavailable,
        "took longer than answer_seconds",
    ),
    ("a head of one line that drips", dripping(b"HTTP/1.1 200 OK\r\nX-A: ", b"b"), Unavailable, "answer_seconds"),
    ("silence", silent(), Unavailable, "took longer than answer_seconds"),
    ("a head of 2 MiB", said(b"{}", f"X-A: {'a' * 2 * MIB}"), AnswerUnreadable, "RemoteProtocolError"),
    ("100,000 headers", said(b"{}", *["X-A: b"] * 100_000), AnswerUnreadable, "RemoteProtocolError"),
    ("no HTTP", dripping(b"\x16\x03\x01\x02\x00\x01", b"\x00"), AnswerUnreadable, "RemoteProtocolError"),
    ("a gzip bomb", bomb("gzip"), AnswerMalformed, "more than answer_bytes = 1048576"),
    ("a deflate bomb", bomb("deflate"), AnswerMalformed, "more than answer_bytes = 1048576"),
    *((f"packed with {coding}", bomb(coding), AnswerMalformed, "was not asked for") for coding in FOREIGN),
    ("half of what was packed", said(packed(b"{}", "gzip")[:-9], "Content-Encoding: gzip"), AnswerUnreadable, "error"),
    ("no gzip", said(b"{}", "Content-Encoding: gzip"), AnswerUnreadable, "error"),
    ("deeper than may be", said(b"[" * 21 + b"]" * 21), AnswerMalformed, "deeper than answer_depth = 20"),
    ("as deep in objects", said(b'{"a":' * 21 + b"1" + b"}" * 21), AnswerMalformed, "answer_depth"),
    ("deeper than anybody can read", said(b"[" * 900 + b"]" * 900), AnswerMalformed, "answer_depth"),
    ("brackets alone", said(b"[" * (MIB - 9)), AnswerMalformed, "more than answer_items = 1000"),
    ("more objects than may be", said(orjson.dumps([{}] * 1_000)), AnswerMalformed, "answer_items"),
    ("no JSON", said(b"<html>"), AnswerUnreadable, "not JSON"),
    ("nothing", said(b""), AnswerUnreadable, "not JSON"),
    ("NaN", said(b'{"n": NaN}'), AnswerUnreadable, "not JSON"),
    ("half a character", said(b'"\\ud800"'), AnswerUnreadable, "not JSON"),
    ("no UTF-8", said(b'"\xff"'), AnswerUnreadable, "not JSON"),
    ("a number of 100,000 digits", said(b"9" * 100_000), AnswerUnreadable, "not JSON"),
]


@pytest.mark.parametrize(("what", "answer", "failure", "says"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_answer_past_a_bound_has_its_name(what: str, answer: Answer, failure: type[Exception], says: str) -> None:
    async with hostile_server(answer) as server:
        with pytest.raises(failure, match=says) as caught:
            await asked(server, HURRIED if failure is Unavailable else LIMITS)
    assert type(caught.value) is failure, what


async def test_up_to_the_bounds_it_is_read() -> None:
    deep = b"[" * 20 + b"]" * 20
    many = orjson.dumps([{}] * 999)
    long = b'"' + b"x" * (MIB - 2) + b'"'
    for body in (deep, many, long):
        async with hostile_server(said(body)) as server:
            assert await asked(server) == orjson.loads(body)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_what_comes_packed_is_read_up_to_the_same_bound(coding: str) -> None:
    long = b'"' + b"x" * (MIB - 2) + b'"'
    async with hostile_server(said(packed(long, coding), f"Content-Encoding: {coding}")) as server:
        assert await asked(server) == "x" * (MIB - 2)
    async with hostile_server(said(packed(long + b" ", coding), f"Content-Encoding: {coding}")) as server:
        with pytest.raises(AnswerMalformed, match="answer_bytes"):
            await asked(server)


async def test_it_is_asked_in_the_two_ways_that_can_be_bounded_and_gets_no_cookie_back() -> None:
    client = connect_http(trust_env=False)
    async with hostile_server(said(b"{}", "Set-Cookie: tracked=yes; Path=/", "Connection: close")) as server:
        for _ in range(2):
            await client.get(server.url)
    await client.aclose()
    heads = b"".join(server.asked).lower()
    assert heads.count(b"accept-encoding: gzip, deflate\r\n") == 2
    assert b"cookie" not in heads


async def test_a_redirect_is_no_success_and_leads_nowhere() -> None:
    async with hostile_server(said(b"", "Location: http://127.0.0.1:1/", status=302)) as server:
        with pytest.raises(Exception, match="answered 302") as caught:
            await asked(server)
    assert caught.value.code == "refused"  # type: ignore[attr-defined]


async def test_cancelled_call_leaves_nothing_behind() -> None:
    async with hostile_server(silent()) as server:
        waiting = asyncio.create_task(asked(server, AnswerLimits()))
        await server.was_asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert [task for task in asyncio.all_tasks() if "_read" in repr(task.get_coro())] == []


@pytest.mark.parametrize(
    "setting",
    [{"answer_bytes": 0}, {"answer_bytes": 2**31}, {"answer_seconds": 0}, {"answer_items": 1}, {"answer_depth": 201}],
)
def test_a_bound_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        AnswerLimits.model_validate(setting)
