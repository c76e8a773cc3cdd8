"""Hostile input, each beside another client's requests: it gets its answer, and everybody else goes on.

The table says where something is sent, what it is, and what it must be answered; who must go on is always the same: a
client of another channel that submits all the while, every service's health, and at the end all that was submitted.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import pytest

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.ports import HOST
from shared.domain.topics import ServiceName
from tests.fixtures.live import PROOF, SUBJECTS, Live, eventually
from tests.fixtures.stores import Subject

ONE, MANY, NOBODY = "/v1/requests", "/v1/requests/batch", "/v1/requests/00000000-0000-0000-0000-000000000000"
JSON = {"Content-Type": "application/json"}
NAME = "hostile.person@example.org"
MIB = 2**20
CUT = 0
"""The connection was closed without an answer."""

Send = Callable[[Live, DsrClient], Awaitable[Sequence[int]]]


def erasure(**more: object) -> dict[str, Any]:
    return {"right": "erasure", "subject": {"email": NAME}, "assurance": PROOF, **more}


def numbers(number: str, requests: int = 1, each: int = 50) -> dict[str, Any]:
    subject = {"phones": [{"number": number, "region": "ES"}] * each}
    return {"requests": [erasure(subject=subject)] * requests}


def post(path: str, body: object, times: int = 1, **headers: str) -> Send:
    """So many at once, with the key of the hostile client unless the headers give another."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)

    async def send(_live: Live, client: DsrClient) -> Sequence[int]:
        async def one() -> int:
            try:
                return (await client.post(path, content=content, headers={**JSON, **headers})).status_code
            except httpx.TransportError:
                return CUT

        return await asyncio.gather(*(one() for _ in range(times)))

    return send


def guess(times: int) -> Send:
    """So many unknown keys, one after the other."""

    async def send(_live: Live, client: DsrClient) -> Sequence[int]:
        found = []
        for _ in range(times):
            key = {"Authorization": f"Bearer dsr_{secrets.token_hex(6)}_{'x' * 43}"}
            found.append((await client.get(NOBODY, headers=key)).status_code)
        return found

    return send


def raw(content: bytes, times: int = 1, *, to: Sequence[ServiceName] = tuple(ServiceName)) -> Send:
    """These bytes, over a connection of their own, to each of the services; nothing more is ever sent."""

    async def send(live: Live, _client: DsrClient) -> Sequence[int]:
        return [await _said(live.services.ports[service], content) for service in to for _ in range(times)]

    return send


def silent(connections: int) -> Send:
    """Connections to intake that say nothing."""

    async def send(live: Live, _client: DsrClient) -> Sequence[int]:
        port = live.services.ports[ServiceName.INTAKE]
        opened = [(await asyncio.open_connection(HOST, port))[1] for _ in range(connections)]
        async with live.api() as client:
            answered = (await client.post(ONE, json=live.somebody().submission())).status_code
        for writer in opened:
            writer.close()
        return [answered]

    return send


async def _said(port: int, content: bytes) -> int:
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(HOST, port)
            with suppress(ConnectionError):
                writer.write(content)
                await writer.drain()
            line = await reader.readline()
            writer.close()
            return int(line.split()[1]) if line else CUT
    except ConnectionError:
        return CUT


ALL_WRONG = {f"{number}": number for number in range(64)}
TWICE = orjson.dumps(erasure())[:-1] + b',"right":"access"}'
HOSTILE: list[tuple[str, str, Send, set[int]]] = [
    ("intake", "padded numbers, 0.5 MiB of them", post(MANY, numbers("688886392" + ";" * 400, 25)), {422}),
    ("intake", "4 MiB of padded numbers", post(MANY, numbers("+34" + " " * 300 + "688886392", 230), 4), {422}),
    ("intake", "5,000 numbers in as many spellings as fit", post(MANY, numbers("688 88 63 92 ext. 12", 100)), {201}),
    ("intake", "more numbers than are looked at", post(MANY, numbers("+34688886392", 101)), {413}),
    ("intake", "a NUL in a name", post(ONE, erasure(subject={"email": NAME, "name": "A\x00"})), {422}),
    (
        "intake",
        "a NUL in a correction",
        post(ONE, erasure(right="rectification", changes=[{"field": "address.city", "asserted": "B\x00"}])),
        {422},
    ),
    ("intake", "half a surrogate pair", post(ONE, orjson.dumps(erasure()).replace(b"L2", b"\\ud800")), {422}),
    ("intake", "96 MiB without a key", post(f"{NOBODY}/verify", b" " * (96 * MIB), 1, Authorization="x"), {401, CUT}),
    ("intake", "5 MiB with a key", post(MANY, b" " * (5 * MIB)), {413, CUT}),
    ("intake", "1 MiB of a decision", post(f"{NOBODY}/verify", b" " * MIB, 1, **{"If-Match": '"1"'}), {413, CUT}),
    ("intake", "unknown keys", guess(200), {401, 429}),
    ("intake", "a request of the year 1", post(ONE, erasure(received_at="0001-01-01T00:00:00+14:00")), {422}),
    ("intake", "a request of the epoch", post(ONE, erasure(received_at=0)), {422}),
    ("intake", "a name that comes twice", post(ONE, TWICE), {422}),
    ("intake", "nesting without end", post(MANY, b"[" * (4 * MIB), 4), {422}),
    (
        "intake",
        "a body in which everything is wrong",
        post(MANY, {"requests": [ALL_WRONG] * 1000}),
        {422},
    ),
    ("intake", "a trailing slash", post(f"{ONE}/", erasure(), 1, Host="evil.example"), {404}),
    ("intake", "an escaped path", post("/v1%2frequests", erasure()), {404}),
    ("intake", "no JSON", post(ONE, b"<a/>", 1, **{"Content-Type": "text/xml"}), {415}),
    ("intake", "a bomb", post(ONE, b"\x1f\x8b", 1, **{"Content-Encoding": "gzip"}), {415}),
    ("intake", "an address as traceparent", post(ONE, erasure(), 1, traceparent=NAME), {201}),
    ("intake", "a traceparent of 2 MiB", post(ONE, erasure(), 1, traceparent="0" * (2 * MIB)), {431, CUT}),
    ("every service", "24 MiB of headers", raw(b"GET / HTTP/1.1\r\n" + b"X-A: " + b"a" * (24 * MIB)), {431, CUT}),
    ("every service", "a long address", raw(b"GET /" + b"a" * MIB + b" HTTP/1.1\r\n\r\n"), {431, CUT}),
    ("every service", "no HTTP", raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), {400}),
    ("intake", "a head that stops", raw(b"GET / HTTP/1.1\r\nX-A: b\r\n", to=[ServiceName.INTAKE]), {408, CUT}),
    ("intake", "600 connections that say nothing", silent(600), {201}),
]


@asynccontextmanager
async def bystander(live: Live) -> AsyncIterator[list[tuple[int, str]]]:
    """Another client, who submits one request after the other until the block ends; what each was answered."""
    answered: list[tuple[int, str]] = []
    over = asyncio.Event()

    async def submit() -> None:
        async with live.api() as client:
            while not over.is_set():
                somebody = Subject(SUBJECTS + secrets.randbelow(1_000_000))  # whom no store knows
                answer = await client.post(ONE, json=somebody.submission())
                answered.append((answer.status_code, answer.json().get("request_id", "")))

    submitting = asyncio.create_task(submit())
    try:
        await eventually(lambda: _longer(answered, 0))
        yield answered
        meanwhile = len(answered)
        await eventually(lambda: _longer(answered, meanwhile))
    finally:
        over.set()
        await submitting


async def _longer(answered: Sequence[object], than: int) -> bool:
    return len(answered) > than


@pytest.mark.parametrize(("where", "what", "send", "expected"), HOSTILE, ids=[row[1] for row in HOSTILE])
async def test_hostile_input_gets_its_answer_and_everybody_else_goes_on(
    live: Live, where: str, what: str, send: Send, expected: set[int]
) -> None:
    key = await asyncio.to_thread(live.services.key, "channel")
    async with bystander(live) as answered, live.api(key) as hostile:
        assert set(await send(live, hostile)) <= expected, f"{where}: {what}"
    assert {status for status, _ in answered} == {201}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        health = [await client.get(f"{live.services.url_of(service)}/healthz") for service in ServiceName]
    assert {answer.status_code for answer in health} == {200}
    async with live.api() as client:
        await client.follow(answered[-1][1], "closed")


async def test_nothing_of_it_stands_where_no_personal_data_may(live: Live) -> None:
    stored = await databases.fetch(
        live.dsn, "SELECT traceparent FROM erasure.fulfilment WHERE traceparent !~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-..$'"
    )
    assert stored == []
