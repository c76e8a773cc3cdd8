"""Erasure requests closed per second where a SaaS is connected by declaration and answers in fifty milliseconds."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import httpx

from deploy.local.ports import HOST
from shared.systems.http.settings import DeclaredHttpSettings
from tests.bench.closed_erasures import close_all
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fakes.slow_helpdesk import AT_A_TIME, DECLARATION, SECONDS
from tests.fixtures.stores import Stores, Subject

REQUESTS = 500
ABREAST = DeclaredHttpSettings.model_fields["parallel"].default
"""Calls under way at a time: the default."""
_TOKEN = "FAKE_PASSWORD"


async def measure(ground: Ground) -> list[Row]:
    """Ours on a fresh fake each time, next to a client that makes the fewest calls, as many abreast."""
    calls: dict[str, list[float]] = {"ours": [], "fewest": []}
    async with ground.seeded(REQUESTS) as seeded:

        async def ours() -> float:
            async with ground.copied(seeded) as copied, ground.program(*_FAKE) as port:
                declared = _declared(copied, url := f"http://{HOST}:{port}")
                async with ground.services(declared, {_TOKEN: "none"}) as running:
                    seconds = await close_all(running, range(REQUESTS))
                calls["ours"].append(await _counts(url))
            return REQUESTS / seconds

        async def fewest() -> float:
            async with ground.program(*_FAKE) as port:
                seconds = await _erase(url := f"http://{HOST}:{port}")
                calls["fewest"].append(await _counts(url))
            return REQUESTS / seconds

        figures = await ground.interleaved({"ours": ours, "fewest": fewest}, "requests/s")
    what = f"the fewest calls that erase and look again, {ABREAST} abreast, {SECONDS * 1000:g} ms each, nothing else"
    more = {f"calls_per_request_{arm}": rounded(median(each)) for arm, each in calls.items()}
    return [
        row("closed_erasures_http", figures["ours"], figures["fewest"], "requests/s", what, requests=REQUESTS, **more)
    ]


_FAKE = ("slow_helpdesk", "tests.fakes.slow_helpdesk", REQUESTS)


def _declared(copied: Stores, url: str) -> Stores:
    """Customers and call records stay in PostgreSQL, tickets are where the fake is."""
    kept = [table for table in copied.downstreams.read_text().split("\n\n") if not table.startswith("[tickets]")]
    folder = copied.downstreams.parent
    (folder / "helpdesk.toml").write_text(DECLARATION)
    desk = (
        f'[tickets]\nadapter = "http"\nurl = "{url}"\ndeclaration = "{folder / "helpdesk.toml"}"\nneeds = ["email"]\n'
    )
    (downstreams := folder / "http_declared.toml").write_text("\n\n".join([*kept, desk]))
    return replace(copied, downstreams=downstreams)


async def _counts(url: str) -> float:
    async with httpx.AsyncClient() as client:
        counts = (await client.get(f"{url}/counts")).json()
    must("left in the help desk", counts["left"], 0)
    return float(counts["calls"] / REQUESTS)


async def _erase(url: str) -> float:
    """Seconds for one search and one list for each person, and two calls for each hundred ids."""
    gate = asyncio.Semaphore(ABREAST)
    limits = httpx.Limits(max_connections=ABREAST, keepalive_expiry=1.0)  # well before the server closes it
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

        async def ask(method: str, kind: str, **query: str) -> list[dict[str, Any]]:
            async with gate:
                answer = (await client.request(method, f"/{kind}", params=query)).raise_for_status()
            return list(answer.json().get(kind, ()))

        async def find(subject: Subject) -> tuple[list[int], list[int]]:
            users = [each["id"] for each in await ask("GET", "users", email=subject.email)]
            tickets = [each["id"] for user in users for each in await ask("GET", "tickets", user=str(user))]
            return users, tickets

        async def erase(kind: str, ids: Sequence[int]) -> None:
            for method in ("DELETE", "GET"):
                must("shown again", await ask(method, kind, ids=",".join(map(str, ids))), [])

        started = time.monotonic()
        found = await asyncio.gather(*(find(Subject(number)) for number in range(REQUESTS)))
        for place, kind in ((1, "tickets"), (0, "users")):
            ids = [number for each in found for number in each[place]]
            await asyncio.gather(*(erase(kind, ids[n : n + AT_A_TIME]) for n in range(0, len(ids), AT_A_TIME)))
        return time.monotonic() - started
