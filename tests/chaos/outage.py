"""``python -m tests.chaos.outage --seconds 15``: the broker is stopped under load; what each service says meanwhile."""

import asyncio
import logging
import random
import shutil
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer

from deploy.local.paths import LOCAL
from deploy.local.unprivileged import become_unprivileged
from shared.domain.topics import ServiceName
from shared.messaging import admin
from tests.chaos.crowd import Crowd
from tests.fixtures.brokers import PROBE, acknowledges
from tests.fixtures.stack import Stack, stack_alone

_PER_SECOND = 10.0
_BEFORE_SECONDS = 5.0
_AFTERWARDS_SECONDS = 10.0
_WITHIN_SECONDS = 120.0
_CLOSED = "SELECT count(*) FROM intake.request WHERE state = 'closed'"
_FULFILLED = f"{_CLOSED} AND outcome = 'fulfilled'"
"""A withdrawn request closes without the broker."""


def main(seconds: Annotated[float, typer.Option(help="for how long the broker is away")] = 15.0) -> None:
    """Prints a line each second, and when the last request was closed."""
    become_unprivileged("kill")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    directory = LOCAL / "chaos" / "outage"
    shutil.rmtree(directory, ignore_errors=True)
    asyncio.run(_show(directory, seconds))


async def _show(directory: Path, seconds: float) -> None:
    people = int((seconds + 60) * _PER_SECOND * 2)
    async with stack_alone(directory, people) as running, httpx.AsyncClient(timeout=2, trust_env=False) as probe:
        crowd = Crowd([running.client], [running.client], people, random.Random(0))  # noqa: S311  # no secret
        enough = asyncio.Event()
        coming = asyncio.create_task(crowd.come(_PER_SECOND, enough))
        await admin.create_topics(running.kafka.bootstrap, [PROBE])
        began = time.monotonic()
        outage = asyncio.create_task(_outage(running, seconds))
        while not outage.done() or time.monotonic() - outage.result()[0] < _AFTERWARDS_SECONDS:
            away = "broker away" if not (outage.done() or running.kafka.child.running) else ""
            ready = {name.value: await _ready(probe, running.services.url_of(name)) for name in ServiceName}
            now, closed = time.monotonic() - began, await running.pool.fetchval(_CLOSED)
            typer.echo(f"{now:5.1f} s  readyz {ready}  taken {len(crowd.asked)}  closed {closed}  {away}")
            await asyncio.sleep(1)  # a line each second
        enough.set()
        await coming
        back, first = outage.result()
        while crowd.at_it or await running.pool.fetchval(_CLOSED) < len(crowd.asked):
            if time.monotonic() - back > _WITHIN_SECONDS:
                raise typer.Exit(1)
            await asyncio.sleep(0.05)  # a closure is seen in the table alone
        now = time.monotonic()
        typer.echo(f"fulfilled again {first - back:.1f} s after the first acknowledged produce")
        typer.echo(
            f"all {len(crowd.asked)} closed {now - back:.1f} s after it; the first {_AFTERWARDS_SECONDS:g} s were load"
        )


async def _outage(running: Stack, seconds: float) -> tuple[float, float]:
    """When the broker took the first record again, and when the first request was fulfilled after that."""
    await asyncio.sleep(_BEFORE_SECONDS)
    await asyncio.to_thread(running.kafka.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(running.kafka.start)
    while not await acknowledges(running.kafka.bootstrap):
        pass
    back, before = time.monotonic(), await running.pool.fetchval(_FULFILLED)
    while await running.pool.fetchval(_FULFILLED) == before:  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # a closure is seen in the table alone
    return back, time.monotonic()


async def _ready(probe: httpx.AsyncClient, url: str) -> int:
    """Returns the status of its readiness; 0 without an answer."""
    try:
        return (await probe.get(f"{url}/readyz")).status_code
    except httpx.TransportError:
        return 0


if __name__ == "__main__":
    typer.run(main)
