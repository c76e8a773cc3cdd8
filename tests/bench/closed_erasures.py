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

REQUESTS = 3_000
TWIN_REQUESTS = 1_000
WITHIN_SECONDS = 180.0
_LETTERS_EACH = 2

_PLAIN = {
    "customers": ("DELETE FROM customer WHERE account_id = ANY($1)", [Subject(i).account_id for i in range(REQUESTS)]),
    "calls": ("DELETE FROM call WHERE caller = ANY($1)", [Subject(i).phone for i in range(REQUESTS)]),
    "tickets": ("DELETE FROM ticket WHERE requester = ANY($1)", [Subject(i).email for i in range(REQUESTS)]),
}


_WORK = """
SELECT xact_commit AS commits, tup_inserted + tup_updated + tup_deleted AS rows_written,
       (pg_current_wal_lsn() - '0/0') / 1024 AS wal_kib_with_the_stores
FROM pg_stat_database WHERE datname = current_database()
"""


async def measure(ground: Ground) -> list[Row]:
    """Measures ours, the same deletes as plain SQL, and the naive twin, in turn."""
    left = dict.fromkeys(stores.STORES, 0)
    work: dict[str, list[float]] = {}
    async with ground.seeded(REQUESTS) as seeded:

        async def ours() -> float:
            async with ground.copied(seeded) as copied:
                async with ground.services(copied) as running:
                    (before,) = await running.pool.fetch(_WORK)
                    seconds = await close_all(running, range(REQUESTS))
                    (after,) = await running.pool.fetch(_WORK)
                    for what, value in after.items():
                        work.setdefault(f"{what}_per_request", []).append(float(value - before[what]) / REQUESTS)
                    letters = await running.pool.fetchval("SELECT count(*) FROM intake.letter")
                    notices = await running.pool.fetchval("SELECT count(*) FROM intake.recipient_notice")
                must("letters to people, as many as the twin keeps", letters, REQUESTS * _LETTERS_EACH)
                must("notices in the next digest", notices, REQUESTS * len(naive_twin.RECIPIENTS))
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
    twin_is = (
        "the naive twin: erases, looks again and keeps the facts of as many letters, which neither renders;"
        f" one transaction per step, {naive_twin.WORKERS} workers, no bus"
    )
    plain_is = "the same deletes, set-wise, one statement per store, nothing else"
    more = {what: rounded(median(each)) for what, each in work.items()}
    closed, by_twin, by_sql = (figures[arm] for arm in ("ours", "naive twin", "plain SQL"))
    return [
        row("closed_erasures_to_twin", closed, by_twin, "requests/s", twin_is, requests=REQUESTS, **more),
        row("closed_erasures_to_plain_sql", closed, by_sql, "requests/s", plain_is),
    ]


async def close_all(running: Stack, subjects: range) -> float:
    """Seconds until their erasures are closed; voids the run if something is then not as it must be."""
    started = time.monotonic()
    await running.submit(subjects)
    seconds = await running.all_closed(len(subjects), within=WITHIN_SECONDS) - started
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
