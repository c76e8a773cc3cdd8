"""Looking again and again costs a bounded share of the time, and outlives an outage."""

import asyncio

from shared.runtime.liveness import Heartbeats
from shared.runtime.looking import run_periodically


async def test_after_a_look_that_took_long_the_pause_is_twenty_times_as_long() -> None:
    stopping, looks = asyncio.Event(), 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.5)  # the pause is then ten seconds, which no busy machine takes for the wait below

    looking = asyncio.create_task(run_periodically(look, "test", 0.01, stopping, Heartbeats()))
    await asyncio.sleep(0.7)
    stopping.set()
    await looking
    assert looks == 1


async def test_a_quick_look_comes_again_soon_and_an_outage_is_waited_out() -> None:
    stopping, looks = asyncio.Event(), 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stopping.set()
        raise ConnectionResetError

    async with asyncio.timeout(10):
        await run_periodically(look, "test", 0.001, stopping, Heartbeats())
    assert looks == 3


async def test_a_pause_is_no_standstill() -> None:
    stopping, heartbeats = asyncio.Event(), Heartbeats(limit_seconds=1)

    async def look() -> None:
        await asyncio.sleep(0.1)

    looking = asyncio.create_task(run_periodically(look, "test", 0.01, stopping, heartbeats))
    await asyncio.sleep(1.5)
    assert heartbeats.still() == []
    stopping.set()
    await looking
