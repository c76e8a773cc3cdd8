"""Memory of each service with 20,000 open requests, next to its memory with 1,000."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from deploy.local.ports import HOST
from shared.domain.topics import ServiceName
from tests.bench.figures import Row, resident_mib, rounded, row
from tests.bench.ground import Ground
from tests.fixtures import stores
from tests.fixtures.live import eventually
from tests.fixtures.stack import Stack

FEW, MANY, BATCH = 1_000, 20_000, 1_000
_WITHIN = 600


async def measure(ground: Ground) -> list[Row]:
    """The stores take connections and never answer, so every request stays open; the same processes throughout."""
    with _deaf() as address:
        async with ground.seeded(1) as seeded:
            deaf = replace(seeded, dsns=dict.fromkeys(seeded.dsns, f"postgresql://unknown@{address}/store"))
            async with ground.services(deaf) as running:
                few = await _with_backlog(ground, running, 0, FEW)
                many = await _with_backlog(ground, running, FEW, MANY)
                await running.submit(range(4 * BATCH), batch=BATCH)
                burst = resident_mib(running.services.children[ServiceName.INTAKE].pid)
    ratios = {name: many[name] / few[name] for name in few}
    worst = max(ratios, key=ratios.__getitem__)
    more: dict[str, object] = {
        name: {"few": few[name], "many": many[name], "ratio": rounded(ratios[name])} for name in few
    }
    more["intake_after_four_concurrent_batches"] = rounded(burst)
    what = f"resident memory of the same process ({worst}, which grew most) with {FEW:,} open requests"
    return [row("memory_20k_backlog", [many[worst]], [few[worst]], "MiB", what, **more)]


@contextmanager
def _deaf() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server((HOST, 0), backlog=64) as server:
        yield f"{HOST}:{server.getsockname()[1]}"


async def _with_backlog(ground: Ground, running: Stack, already: int, total: int) -> dict[str, float]:
    """Returns mebibytes by service once so many requests are accepted and read, and their tasks are open.

    Submits one batch at a time, so that only the backlog can fill the memory.
    """
    started = time.monotonic()
    for first in range(already, total, BATCH):
        await running.submit(range(first, first + BATCH), batch=BATCH)
        if (first + BATCH) % 10_000 == 0:
            ground.say(f"{first + BATCH:,} accepted after {time.monotonic() - started:.0f} s")
    await eventually(lambda: _read_by_all(running, total), _WITHIN, every=0.5)
    ground.say(f"{total:,} read by all after {time.monotonic() - started:.0f} s")
    children = running.services.children
    looks = [{name: resident_mib(child.pid) for name, child in children.items()} for _ in range(3)]
    return {str(name): rounded(median(look[name] for look in looks)) for name in children}


async def _read_by_all(running: Stack, count: int) -> bool:
    open_tasks = "SELECT count(*) FROM erasure.task WHERE state IN ('ready', 'leased')"
    clocks = "SELECT count(*) FROM deadline.clock"
    waiting = "SELECT count(*) FROM intake.outbox"
    found = [await running.pool.fetchval(query) for query in (open_tasks, clocks, waiting)]
    return found == [count * len(stores.STORES), count, 0]
