"""When figures were last counted, by whom; and what an event leaves for them to count."""

import asyncio
from datetime import timedelta
from functools import partial

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import handlers, statistics
from services.intake import statistics as intake
from shared.app.service import Loop, Running
from shared.domain.events import QuestionSent
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import Settings
from shared.storage.postgres import PostgresSettings, connect_pool
from tests.fixtures.deadline_work import ARRIVED, POLICY, clock, harness, hear, pool, received
from tests.fixtures.engine import TRACING, SetClock
from tests.fixtures.told import comes_to

__all__ = ["clock", "harness", "pool"]


@pytest.mark.parametrize(
    ("service", "counting"),
    [
        (ServiceName.INTAKE, intake.count_again_and_again),
        (ServiceName.DEADLINE, partial(statistics.count_again_and_again, policy=POLICY)),
    ],
)
async def test_a_service_tells_when_it_last_counted(
    database: str, service: ServiceName, counting: Loop, harness: UnitOfWorkFactory
) -> None:
    at = SetClock()
    at.pass_by(days=7)
    async with await connect_pool(PostgresSettings(dsn=database, pool_size=2), service) as pool:
        unit_of_work = UnitOfWorkFactory(pool, service, at, harness.vault)
        running = Running(Settings.__new__(Settings), unit_of_work, TRACING, Heartbeats(), asyncio.Event())
        task = asyncio.ensure_future(counting(running))
        assert await comes_to(at.now().timestamp(), "dsr_figures_timestamp_seconds", service=service)
        running.stopping.set()
        await task


@pytest.mark.parametrize(("days", "in_time"), [(1, True), (5, True), (6, False)])
async def test_whether_a_question_was_asked_in_time_is_kept_with_it(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, days: int, in_time: object
) -> None:
    event = received()  # on a Thursday: the third working day is the Tuesday
    at = ARRIVED + timedelta(days=days)
    sent = QuestionSent(
        request_id=event.request_id,
        occurred_at=at,
        right=Right.ACCESS,
        question_id=uuid7(),
        question="identity",
        asked_at=at,
        condition_recorded=False,
    )
    await hear(harness, event)
    async with harness.begin() as tx:
        await handlers.asked([sent], tx, policy=POLICY)
    assert await pool.fetchval("SELECT in_time FROM question WHERE question_id = $1", sent.question_id) is in_time
