"""Leases on a real database: a worker that went silent is replaced, and what it still says does not count."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared import tasks
from shared.downstreams.contract import Note, Operation, Receipt, Result, Task, TaskOutcome
from shared.errors import TableMissing, Unavailable
from tests.fixtures.desk_work import CRM, LEASE, claimed, opened, reaped
from tests.fixtures.engine import OpenOffice, ScriptedSystem, SetClock


async def test_a_late_conclusion_of_a_worker_that_lost_its_lease_has_no_effect(
    open_office: OpenOffice, clock: SetClock
) -> None:
    slow, quick = asyncio.Event(), asyncio.Event()
    crm = ScriptedSystem("crm")

    async def hang(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        del crm.answers[Operation.ERASE]
        slow.set()
        await quick.wait()
        return [TableMissing("late") for _ in asked]

    crm.answers[Operation.ERASE] = hang
    office = await open_office(crm)
    [request] = await opened(office)
    first = asyncio.create_task(office.desk("crm", lease_seconds=3600).work())
    await slow.wait()
    clock.pass_by(hours=2)
    assert await reaped(office, clock) == {CRM}
    assert await office.desk("crm").work() == 1
    quick.set()
    assert await first == 1
    assert await office.states(request) == {"crm:erase": "done"}
    assert await office.fulfilment_state(request) == "complete"
    assert await office.actions(request) == ["fulfilment.opened", "task.concluded"]


async def test_a_late_conclusion_has_no_effect_either_while_the_heir_still_works(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office = await open_office(ScriptedSystem("crm"))
    [request] = await opened(office)
    [mine] = await claimed(office, clock)
    clock.pass_by(minutes=1)
    await reaped(office, clock)
    [theirs] = await claimed(office, clock)
    assert (mine.attempt, theirs.attempt) == (1, 2)
    async with office.pool.acquire() as connection:
        late = tasks.Conclusion(mine, "failed", None, "late", clock.now())
        assert await tasks.conclude(connection, [late], clock.now()) == set()
        await tasks.extend(connection, [mine], clock.now() + timedelta(days=1))
        assert await office.pool.fetchval("SELECT lease_until FROM task") == clock.now() + LEASE
        assert await office.states(request) == {"crm:erase": "leased"}
        timely = tasks.Conclusion(theirs, "done", {"outcome": "erased"}, None, clock.now())
        assert await tasks.conclude(connection, [timely], clock.now()) == {theirs.task_id}


async def test_a_lease_that_holds_is_not_reaped_and_a_heartbeat_holds_it(
    open_office: OpenOffice, clock: SetClock
) -> None:
    crm = ScriptedSystem("crm")

    async def take_long(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        clock.pass_by(seconds=0.2)
        held_until = clock.now() + timedelta(seconds=0.3)
        async with asyncio.timeout(10):
            while await office.pool.fetchval("SELECT min(lease_until) FROM task") < held_until:
                pass
        assert await reaped(office, clock) == set()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    crm.answers[Operation.ERASE] = take_long
    office = await open_office(crm)
    [request] = await opened(office)
    await office.desk("crm", lease_seconds=0.3).work()
    assert await office.states(request) == {"crm:erase": "done"}


async def test_a_note_is_there_at_the_next_attempt(open_office: OpenOffice, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")

    async def count_then_break(asked: Sequence[Task], note: Note) -> Sequence[Result]:
        await note({task.task_id: {"found": 7} for task in asked})
        await note({task.task_id: {"party": "42"} for task in asked})
        raise Unavailable("the line broke after the erasure")

    crm.answers[Operation.ERASE] = count_then_break
    office = await open_office(crm)
    await opened(office, 2)
    desk = office.desk("crm")
    await desk.work()
    del crm.answers[Operation.ERASE]
    clock.pass_by(seconds=8)
    await desk.work()
    assert [task.progress for task in crm.asked[2:]] == [{"found": 7, "party": "42"}] * 2


async def test_a_note_fails_once_the_lease_is_lost(open_office: OpenOffice, clock: SetClock) -> None:
    office = await open_office(ScriptedSystem("crm"))
    await opened(office)
    [mine] = await claimed(office, clock)
    clock.pass_by(minutes=1)
    await reaped(office, clock)
    [theirs] = await claimed(office, clock)
    async with office.pool.acquire() as connection:
        with pytest.raises(tasks.LeaseLost):
            await tasks.note(connection, {mine.task_id: mine.attempt}, {mine.task_id: {"found": 1}})
        await tasks.note(connection, {theirs.task_id: theirs.attempt}, {theirs.task_id: {"found": 2}})
    assert await office.pool.fetchval("SELECT progress FROM task") == {"found": 2}


async def test_a_worker_that_lost_one_lease_still_gives_back_the_others(open_office: OpenOffice) -> None:
    crm = ScriptedSystem("crm")

    async def lose_one(asked: Sequence[Task], note: Note) -> Sequence[Result]:
        await office.pool.execute("UPDATE task SET attempt = attempt + 1 WHERE task_id = $1", asked[0].task_id)
        await note({task.task_id: {"found": 1} for task in asked})
        pytest.fail("nothing irreversible may follow a note that failed")

    crm.answers[Operation.ERASE] = lose_one
    office = await open_office(crm)
    requests = await opened(office, 2)
    await office.desk("crm").work()
    states = sorted([(await office.states(request))["crm:erase"] for request in requests])
    assert states == ["leased", "ready"]
