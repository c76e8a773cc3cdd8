"""SIGTERM while a server is away: every service gives up waiting and ends in order, and nothing is lost by it."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.fixtures.stack import stack_alone

BURST = 40


@pytest.mark.parametrize("away", ["database", "broker"])
async def test_every_service_ends_in_order_while_a_server_is_away_and_all_close_afterwards(
    away: str, run_folder: Path
) -> None:
    env = {"DSR_PROCESS_DRAIN_SECONDS": "3", "DSR_PROCESS_OUTBOX_SECONDS": "3"}
    async with stack_alone(run_folder / f"stop-without-{away}", BURST, env=env) as running:
        await running.submit(range(BURST), batch=10)
        server = running.postgres if away == "database" else running.kafka
        await asyncio.to_thread(server.stop)
        children = running.services.children
        for child in children.values():
            child.signal(signal.SIGTERM)
        ends = {name: await asyncio.to_thread(child.wait, 90) for name, child in children.items()}
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(running.services.start_prepared)
        await running.all_closed(BURST, within=90)
        effects = await running.effects()

    assert ends == dict.fromkeys(children, 0)
    assert (effects["requests"], effects["closed once"], effects["erased customers"]) == (BURST, BURST, BURST)
