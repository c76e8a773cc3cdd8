"""Erasure requests closed per second: three SQL stores, all five services, the broker and the database together."""

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median

from shared.storage.postgres import connected
from tests.bench import naive_twin
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures import stores
from tests.fixtures.live import eventually
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Stores, Subject

REQUESTS = 5_000
TWIN_REQUESTS = 500

_PLAIN = {
    "customers": ("DELETE FROM customer WHERE account_id = ANY($1)", [Subject(i).account_id for i in range(REQUESTS)]),
    "calls": ("DELETE FROM call WHERE caller = ANY($1)", [Subject(i).phone for i in range(REQUESTS)]),
    "tickets": ("DELETE FROM ticket WHERE requester = ANY($1)", [Subject(i).email for i in range(REQUESTS)]),
}


async def measure(ground: Ground) -> list[Row]:
    """Ours, the same deletes as plain SQL, and the naive twin, in turn."""
    left = dict.fromkeys(stores.STORES, 0)
    async with ground.seeded(REQUESTS) as seeded:

        async def ours() -> float:
            async with ground.copied(seeded) as copied:
                async with ground.services(copied) as running:
                    seconds = await close_all(running, range(REQUESTS))
                must("rows left", await copied.rows(), left)
            return REQUESTS / seconds

        async def plain() -> float:
            async with ground.copied(seeded) as copied:
                seconds = await plain_deletes(copied)
                must("rows left", await copied.rows(), left)
            return REQUESTS / seconds

        async def twin() -> float:
            async with ground.copied(seeded) as copied, ground.database() as own:
                before = await copied.rows()
                seconds = await naive_twin.close_all(own, copied, TWIN_REQUESTS)
                kept = {store: rows - rows * TWIN_REQUESTS // REQUESTS for store, rows in before.items()}
                must("rows left", await copied.rows(), kept)
            return TWIN_REQUESTS / seconds

        figures = await ground.interleaved({"ours": ours, "plain SQL": plain, "naive twin": twin}, "requests/s")
    naive = figures["naive twin"]
    more = {
        "naive": rounded(median(naive)),
        "naive_spread": [rounded(min(naive)), rounded(max(naive))],
        "naive_is": f"one transaction per step, {naive_twin.WORKERS} workers, no bus",
        "times_naive": rounded(median(figures["ours"]) / median(naive)),
        "requests": REQUESTS,
    }
    what = "the same deletes, set-wise, one statement per store, nothing else"
    return [row("closed_erasures_per_s", figures["ours"], figures["plain SQL"], "requests/s", what, **more)]


async def close_all(running: Stack, subjects: range) -> float:
    """Seconds until their erasures are closed; voids the run if something is then not as it must be."""
    started = time.monotonic()
    await running.submit(subjects)
    seconds = await running.all_closed(len(subjects)) - started
    await verify(running, len(subjects))
    return seconds


async def verify(running: Stack, requests: int, tasks_each: int = len(stores.STORES)) -> None:
    """Voids the run unless every request is closed, evidenced once per task, and its subject's key shredded."""
    must("closed", await running.closed(), requests)
    effects = await running.effects()
    counted = ("requests", "closed once", "concluded once per store", "dead letters")
    must("evidence", [effects[each] for each in counted], [requests, requests, requests * tasks_each, 0])
    await eventually(lambda: _shredded(running, requests), within=30, every=0.05)
    must("broken chains", await running.broken_chains(), [])


async def plain_deletes(copied: Stores) -> float:
    """Seconds for the bare deletes, the three stores side by side."""
    async with AsyncExitStack() as stack:
        connections = {store: await stack.enter_async_context(connected(dsn)) for store, dsn in copied.dsns.items()}
        started = time.monotonic()
        await asyncio.gather(*(connections[store].execute(*_PLAIN[store]) for store in connections))
        return time.monotonic() - started


async def _shredded(running: Stack, requests: int) -> bool:
    keys = "SELECT count(*) FROM vault.subject WHERE shredded_at IS NOT NULL AND wrapped_key IS NULL"
    return bool(await running.pool.fetchval(keys) == requests)
