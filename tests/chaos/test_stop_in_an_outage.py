"""SIGTERM while a server is away: every service gives up waiting and ends in order, and nothing is lost by it."""

import asyncio
import signal
from pathlib import Path

from tests.fixtures.stack import stack_alone

BURST = 40


async def test_every_service_ends_in_order_while_database_or_broker_is_away_and_all_close_afterwards(
    run_folder: Path,
) -> None:
    env = {"DSR_PROCESS_DRAIN_SECONDS": "3", "DSR_PROCESS_OUTBOX_SECONDS": "3"}
    async with stack_alone(run_folder / "stop-in-an-outage", 2 * BURST, env=env) as running:
        children = running.services.children
        for done, server in ((0, running.postgres), (BURST, running.kafka)):
            await running.submit(range(done, done + BURST), batch=10)
            await asyncio.to_thread(server.stop)
            for child in children.values():
                child.signal(signal.SIGTERM)
            ends = {name: await asyncio.to_thread(child.wait, 90) for name, child in children.items()}
            assert ends == dict.fromkeys(children, 0), server.title
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(running.services.start_prepared)
            await running.all_closed(done + BURST, within=90)
        effects = await running.effects()

    asked = 2 * BURST
    assert (effects["requests"], effects["closed once"], effects["erased customers"]) == (asked, asked, asked)
