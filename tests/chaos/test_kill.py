"""`kill -9` of any one part during a burst of 200 requests: all close, and nothing happens twice."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.local.platform import Platform
from shared.domain.topics import ServiceName
from tests.fixtures import stores
from tests.fixtures.stack import Stack, stack
from tests.fixtures.stores import CALLS_EACH, TICKETS_EACH, Subject

BURST = 200

Victim = Callable[[Stack], None]


def service(name: ServiceName) -> Victim:
    """Kills a service and starts it again."""

    def strike(running: Stack) -> None:
        child = running.services.children[name]
        child.kill()
        child.start()

    return strike


def broker(running: Stack) -> None:
    """Kills the broker and starts it again."""
    running.kafka.kill()
    running.kafka.start()


def database(running: Stack) -> None:
    """Kills PostgreSQL, which our state and the stores are in, and starts it again."""
    running.postgres.kill()
    running.postgres.start()


VICTIMS: dict[str, Victim] = {
    **{str(name): service(name) for name in ServiceName},
    "broker": broker,
    "database": database,
}


@pytest.mark.parametrize("victim", VICTIMS)
async def test_all_of_a_burst_close_and_no_effect_happens_twice_when_this_is_killed(
    victim: str, run_folder: Path
) -> None:
    directory = run_folder / f"chaos-{victim}"
    with Platform(directory / "platform") as platform:
        seeded = await stores.seed(platform, "seed", BURST + 1)
        copied = await stores.copy(platform, seeded, "run", directory / "stores")
        async with stack(platform, copied.downstreams, copied.env, directory) as running:
            submissions = [Subject(number).submission() for number in range(BURST)]
            await running.submit(submissions[: BURST // 2], batch=10)
            await asyncio.to_thread(VICTIMS[victim], running)
            await running.submit(submissions[BURST // 2 :], batch=10)
            await running.all_closed(BURST, within=90)

            assert await running.effects() == {
                "requests": BURST,
                "closed once": BURST,
                "concluded once per store": 3 * BURST,
                "erased customers": BURST,
                "erased calls": BURST * CALLS_EACH,
                "erased tickets": BURST * TICKETS_EACH,
                "dead letters": 0,
            }
            assert await copied.rows() == {"customers": 1, "calls": CALLS_EACH, "tickets": TICKETS_EACH}
            assert await running.broken_chains() == []
