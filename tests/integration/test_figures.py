"""When figures were last counted, by whom."""

import asyncio
from functools import partial

import pytest

from services.deadline import statistics
from services.intake import statistics as intake
from shared.app.service import Loop, Running
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.engine import TRACING, SetClock
from tests.fixtures.told import comes_to


@pytest.mark.parametrize(
    ("service", "counting"),
    [
        (ServiceName.INTAKE, intake.count_again_and_again),
        (ServiceName.DEADLINE, partial(statistics.run, policy=read_policy())),
    ],
)
async def test_a_service_tells_when_it_last_counted(
    database: str, service: ServiceName, counting: Loop, clock: SetClock, keys: Keyring
) -> None:
    clock.pass_by(days=7)
    async with await connect_pool(PostgresSettings(dsn=database, pool_size=2), service) as pool:
        unit_of_work = UnitOfWorkFactory(pool, service, clock, Vault(keys))
        running = Running(Settings.__new__(Settings), unit_of_work, TRACING, Heartbeats(), asyncio.Event())
        task = asyncio.ensure_future(counting(running))
        assert await comes_to(clock.now().timestamp(), "dsr_figures_timestamp_seconds", service=service)
        running.stopping.set()
        await task
