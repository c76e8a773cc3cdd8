"""Measures single submissions at a constant rate, with all five services at work.

An open loop: each is timed from when it was to be sent, so that a server that stands still is not let off.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from statistics import median, quantiles

import httpx

from deploy.local.ports import HOST
from shared.domain.topics import ServiceName
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.stores import Subject

PER_SECOND, SECONDS = 100, 8
_WARM = 100
_CONNECTIONS = 64
_IDLE_SECONDS = 2.0  # well before a server closes it


async def measure(ground: Ground) -> list[Row]:
    """Intake, and a bare reply of the same framework and size, in turn."""
    later: list[float] = []
    sent = 0

    async def at_rate(port: int, key: str) -> float:
        nonlocal sent
        first, sent = sent, sent + PER_SECOND * SECONDS + _WARM
        limits = httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_IDLE_SECONDS)
        headers = {"Authorization": f"Bearer {key}"}
        url = f"http://{HOST}:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60) as client:
            submit = partial(_submit, client)
            await asyncio.gather(*(submit(first + number, time.perf_counter()) for number in range(_WARM)))
            seconds = await _paced(submit, first + _WARM)
        later.append(median(seconds) * 1000)
        return quantiles(seconds, n=100, method="inclusive")[98] * 1000

    async with ground.seeded(1) as seeded, ground.services(seeded) as running:
        key = running.client.headers["Authorization"].removeprefix("Bearer ")
        async with ground.program("bare", "tests.bench.bare_reply") as bare:
            arms: dict[str, Callable[[], Awaitable[float]]] = {
                "ours": partial(at_rate, running.services.ports[ServiceName.INTAKE], key),
                "bare reply": partial(at_rate, bare, key),
            }
            figures = await ground.interleaved(arms, "ms")
        stored = await running.pool.fetchval("SELECT count(*) FROM intake.request")
    must("requests stored", stored, (PER_SECOND * SECONDS + _WARM) * len(figures["ours"]))
    what = "a FastAPI route with the same body and answer as its declared models, no database, at the same rate"
    more = {"per_second": PER_SECOND, "seconds_each": SECONDS, "p50_ms_of_both": [rounded(each) for each in later]}
    return [row("submission_at_100_per_s_p99", figures["ours"], figures["bare reply"], "ms", what, **more)]


async def _paced(submit: Callable[[int, float], Awaitable[float]], first: int) -> list[float]:
    """Seconds of each, from when it was to be sent."""
    begins = time.perf_counter() + 0.1
    calls: list[asyncio.Task[float]] = []
    for number in range(PER_SECOND * SECONDS):
        due = begins + number / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))  # the rate is what is measured at
        calls.append(asyncio.ensure_future(submit(first + number, due)))
    return list(await asyncio.gather(*calls))


async def _submit(client: httpx.AsyncClient, number: int, due: float) -> float:
    answer = await client.post("/v1/requests", json=Subject(number).submission())
    must("the answer", answer.status_code, httpx.codes.CREATED)
    return time.perf_counter() - due
