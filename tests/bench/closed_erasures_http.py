"""Erasure requests closed per second where CRM and ticketing are reached over HTTP and answer in five milliseconds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import median

import httpx

from deploy.local.ports import HOST
from tests.bench.closed_erasures import close_all
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fakes.slow_answers import SECONDS
from tests.fixtures.stores import Stores

REQUESTS = 1_000
AT_A_TIME = 16
_PASSWORD = "FAKE_PASSWORD"


async def measure(ground: Ground) -> list[Row]:
    """Ours on fresh fakes and a fresh store each time, beside what the waiting alone would take."""
    calls: dict[str, list[float]] = {"crm": [], "ticketing": []}
    limits: list[float] = []
    async with ground.seeded(REQUESTS) as seeded:

        async def ours() -> float:
            async with ground.copied(seeded) as copied, _fakes(ground) as urls:
                async with ground.services(_declared(copied, urls), {_PASSWORD: "none"}) as running:
                    seconds = await close_all(running, range(REQUESTS))
                must("calls left", await copied.count("calls"), 0)
                for system, told in (await _told(urls)).items():
                    must(f"left in {system}", told["left"], 0)
                    calls[system].append(told["calls"] / REQUESTS)
            limits.append(1 / max(each[-1] * SECONDS / AT_A_TIME for each in calls.values()))
            return REQUESTS / seconds

        figures = await ground.interleaved({"ours": ours}, "requests/s")
    what = f"the calls to the fake that is called more: {SECONDS * 1000:g} ms each, {AT_A_TIME} at a time, nothing else"
    more = {f"calls_per_request_{system}": rounded(median(each)) for system, each in calls.items()}
    return [row("closed_erasures_http_per_s", figures["ours"], limits, "requests/s", what, requests=REQUESTS, **more)]


def _declared(copied: Stores, urls: dict[str, str]) -> Stores:
    """Call records stay in PostgreSQL, customers and tickets are where the fakes are."""
    calls = next(table for table in copied.downstreams.read_text().split("\n\n") if table.startswith("[calls]"))
    common = f'url = "{{}}/"\npassword_env = "{_PASSWORD}"\n'
    crm = f'[crm]\nadapter = "tryton"\nneeds = ["account_id"]\naccounts = "customers"\nconcurrency = {AT_A_TIME}\n'
    ticketing = f'[ticketing]\nadapter = "roundup"\nneeds = ["email"]\nparallel = {AT_A_TIME}\n'
    declared = [f"{calls}\n", crm, common.format(urls["crm"]), ticketing, common.format(urls["ticketing"])]
    downstreams = copied.downstreams.with_name("http.toml")
    downstreams.write_text("".join(declared))
    return replace(copied, downstreams=downstreams)


@asynccontextmanager
async def _fakes(ground: Ground) -> AsyncIterator[dict[str, str]]:
    async with (
        ground.program("slow_crm", "tests.fakes.slow_crm", REQUESTS) as crm,
        ground.program("slow_ticketing", "tests.fakes.slow_ticketing", REQUESTS) as ticketing,
    ):
        yield {"crm": f"http://{HOST}:{crm}", "ticketing": f"http://{HOST}:{ticketing}"}


async def _told(urls: dict[str, str]) -> dict[str, dict[str, int]]:
    async with httpx.AsyncClient() as client:
        return {system: (await client.get(f"{url}/told")).json() for system, url in urls.items()}
