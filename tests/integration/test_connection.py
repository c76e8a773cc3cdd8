"""What may come over a connection, and how long it may take: past each bound, and others go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from deploy.local.ports import HOST, free_port
from shared.app import http
from shared.runtime.settings import HttpSettings
from tests.fixtures.live import eventually

HEAD = b"POST /v1/requests HTTP/1.1\r\nHost: intake\r\n"
LARGE = 64 * 2**20
GIVEN_UP = asyncio.Event()


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads what is sent to it where its path says so, and answers as much as its path says."""
    if scope["path"] == "/reads":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/waits":
        await asyncio.Event().wait()
    if scope["path"] == "/untaken":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * LARGE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})  # returns once all of it is taken, or nobody is there
        GIVEN_UP.set()
        return
    content = b"x" * (LARGE if scope["path"] == "/large" else 2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]})
    await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[int]:
    """A server with these limits, and its port."""
    port, stopping = free_port(), asyncio.Event()
    settings = HttpSettings(host=HOST, port=port, linger_seconds=0, **limits)
    server = asyncio.create_task(http.serve(answers, http.bound(settings), settings, 1.0, stopping))
    try:
        await eventually(lambda: served(port))
        yield port
    finally:
        stopping.set()
        await server


async def served(port: int, path: str = "/") -> int:
    """The status of an answer to somebody else; 0 if there is none."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return (await client.get(f"http://{HOST}:{port}{path}")).status_code
    except httpx.TransportError:
        return 0


async def is_answered(port: int, status: int) -> bool:
    return await served(port) == status


async def said(port: int, *parts: bytes | Callable[[], Awaitable[None]]) -> bytes:
    """All that the server says to these parts, until it closes."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            for part in parts:
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                else:
                    await part()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Long: " + b"a" * 5000 + b"\r\n\r\n",
        HEAD + b"X-Long: " + b"a" * 5000,
        HEAD + b"a: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: intake\r\n\r\n",
        b"GET /" + b"a" * 5000,
    ],
)
async def test_a_head_that_is_too_long_is_refused_however_it_comes(head: bytes) -> None:
    async with serving(head_bytes=4096) as port:
        for parts in ((head,), (head[:100], head[100:])):
            answer = await said(port, *parts)
            assert answer.startswith(b"HTTP/1.1 431 ")
            assert b"application/problem+json" in answer
        assert await served(port) == 200


async def test_a_long_body_with_a_short_head_is_no_long_head() -> None:
    async with serving(head_bytes=1024) as port:
        body = b"x" * 100_000
        sent = b"POST /reads HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await said(port, sent + body)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("begun", [b"P", HEAD])
async def test_a_head_that_does_not_come_to_its_end_is_refused_also_if_it_drips(begun: bytes) -> None:
    async def drip() -> None:
        await asyncio.sleep(0.1)  # a client that drips

    async with serving(head_seconds=0.3) as port:
        assert (await said(port, begun)).startswith(b"HTTP/1.1 408 ")
        dripping = [part for _ in range(8) for part in (b"X-A: b\r\n" if begun == HEAD else b"", drip)]
        assert b"200" not in await said(port, begun, *dripping)
        assert await served(port) == 200


async def test_who_never_speaks_is_let_go() -> None:
    async with serving(head_seconds=0.2) as port:
        assert await said(port) == b""
        assert await served(port) == 200


@pytest.mark.parametrize("path", [b"/reads", b"/"])
@pytest.mark.parametrize("kind", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_to_its_end_ends_its_connection(path: bytes, kind: bytes) -> None:
    async with serving(body_seconds=0.3) as port:
        begun = b"POST " + path + b" HTTP/1.1\r\nHost: intake\r\n" + kind + b"\r\n\r\n5\r\nabcde\r\n"
        answer = await said(port, begun)
        assert answer.startswith(b"HTTP/1.1 200 " if path == b"/" else b"HTTP/1.1 408 ")
        assert await served(port) == 200


async def test_a_body_that_goes_on_after_its_answer_is_cut() -> None:
    async with serving(unread_bytes=100_000) as port:
        begun = b"POST / HTTP/1.1\r\nHost: intake\r\nContent-Length: %d\r\n\r\n" % LARGE
        try:
            answer = await said(port, begun, *[b"x" * 2**16] * (LARGE // 2**16))
        except ConnectionError:
            answer = b""
        assert answer.count(b"HTTP/1.1") <= 1
        assert await served(port) == 200


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    async with serving(answer_seconds=0.3) as port:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
        writer.write(b"GET /untaken HTTP/1.1\r\nHost: intake\r\n\r\n")
        await writer.drain()
        async with asyncio.timeout(30):
            await GIVEN_UP.wait()  # the client takes nothing, which is what is tried
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(LARGE)
        writer.close()
        assert await served(port) == 200


async def test_an_answer_that_is_taken_slowly_is_given_to_its_end() -> None:
    async with serving(answer_seconds=0.4) as port:
        reader, writer = await asyncio.open_connection(HOST, port, limit=2**16)
        writer.write(b"GET /large HTTP/1.1\r\nHost: intake\r\nConnection: close\r\n\r\n")
        taken = 0
        async with asyncio.timeout(30):
            while part := await reader.read(4 * 2**20):
                taken += len(part)
                if taken < LARGE:
                    await asyncio.sleep(0.002)  # slower than the server can send: it takes longer than answer_seconds
        writer.close()
        assert taken > LARGE


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD, id="a part of a head"),
        pytest.param(HEAD + b"Content-Length: 1000\r\n\r\n{", id="a part of a body whose answer is given"),
    ],
)
async def test_of_more_connections_than_may_be_those_that_wait_for_no_answer_make_room(begun: bytes) -> None:
    async with serving(connections=8, head_seconds=30) as port:
        idle = []
        for _ in range(40):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(begun)
            idle.append((reader, writer))
            if b"Content-Length" in begun:
                assert b"200" in await reader.readline()
        assert [await served(port) for _ in range(5)] == [200] * 5
        for _, writer in idle:
            writer.close()


async def test_where_all_connections_are_at_work_another_is_told_to_come_again_and_a_probe_is_answered() -> None:
    async with serving(connections=4) as port:
        busy = [await asyncio.open_connection(HOST, port) for _ in range(4)]
        for _, writer in busy:
            writer.write(b"GET /waits HTTP/1.1\r\nHost: intake\r\n\r\n")
            await writer.drain()
        await eventually(lambda: is_answered(port, 503))
        assert await served(port, "/healthz") == 200
        answer = await said(port, b"GET / HTTP/1.1\r\nHost: intake\r\n\r\n")
        assert b"retry-after: 1\r\n" in answer
        for _, writer in busy:
            writer.close()
        await eventually(lambda: is_answered(port, 200))


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\x00"])
async def test_what_is_no_http_is_refused_and_logged_by_nobody(
    garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as port:
        assert (await said(port, garbage)).startswith(b"HTTP/1.1 400 ")
        assert await served(port) == 200
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


async def test_a_websocket_is_not_spoken_here() -> None:
    async with serving() as port:
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
        )
        answer = await said(port, b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")
        assert b"101" not in answer[:20]
