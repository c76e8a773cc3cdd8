"""Test batches of results that are written in one transaction: a bad or cancelled one costs no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.domain.operations import TaskOutcome
from shared.fulfilment.completion import TaskCompletion, Worked
from shared.fulfilment.queue import Claim
from shared.runtime.settings import WorkSettings
from shared.systems.contract import Receipt
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.live import eventually
from tests.fixtures.worker_harness import claimed, opened

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
GOOD, BAD = {"call": 2}, {"call\0": 2}


class Writers:
    """Four claimed tasks, and a completion to which each is written as a batch of its own."""

    def __init__(self, harness: Harness, claims: Sequence[Claim]) -> None:
        self.harness, self.claims = harness, claims
        settings = WorkSettings.model_validate({"downstreams": "none"})
        self.completion = TaskCompletion(harness.unit_of_work, harness.fulfilments, harness.concludes, settings)
        self.tasks: list[asyncio.Task[None]] = []

    def write(self, number: int, categories: dict[str, int] = GOOD) -> None:
        """Begins to write the result of one task."""
        claim = self.claims[number]
        receipt = Receipt(claim.task_id, TaskOutcome.ERASED, found=2, changed=2, by_category=categories)
        self.tasks.append(asyncio.create_task(self.completion.write(Worked([claim], [receipt], {}, {}))))

    @asynccontextmanager
    async def behind_a_lock(self) -> AsyncIterator[None]:
        """Holds the chain of the evidence: the first writer is in its transaction, and the others wait."""
        async with self.harness.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT FROM evidence.head FOR UPDATE")
            yield

    async def in_transaction(self, number: int = 1) -> None:
        """Waits until so many transactions are stopped by the lock."""

        async def waiting() -> bool:
            return bool(await self.harness.pool.fetchval(WAITING) == number)

        await eventually(waiting)

    async def ended(self) -> list[type[BaseException] | None]:
        """Returns how each write ended."""
        async with asyncio.timeout(10):
            results = await asyncio.gather(*self.tasks, return_exceptions=True)
        return [None if each is None else type(each) for each in results]

    async def done(self) -> list[bool]:
        """Returns of each task whether its result is stored, completed and on record exactly once."""
        rows = await self.harness.pool.fetch("SELECT task_id FROM task WHERE state = 'done'")
        stored = {row[0] for row in rows}
        return [claim.task_id in stored and await self._once(claim.request_id) for claim in self.claims]

    async def _once(self, request_id: UUID) -> bool:
        actions = await self.harness.actions(request_id)
        completed = [each.request_id for each in self.harness.completed]
        return actions.count("task.concluded") == 1 and request_id in completed


@pytest.fixture
async def writers(open_harness: OpenHarness, clock: SetClock) -> Writers:
    """Writers of four tasks in hand."""
    harness = await open_harness(ScriptedSystem("crm"))
    await opened(harness, 4)
    return Writers(harness, await claimed(harness, clock))


@pytest.mark.parametrize("bad", [1, 2, 3])
async def test_batch_that_cannot_be_written_fails_alone(writers: Writers, bad: int) -> None:
    async with writers.behind_a_lock():
        for number in range(4):
            writers.write(number, BAD if number == bad else GOOD)
        await writers.in_transaction()
    ended = await writers.ended()
    assert ended == [ValidationError if each == bad else None for each in range(4)]
    assert await writers.done() == [each != bad for each in range(4)]


async def test_cancelled_writer_leaves_the_rest_of_its_transaction_to_the_next(writers: Writers) -> None:
    async with writers.behind_a_lock():
        for number in range(4):
            writers.write(number)
        await writers.in_transaction()
        writers.tasks[0].cancel()
        await asyncio.sleep(0.05)
    assert await writers.ended() == [asyncio.CancelledError, None, None, None]
    assert await writers.done() == [False, True, True, True]


async def test_cancelled_waiter_stops_no_other_of_the_same_transaction(writers: Writers) -> None:
    async with AsyncExitStack() as behind_the_first:
        async with writers.behind_a_lock():
            for number in range(4):
                writers.write(number)
            await writers.in_transaction()
            second = asyncio.create_task(behind_the_first.enter_async_context(writers.behind_a_lock()))
            await writers.in_transaction(2)
        await second
        await writers.in_transaction()
        writers.tasks[2].cancel()
    ended = await writers.ended()
    assert ended == [None, None, asyncio.CancelledError, None]
    assert await writers.done() == [True] * 4, "the transaction was under way"


async def test_waiter_cancelled_before_its_transaction_is_not_written(writers: Writers) -> None:
    async with writers.behind_a_lock():
        for number in range(4):
            writers.write(number)
        await writers.in_transaction()
        writers.tasks[2].cancel()
    assert await writers.ended() == [None, None, asyncio.CancelledError, None]
    assert await writers.done() == [True, True, False, True]
