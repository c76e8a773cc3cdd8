"""`kill -9` of any one part during a burst of 200 requests: all close, and nothing happens twice."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.process import Child
from deploy.local.server import Server
from shared.domain.topics import ServiceName
from tests.fixtures.stack import Stack, once_each, stack_alone
from tests.fixtures.stores import CALLS_EACH, TICKETS_EACH

BURST = 200


def victim(running: Stack, name: str) -> Child | Server:
    """The broker, the database (our state and the stores are in it), or a service."""
    servers: dict[str, Server] = {"broker": running.kafka, "database": running.postgres}
    return servers.get(name) or running.services.children[ServiceName(name)]


@pytest.mark.parametrize("name", [*ServiceName, "broker", "database"])
async def test_all_of_a_burst_close_and_no_effect_happens_twice_when_this_is_killed(
    name: str, run_folder: Path
) -> None:
    async with stack_alone(run_folder / f"chaos-{name}", BURST + 1) as running:
        killed = victim(running, name)
        await running.submit(range(BURST // 2), batch=10)
        await asyncio.to_thread(killed.kill)
        await asyncio.to_thread(killed.start)
        await running.submit(range(BURST // 2, BURST), batch=10)
        await running.all_closed(BURST, within=90)

        assert await running.effects() == once_each(BURST)
        assert await running.stores.rows() == {"customers": 1, "calls": CALLS_EACH, "tickets": TICKETS_EACH}
        assert await running.broken_chains() == []
