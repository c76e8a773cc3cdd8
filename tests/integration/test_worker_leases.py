"""Leases on a real database: a worker that went silent is replaced, and what it still says does not count."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.errors import TableMissing, Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.fulfilment import queue as tasks
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.worker_harness import CRM, LEASE, claimed, opened, reaped


async def taken_over(harness: Harness, clock: SetClock) -> tuple[tasks.Claim, tasks.Claim]:
    """A task that one worker has claimed, and after its lease another one."""
    [mine] = await claimed(harness, clock)
    clock.pass_by(minutes=1)
    await reaped(harness, clock)
    [theirs] = await claimed(harness, clock)
    return mine, theirs


async def test_a_late_conclusion_of_a_worker_that_lost_its_lease_has_no_effect(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    slow, quick = asyncio.Event(), asyncio.Event()
    crm = ScriptedSystem("crm")

    async def hang(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        del crm.answers[Operation.ERASE]
        slow.set()
        await quick.wait()
        return [TableMissing("late") for _ in asked]

    crm.answers[Operation.ERASE] = hang
    harness = await open_harness(crm)
    [request] = await opened(harness)
    first = asyncio.create_task(harness.worker("crm", lease_seconds=3600).work())
    await slow.wait()
    clock.pass_by(hours=2)
    assert await reaped(harness, clock) == {CRM}
    assert await harness.worker("crm").work() == 1
    quick.set()
    assert await first == 1
    assert await harness.states(request) == {"crm:erase": "done"}
    assert await harness.fulfilment_state(request) == "complete"
    assert await harness.actions(request) == ["fulfilment.opened", "task.concluded"]


async def test_a_late_conclusion_has_no_effect_either_while_the_heir_still_works(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    mine, theirs = await taken_over(harness, clock)
    assert (mine.attempt, theirs.attempt) == (1, 2)
    async with harness.pool.acquire() as connection:
        late = tasks.Conclusion(mine, tasks.TaskState.FAILED, None, "late", clock.now())
        assert await tasks.conclude(connection, [late], clock.now()) == set()
        await tasks.extend(connection, [mine], clock.now() + timedelta(days=1))
        assert await harness.pool.fetchval("SELECT lease_until FROM task") == clock.now() + LEASE
        assert await harness.states(request) == {"crm:erase": "leased"}
        timely = tasks.Conclusion(theirs, tasks.TaskState.DONE, None, None, clock.now())
        assert await tasks.conclude(connection, [timely], clock.now()) == {theirs.task_id}


async def test_a_lease_that_holds_is_not_reaped_and_a_heartbeat_holds_it(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")

    async def take_long(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        clock.pass_by(seconds=0.2)
        held_until = clock.now() + timedelta(seconds=0.3)
        async with asyncio.timeout(10):
            while await harness.pool.fetchval("SELECT min(lease_until) FROM task") < held_until:
                pass
        assert await reaped(harness, clock) == set()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = take_long
    harness = await open_harness(crm)
    [request] = await opened(harness)
    await harness.worker("crm", lease_seconds=0.3).work()
    assert await harness.states(request) == {"crm:erase": "done"}


async def test_a_note_is_there_at_the_next_attempt(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")

    async def count_then_break(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await save_progress({task.task_id: {"found": 7} for task in asked})
        await save_progress({task.task_id: {"party": "42"} for task in asked})
        raise Unavailable("the line broke after the erasure")

    crm.answers[Operation.ERASE] = count_then_break
    harness = await open_harness(crm)
    await opened(harness, 2)
    worker = harness.worker("crm")
    await worker.work()
    del crm.answers[Operation.ERASE]
    clock.pass_by(seconds=8)
    await worker.work()
    assert [task.progress for task in crm.asked[2:]] == [{"found": 7, "party": "42"}] * 2


async def test_a_note_fails_once_the_lease_is_lost(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    await opened(harness)
    mine, theirs = await taken_over(harness, clock)
    async with harness.pool.acquire() as connection:
        with pytest.raises(tasks.LeaseLost):
            await tasks.save_progress(connection, {mine.task_id: mine.attempt}, {mine.task_id: {"found": 1}})
        await tasks.save_progress(connection, {theirs.task_id: theirs.attempt}, {theirs.task_id: {"found": 2}})
    assert await harness.pool.fetchval("SELECT progress FROM task") == {"found": 2}


async def test_a_worker_that_lost_one_lease_still_gives_back_the_others(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")

    async def lose_one(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await harness.pool.execute("UPDATE task SET attempt = attempt + 1 WHERE task_id = $1", asked[0].task_id)
        await save_progress({task.task_id: {"found": 1} for task in asked})
        pytest.fail("nothing irreversible may follow a note that failed")

    crm.answers[Operation.ERASE] = lose_one
    harness = await open_harness(crm)
    requests = await opened(harness, 2)
    await harness.worker("crm").work()
    states = sorted([(await harness.states(request))["crm:erase"] for request in requests])
    assert states == ["leased", "ready"]
