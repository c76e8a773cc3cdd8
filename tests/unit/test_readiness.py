"""Readiness answers before a probe gives up, whatever the broker does."""

import asyncio

import httpx
from starlette.applications import Starlette

from shared.app.http import probes
from shared.runtime.liveness import Heartbeats


async def test_a_check_that_never_ends_counts_as_failed() -> None:
    never = asyncio.Event()

    async def database() -> bool:
        return True

    app = Starlette(routes=probes(Heartbeats(), asyncio.Event(), {"database": database, "broker": never.wait}, None))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": True, "broker": False})
    never.set()
