"""Erasure requests closed per second where CRM and ticketing are reached over HTTP and answer in five milliseconds."""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import httpx

from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from tests.bench.closed_erasures import verify
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fakes.slow_answers import SECONDS
from tests.fixtures import stores
from tests.fixtures.stack import stack
from tests.fixtures.stores import Stores, Subject

REQUESTS = 1_000
AT_A_TIME = 16
_PASSWORD = "FAKE_PASSWORD"
_SYSTEMS = 3


async def measure(ground: Ground) -> list[Row]:
    """Ours on fresh fakes and a fresh store each time, beside what the waiting alone would take."""
    templates = await stores.seed(ground.platform, "http", REQUESTS)
    calls: dict[str, list[float]] = {"crm": [], "ticketing": []}
    limits: list[float] = []

    async def ours() -> float:
        name = f"run_{secrets.token_hex(3)}"
        copied = await stores.copy(ground.platform, templates, name, ground.directory / "stores")
        async with _fakes(ground) as urls:
            _declare(copied, urls)
            env = {**copied.env, _PASSWORD: "none"}
            await ground.checkpoint()
            async with stack(ground.platform, copied.downstreams, env, ground.directory) as running:
                started = time.monotonic()
                await running.submit([Subject(number).submission() for number in range(REQUESTS)])
                closed = await running.all_closed(REQUESTS)
                await verify(running, REQUESTS, _SYSTEMS)
            must("calls left", (await copied.rows())["calls"], 0)
            for system, told in (await _told(urls)).items():
                must(f"left in {system}", told["left"], 0)
                calls[system].append(told["calls"] / REQUESTS)
        limits.append(1 / max(each[-1] * SECONDS / AT_A_TIME for each in calls.values()))
        await stores.drop(ground.platform, copied)
        return REQUESTS / (closed - started)

    figures = await ground.interleaved({"ours": ours}, "requests/s")
    for name in templates.values():
        await databases.drop(ground.platform.postgres_dsn, name)
    what = f"the calls to the fake that is called more: {SECONDS * 1000:g} ms each, {AT_A_TIME} at a time, nothing else"
    more = {f"calls_per_request_{system}": rounded(median(each)) for system, each in calls.items()}
    return [row("closed_erasures_http_per_s", figures["ours"], limits, "requests/s", what, requests=REQUESTS, **more)]


def _declare(copied: Stores, urls: dict[str, str]) -> None:
    """Call records stay in PostgreSQL, customers and tickets are where the fakes are."""
    calls = next(table for table in copied.downstreams.read_text().split("\n\n") if table.startswith("[calls]"))
    common = f'url = "{{}}/"\npassword_env = "{_PASSWORD}"\n'
    crm = f'[crm]\nadapter = "tryton"\nneeds = ["account_id"]\nconcurrency = {AT_A_TIME}\n'
    ticketing = f'[ticketing]\nadapter = "roundup"\nneeds = ["email"]\nparallel = {AT_A_TIME}\n'
    declared = [f"{calls}\n", crm, common.format(urls["crm"]), ticketing, common.format(urls["ticketing"])]
    copied.downstreams.write_text("".join(declared))


@asynccontextmanager
async def _fakes(ground: Ground) -> AsyncIterator[dict[str, str]]:
    ports = {system: free_port() for system in ("crm", "ticketing")}
    children = [
        Child(
            f"slow {system}",
            [sys.executable, "-m", f"tests.fakes.slow_{system}", str(port), str(REQUESTS)],
            log=ground.directory / f"slow_{system}.log",
            ready=answers(f"http://{HOST}:{port}/told"),
            cwd=ROOT,
        )
        for system, port in ports.items()
    ]
    try:
        for child in children:
            await asyncio.to_thread(child.start)
        yield {system: f"http://{HOST}:{port}" for system, port in ports.items()}
    finally:
        for child in children:
            await asyncio.to_thread(child.stop)


async def _told(urls: dict[str, str]) -> dict[str, dict[str, int]]:
    async with httpx.AsyncClient() as client:
        return {system: (await client.get(f"{url}/told")).json() for system, url in urls.items()}
