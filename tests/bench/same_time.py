"""Measures the portal's answers to a reference that exists and to one that does not."""

import asyncio
import os
import re
import socket
import time
from statistics import median, quantiles
from uuid import UUID, uuid4

import asyncpg
import httpx

from services.intake import app
from services.intake.access.auth import PORTAL, create
from shared.app.service import Running
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage import keyring
from shared.storage.migrate import migrate
from shared.storage.postgres import connect_pool
from shared.storage.vault import Vault
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.databases import in_process
from tests.fixtures.engine import TRACING
from tests.fixtures.serving import served

REQUESTS = 100
"""Requests per turn."""
_SETTLE_SECONDS = 0.02
_FOLLOW = "/portal/en/follow"
_PERCENT = (5, 25, 50, 75, 95)


async def measure(ground: Ground) -> list[Row]:
    """Known and unknown in turn, each of another address, from the form that is sent until the next page is named."""
    async with ground.database() as dsn:
        await migrate(dsn)
        path = ground.directory / "same_time.json"
        keyring.create(path)
        clock = SystemClock()
        key = await create(dsn, "channel", "bench", clock.now())
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        unlimited = dict.fromkeys(("DSR_PORTAL_PAGES_A_SECOND", "DSR_PORTAL_SENDINGS_AN_HOUR"), "1000000")
        os.environ |= {"DSR_PORTAL_URL": url, **unlimited}
        async with await connect_pool(in_process(dsn), ServiceName.INTAKE) as pool:
            factory = UnitOfWorkFactory(pool, ServiceName.INTAKE, clock, Vault(keyring.load(path)))
            running = Running(Settings.__new__(Settings), factory, TRACING, Heartbeats(), asyncio.Event())
            async with served(app.build(running), listener), httpx.AsyncClient(base_url=url, timeout=60) as client:
                turns = [await _both(client, pool, key, turn * REQUESTS) for turn in range(ground.repeats)]
            letters = await pool.fetchval("SELECT count(*) FROM letter WHERE kind = 'proof_link'")
    must("letters with a link", letters, REQUESTS * ground.repeats)
    medians = [sorted((median(known), median(unknown))) for known, unknown in turns]
    known, unknown = ([each for turn in turns for each in turn[of]] for of in (0, 1))
    what = "the faster of both, a known or an unknown reference, in turn; ours is the slower one"
    more = {f"p{p}_ms_known_and_unknown": [_at(known, p), _at(unknown, p)] for p in _PERCENT}
    slower, faster = [turn[1] for turn in medians], [turn[0] for turn in medians]
    return [row("same_time_known_and_unknown", slower, faster, "ms", what, requests=REQUESTS, **more)]


async def _both(client: httpx.AsyncClient, pool: asyncpg.Pool, key: str, first: int) -> tuple[list[float], list[float]]:
    bearer = {"Authorization": f"Bearer {key}"}
    known, unknown = list[float](), list[float]()
    for number in range(first, first + REQUESTS):
        asked = {"right": "access", "subject": {"email": f"person.{number}@example.org"}}
        reference = (
            (await client.post("/v1/requests", json=asked, headers=bearer)).raise_for_status().json()["request_id"]
        )
        await pool.execute("UPDATE request SET key_id = $2 WHERE request_id = $1", UUID(reference), PORTAL)
        pairs = [(known, reference), (unknown, str(uuid4()))]
        for seconds, each in pairs if number % 2 else pairs[::-1]:
            page = await client.get(_FOLLOW)
            (token,) = re.findall(r'name="csrf" value="([0-9a-f]+)"', page.text)
            await asyncio.sleep(_SETTLE_SECONDS)
            began = time.perf_counter()
            answer = await client.post(_FOLLOW, data={"csrf": token, "reference": each})
            seconds.append((time.perf_counter() - began) * 1000)
            must("goes on", answer.headers.get("location"), "/portal/en/code")
            await asyncio.sleep(_SETTLE_SECONDS)
    return known, unknown


def _at(values: list[float], percent: int) -> float:
    return rounded(quantiles(values, n=100, method="inclusive")[percent - 1])
