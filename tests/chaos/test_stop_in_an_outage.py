"""SIGTERM while a server is away: every service gives up waiting and ends in order, and nothing is lost by it."""

import asyncio
import signal
from collections.abc import Iterator
from itertools import islice

import pytest

from tests.fixtures.outage import gained
from tests.fixtures.stack import Stack

BURST = 40
pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_every_service_ends_in_order_while_database_or_broker_is_away_and_all_close_afterwards(
    running: Stack, people: Iterator[int]
) -> None:
    closed, before = await running.closed(), await running.effects()
    children = running.services.children
    for server in (running.postgres, running.kafka):
        await running.submit(islice(people, BURST), batch=10)
        await asyncio.to_thread(server.stop)
        for child in children.values():
            child.signal(signal.SIGTERM)
        ends = {name: await asyncio.to_thread(child.wait, 90) for name, child in children.items()}
        assert ends == dict.fromkeys(children, 0), server.title
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(running.services.start_prepared)
        closed += BURST
        await running.all_closed(closed, within=90)
    effects = gained(before, await running.effects())

    asked = 2 * BURST
    assert (effects["requests"], effects["closed once"], effects["erased customers"]) == (asked, asked, asked)
