"""After an outage of the broker or the database every service continues automatically."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.fixtures.live import answering
from tests.fixtures.outage import go_through
from tests.fixtures.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_every_consumer_goes_on_after_a_broker_was_away_for_twenty_seconds(
    running: Stack, people: Iterator[int]
) -> None:
    assert await go_through([("broker", 20)], running, people) == []


async def test_without_the_database_each_service_is_alive_and_none_ready(running: Stack, people: Iterator[int]) -> None:
    urls, closed = [running.services.url_of(name) for name in running.services.ports], await running.closed()
    await asyncio.to_thread(running.postgres.stop)
    await answering([f"{url}/readyz" for url in urls], 503)
    await answering([f"{url}/healthz" for url in urls], 200)
    await asyncio.to_thread(running.postgres.start)
    await answering([f"{url}/readyz" for url in urls], 200)
    await running.submit([next(people)])
    await running.all_closed(closed + 1)
