"""Measures the answers to a client while another sends hostile input, next to the same client alone."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from statistics import quantiles

import httpx
import orjson

from deploy.demo.client import DsrClient
from deploy.local.ports import HOST
from shared.domain.topics import ServiceName
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Subject

SECONDS = 5.0
BYSTANDERS = 4
GOAL_MS = 250
SILENT = 300
_JSON = {"Content-Type": "application/json"}


def _numbers(number: str, requests: int) -> bytes:
    subject = {"phones": [{"number": number, "region": "ES"}] * 50}
    return orjson.dumps({"requests": [{"right": "erasure", "subject": subject}] * requests})


HOSTILE: dict[str, bytes] = {
    "padded numbers, 4 MiB": _numbers("688886392" + ";" * 300, 230),
    "5,000 numbers": _numbers("688 88 63 92 ext. 12", 100),
    "4 MiB of brackets": b"[" * (4 * 2**20),
    "65,000 objects": orjson.dumps([{}] * 65_000),
    "all wrong": orjson.dumps({"requests": [{f"{number}": number for number in range(64)}] * 1000}),
    "5 MiB": b" " * (5 * 2**20),
}


async def measure(ground: Ground) -> list[Row]:
    """Lets four clients submit one request after the other, alone and next to hostile input, in turn."""
    async with ground.seeded(1) as seeded, ground.services(seeded) as running:
        key = await asyncio.to_thread(running.services.key, "channel")
        arms = {
            "with hostile input": lambda: _p99(running, lambda: _hostile(running, key)),
            "alone": lambda: _p99(running, asyncio.Event().wait),
        }
        figures = await ground.interleaved(arms, "ms")
    what = "the same clients, alone"
    hostile, alone = figures["with hostile input"], figures["alone"]
    more = {"goal_ms": GOAL_MS, "clients": BYSTANDERS, "seconds_each": SECONDS, "hostile": ", ".join(HOSTILE)}
    return [row("hostile_input_others_p99", hostile, alone, "ms", what, **more)]


async def _p99(running: Stack, meanwhile: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of a submission of the others, nearest rank."""
    ends, seconds = time.monotonic() + SECONDS, list[float]()
    disturbing = asyncio.ensure_future(meanwhile())

    async def submit() -> None:
        while (began := time.monotonic()) < ends:
            submission = Subject(secrets.randbelow(10_000_000)).submission()
            answer = await running.client.post("/v1/requests", json=submission)
            must("the answer to another client", answer.status_code, httpx.codes.CREATED)
            seconds.append(time.monotonic() - began)

    await asyncio.gather(*(submit() for _ in range(BYSTANDERS)))
    disturbing.cancel()
    with suppress(asyncio.CancelledError):
        await disturbing
    return quantiles(seconds, n=100, method="inclusive")[98] * 1000


async def _hostile(running: Stack, key: str) -> None:
    """Sends all hostile input concurrently and repeatedly, and opens silent connections."""
    port = running.services.ports[ServiceName.INTAKE]
    silent = [(await asyncio.open_connection(HOST, port))[1] for _ in range(SILENT)]

    async def post(content: bytes) -> None:
        while True:
            with suppress(httpx.TransportError):
                await client.post("/v1/requests/batch", content=content, headers=_JSON)

    async def guess() -> None:
        while True:
            unknown = {"Authorization": f"Bearer dsr_{secrets.token_hex(6)}_{'x' * 43}"}
            await client.get("/v1/requests/00000000-0000-0000-0000-000000000000", headers=unknown)

    async with DsrClient(running.services.url, key) as client:
        try:
            await asyncio.gather(guess(), *(post(content) for content in HOSTILE.values()))
        finally:
            for writer in silent:
                writer.close()
