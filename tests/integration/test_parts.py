"""A copy of very many records comes in parts: each lies in the vault at once, and counts if its call came to an end."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from uuid_utils.compat import uuid7

from shared.domain.errors import Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Receipt, Record, Result, Task
from shared.downstreams.protocols import HandOver
from shared.fulfilment.parts import sealing
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.packages import described, exporting, fetched, pack


@dataclass
class InParts(ScriptedSystem):
    """Hands over a part of what it is told for each call, and then answers, or breaks; the last call is repeated."""

    calls: list[tuple[Sequence[str], Result | None]] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver
    ) -> Sequence[Result]:
        del save_progress
        (task,) = tasks
        values, failure = self.calls.pop(0) if len(self.calls) > 1 else self.calls[0]
        if self.before:
            await self.before()
        for value in values:
            await hand_over(task.task_id, [record(value)])
        rest = record("the rest")
        n = len(values) + 1
        return [failure or Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, records=(rest,), parts=len(values))]


def record(value: str) -> Record:
    return Record("calls", "cdrs", {"value": value}, matched=(Match("email", "ada@example.org"),))


async def copying(open_harness: OpenHarness, *calls: tuple[Sequence[str], Result | None]) -> tuple[Harness, InParts]:
    system = InParts("cdr", calls=list(calls))
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    await harness.open(NewFulfilment(uuid7(), await harness.subject(), Right.ACCESS, Operation.EXPORT, DUE))
    return harness, system


async def packaged(harness: Harness) -> list[str]:
    await pack(harness)
    package_id = await harness.pool.fetchval("SELECT sealed_id FROM vault.sealed WHERE kind = 'package'")
    return [one["data"]["value"] for one in described(await fetched(harness, package_id))["records"]]


async def test_parts_and_the_rest_are_one_package_and_nothing_of_them_stays(open_harness: OpenHarness) -> None:
    harness, _ = await copying(open_harness, (["first", "second"], None))
    await harness.worker("cdr", Operation.EXPORT).work()
    assert await packaged(harness) == ["first", "second", "the rest"]
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0


async def test_what_an_attempt_has_left_that_broke_off_does_not_count(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    away = Unavailable("it is away")
    for again in (["second"], []):
        harness, _ = await copying(open_harness, (["first"], away), (again, None))
        await harness.worker("cdr", Operation.EXPORT).work()
        assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0
        clock.pass_by(hours=1)
        await harness.worker("cdr", Operation.EXPORT).work()
        assert await packaged(harness) == [*again, "the rest"]
        await harness.pool.execute("DELETE FROM vault.sealed")


async def test_what_a_system_has_left_that_did_not_come_to_its_end_is_in_no_package(open_harness: OpenHarness) -> None:
    harness, system = await copying(open_harness, (["first"], None))
    subject = await harness.pool.fetchval("SELECT subject_ref FROM fulfilment")
    async with harness.unit_of_work.begin() as tx:
        left = [sealing(subject, "shop", [record("half of it")])]
        await tx.vault.seal(tx.connection, left, tx.now)
    await harness.worker(system.system, Operation.EXPORT).work()
    assert await packaged(harness) == ["first", "the rest"]


async def test_a_worker_whose_task_is_anothers_by_now_hands_nothing_over(open_harness: OpenHarness) -> None:
    harness, system = await copying(open_harness, (["first"], None))
    system.before = partial(harness.pool.execute, "UPDATE task SET attempt = attempt + 1")
    await harness.worker("cdr", Operation.EXPORT).work()
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'records'") == 0
