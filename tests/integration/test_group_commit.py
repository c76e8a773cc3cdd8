"""Test what is written in one transaction: a bad or cancelled item costs no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.domain.operations import TaskOutcome
from shared.fulfilment.completion import TaskCompletion, WorkedBatch
from shared.fulfilment.queue import LeasedTask
from shared.messaging.group_commit import GroupCommit
from shared.runtime.settings import WorkSettings
from shared.systems.contract import Receipt
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.live import eventually
from tests.fixtures.worker_harness import claimed, opened

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
GOOD, BAD = {"call": 2}, {"call\0": 2}


class Writers:
    """Four claimed tasks, and a completion to which each is written as a batch of its own."""

    def __init__(self, harness: Harness, claims: Sequence[LeasedTask]) -> None:
        self.harness, self.claims = harness, claims
        settings = WorkSettings.model_validate({"downstreams": "none"})
        self.completion = TaskCompletion(harness.unit_of_work, harness.fulfilments, harness.concludes, settings)
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self, bad: int | None = None) -> None:
        """Writes the first task, and the others once it is in its transaction; ``bad`` cannot be written."""
        for number in range(4):
            self._write(number, BAD if number == bad else GOOD)
            if number == 0:
                await self.in_transaction()
        await asyncio.sleep(0)

    def _write(self, number: int, categories: dict[str, int]) -> None:
        claim = self.claims[number]
        receipt = Receipt(claim.task_id, TaskOutcome.ERASED, found=2, changed=2, by_category=categories)
        self.tasks.append(asyncio.create_task(self.completion.write(WorkedBatch([claim], [receipt], {}, {}))))

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
        await writers.begin(bad)
    ended = await writers.ended()
    assert ended == [ValidationError if each == bad else None for each in range(4)]
    assert await writers.done() == [each != bad for each in range(4)]


async def test_cancelled_writer_is_written_if_its_transaction_is_under_way(writers: Writers) -> None:
    async with writers.behind_a_lock():
        await writers.begin()
        writers.tasks[0].cancel()
        await asyncio.sleep(0.05)
    assert await writers.ended() == [asyncio.CancelledError, None, None, None]
    assert await writers.done() == [True] * 4


async def test_cancelled_waiter_stops_no_other_of_the_same_transaction(writers: Writers) -> None:
    async with AsyncExitStack() as behind_the_first:
        async with writers.behind_a_lock():
            await writers.begin()
            second = asyncio.create_task(behind_the_first.enter_async_context(writers.behind_a_lock()))
            await writers.in_transaction(2)
        await second
        await writers.in_transaction()
        writers.tasks[2].cancel()
    ended = await writers.ended()
    assert ended == [None, None, asyncio.CancelledError, None]
    assert await writers.done() == [True] * 4


async def test_waiter_cancelled_before_its_transaction_is_not_written(writers: Writers) -> None:
    async with writers.behind_a_lock():
        await writers.begin()
        writers.tasks[2].cancel()
    assert await writers.ended() == [None, None, asyncio.CancelledError, None]
    assert await writers.done() == [True, True, False, True]


@pytest.mark.parametrize(
    ("failure", "answers", "transactions"),
    [
        (ValueError, ["a", ValueError, "c"], [["a", "b", "c"], ["a"], ["b"], ["c"]]),
        (ConnectionError, [ConnectionError] * 3, [["a", "b", "c"]]),
    ],
)
async def test_items_are_written_one_by_one_after_a_failure_but_not_in_an_outage(
    failure: type[Exception], answers: list[object], transactions: list[list[str]]
) -> None:
    written: list[list[str]] = []

    async def write(items: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(0)
        written.append([*items])
        if "b" in items:
            raise failure
        return items

    group: GroupCommit[str, str] = GroupCommit(write, len)
    given = await asyncio.gather(*map(group.commit, "abc"), return_exceptions=True)
    assert written == transactions
    assert [type(each) if isinstance(each, Exception) else each for each in given] == answers


async def test_transaction_holds_each_key_once_and_a_thousand_rows() -> None:
    written: list[list[int]] = []

    async def write(items: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0)
        written.append([*items])
        return items

    group: GroupCommit[int, int] = GroupCommit(write, abs, lambda rows: rows if rows < 0 else None)
    rows = [1, 600, -3, 300, -3, 500, 5]
    assert await asyncio.gather(*map(group.commit, rows)) == rows
    assert written == [[1, 600, -3, 300, 5], [-3, 500]]
