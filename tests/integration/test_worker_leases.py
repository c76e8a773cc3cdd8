"""Leases on a real database: a process that went silent is replaced, and what it still does ends and does not count."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

import pytest

from shared.domain.errors import TableMissing, Unavailable
from shared.domain.operations import Operation
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.fulfilment import queue as tasks
from shared.fulfilment.lease import Lease
from shared.runtime.liveness import Heartbeats
from shared.storage.postgres import PostgresSettings
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.live import eventually
from tests.fixtures.worker_harness import CRM, claimed, opened


async def taken_over(harness: Harness, clock: SetClock) -> tuple[tasks.Claim, tasks.Claim]:
    """A task that one process has claimed, and after its lease another one."""
    [mine] = await claimed(harness, clock)
    await harness.silence(harness.lease)
    await harness.reap()
    [theirs] = await claimed(harness, clock, by=await harness.new_lease())
    return mine, theirs


async def test_a_late_conclusion_of_a_worker_that_lost_its_lease_has_no_effect(open_harness: OpenHarness) -> None:
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
    first = asyncio.create_task(harness.worker("crm").work())
    await slow.wait()
    await harness.silence(harness.lease)
    assert await harness.reap() == {CRM: 1}
    assert await harness.worker("crm", lease=await harness.new_lease()).work() == 1
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
        assert await harness.states(request) == {"crm:erase": "leased"}
        timely = tasks.Conclusion(theirs, tasks.TaskState.DONE, None, None, clock.now())
        assert await tasks.conclude(connection, [timely], clock.now()) == {theirs.task_id}


@pytest.mark.parametrize("taken", [True, False])
async def test_a_lost_lease_stops_the_work_and_not_only_its_conclusion(
    open_harness: OpenHarness, *, taken: bool
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()
    crm = ScriptedSystem("crm")

    async def work_for_ever(_asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    crm.answers[Operation.ERASE] = work_for_ever
    harness = await open_harness(crm)
    [request] = await opened(harness)
    monotonic = [0.0]
    lease = Lease(3600, lambda: monotonic[0])
    await harness.renew(lease)
    working = asyncio.create_task(harness.worker("crm", lease=lease).work())
    await begun.wait()
    if taken:
        await harness.silence(lease)
        assert await harness.reap() == {CRM: 1}
        await harness.renew(lease)
    else:  # it slept, or the database was away, for longer than the lease
        monotonic[0] = 3601.0
        lease.expire()
    async with asyncio.timeout(10):
        assert await working == 1
    assert stopped.is_set()
    assert await harness.states(request) == {"crm:erase": "ready"}
    assert await harness.outbox() == []


async def test_a_process_that_lost_its_lease_works_on_by_a_new_one(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    lost = harness.lease.holder
    await harness.silence(harness.lease)
    await harness.reap()
    assert await harness.worker("crm").work() == 0, "nothing may be claimed without a lease"
    await harness.renew(harness.lease)
    assert harness.lease.holder != lost
    assert await harness.worker("crm").work() == 1
    assert await harness.states(request) == {"crm:erase": "done"}


async def test_what_was_claimed_by_a_lease_that_is_lost_by_now_is_not_begun(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    lost = harness.lease.holder
    await harness.silence(harness.lease)
    await harness.reap()
    await harness.renew(harness.lease)

    async def begin() -> None:
        pytest.fail("it was begun")

    with pytest.raises(tasks.LeaseLost):
        await harness.lease.hold(lost, begin())


async def test_a_thread_holds_the_lease_however_busy_the_loop_is_and_gives_it_back_at_the_end(
    open_harness: OpenHarness, clock: SetClock, database: str
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    await opened(harness)
    lease, ended = Lease(2), asyncio.Event()
    running = asyncio.create_task(lease.run(PostgresSettings(dsn=database), ServiceName.ERASURE, ended, Heartbeats()))
    registered = "SELECT alive_until FROM worker_process WHERE process_id = $1"
    until = await eventually(partial(harness.pool.fetchval, registered, lease.holder))
    [_] = await claimed(harness, clock, by=lease)
    held = lease.holder
    free = time.monotonic() + 2.2
    while time.monotonic() < free:
        pass
    assert await harness.reap() == {}
    assert await harness.pool.fetchval(registered, lease.holder) > until
    assert lease.holder == held
    ended.set()
    await running
    assert await harness.reap() == {CRM: 1}


async def test_a_thread_that_cannot_renew_ends_its_process(database: str) -> None:
    lease = Lease(0.6)
    without_migrations = ServiceName.INTAKE  # which has no tasks
    with pytest.raises(Exception, match="worker_process"):
        await lease.run(PostgresSettings(dsn=database), without_migrations, asyncio.Event(), Heartbeats())


async def test_what_ends_its_process_twice_is_claimed_alone_and_then_after_pauses_and_others_are_worked(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    await opened(harness, 3)
    for _ in range(2):
        assert len(await claimed(harness, clock)) == 3
        await harness.silence(harness.lease)
        assert await harness.reap() == {CRM: 3}
        await harness.renew(harness.lease)
    [poison] = await claimed(harness, clock)
    await harness.silence(harness.lease)
    assert await harness.reap() == {CRM: 1}
    await harness.renew(harness.lease)
    others = [await claimed(harness, clock) for _ in range(3)]
    assert [len(each) for each in others] == [1, 1, 0]
    assert poison.task_id not in {claim.task_id for each in others for claim in each}
    clock.pass_by(seconds=8)
    assert [claim.task_id for claim in await claimed(harness, clock)] == [poison.task_id]


async def test_what_came_through_a_call_is_no_longer_worked_alone(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm)
    await opened(harness, 3)
    for _ in range(2):
        await claimed(harness, clock)
        await harness.silence(harness.lease)
        await harness.reap()
        await harness.renew(harness.lease)

    async def be_away(_asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        raise Unavailable("no answer")

    crm.answers[Operation.ERASE] = be_away
    worker = harness.worker("crm")
    assert [await worker.work() for _ in range(4)] == [1, 1, 1, 0]
    clock.pass_by(seconds=60)
    assert len(await claimed(harness, clock)) == 3


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
