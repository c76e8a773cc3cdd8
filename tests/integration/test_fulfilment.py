"""Fan-out and fan-in: stages in the order of what systems need, one outcome however many conclude at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from shared import fulfilment
from shared.downstreams.contract import Note, Operation, Receipt, Result, Task, TaskOutcome
from shared.errors import Misconfigured, ResidueFound, Unavailable
from shared.fulfilment import Opening
from shared.identities import Identity, IdentityType
from shared.rights import Outcome
from tests.fixtures.engine import Office, OpenOffice, ScriptedSystem, SetClock

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")


def crm() -> ScriptedSystem:
    """Knows numbers by the e-mail address."""
    system = ScriptedSystem("crm", needs=frozenset({EMAIL}), yields=frozenset({PHONE}))

    async def locate(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        return [Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(NUMBER,)) for task in asked]

    system.answers[Operation.LOCATE] = locate
    return system


def cdr() -> ScriptedSystem:
    """Can be searched by number alone."""
    return ScriptedSystem("cdr", needs=frozenset({PHONE}))


async def begun(office: Office, opening: Opening | None = None) -> UUID:
    opening = opening or await office.opening()
    async with office.transactions.begin() as tx:
        await fulfilment.open_all(tx, [opening])
    return opening.request_id


async def test_what_yields_identities_is_located_first_and_erased_last(open_office: OpenOffice) -> None:
    party, calls = crm(), cdr()
    office = await open_office(party, calls)
    request = await begun(office)
    assert await office.states(request) == {"crm:locate": "ready", "cdr:erase": "waiting", "crm:erase": "waiting"}
    await office.desk("crm", Operation.LOCATE).work()
    assert await office.states(request) == {"crm:locate": "done", "cdr:erase": "ready", "crm:erase": "waiting"}
    assert await office.desk("crm").work() == 0
    await office.desk("cdr").work()
    assert NUMBER in calls.asked[0].identities
    assert await office.desk("crm").work() == 1
    [done] = office.completed
    assert [f"{report.system}:{report.operation}" for report in done.reports] == [
        "crm:locate",
        "cdr:erase",
        "crm:erase",
    ]
    assert done.outcome is Outcome.FULFILLED
    assert await office.fulfilment_state(request) == "complete"


async def test_two_workers_that_conclude_the_last_two_tasks_at_once_complete_it_once(open_office: OpenOffice) -> None:
    systems = [ScriptedSystem(name) for name in ("a", "b", "c", "d")]
    ready, barrier = asyncio.Event(), Counter[str]()

    async def together(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        barrier["here"] += 1
        if barrier["here"] == len(systems):
            ready.set()
        await ready.wait()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    for system in systems:
        system.answers[Operation.ERASE] = together
    office = await open_office(*systems)
    requests = {await begun(office) for _ in range(10)}
    await asyncio.gather(*(office.desk(system.system).work() for system in systems))
    assert len(office.completed) == len(requests)
    assert {done.request_id for done in office.completed} == requests
    assert (
        await office.pool.fetchval("SELECT count(*) FROM fulfilment WHERE state = 'complete' AND open_tasks = 0") == 10
    )


async def test_a_failed_task_blocks_until_a_person_wants_it_tried_again(open_office: OpenOffice) -> None:
    good, bad = ScriptedSystem("good"), ScriptedSystem("bad")

    async def leave_something(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        return [ResidueFound("two rows") for _ in asked]

    bad.answers[Operation.ERASE] = leave_something
    office = await open_office(good, bad)
    request = await begun(office)
    await office.desk("bad").work()
    assert await office.fulfilment_state(request) == "open"
    await office.desk("good").work()
    assert await office.fulfilment_state(request) == "blocked"
    assert await office.outbox() == ["dsr.fulfilment.blocked.v1"]
    del bad.answers[Operation.ERASE]
    async with office.transactions.begin() as tx:
        await fulfilment.retry(tx, [request])
    assert await office.states(request) == {"good:erase": "done", "bad:erase": "ready"}
    await office.desk("bad").work()
    assert await office.fulfilment_state(request) == "complete"
    assert len(good.asked) == 1
    assert await office.outbox() == ["dsr.fulfilment.blocked.v1", "dsr.fulfilment.completed.v1"]


async def test_a_retry_that_fails_again_blocks_again(open_office: OpenOffice) -> None:
    bad = ScriptedSystem("bad")

    async def leave_something(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        return [ResidueFound("two rows") for _ in asked]

    bad.answers[Operation.ERASE] = leave_something
    office = await open_office(bad)
    request = await begun(office)
    for _ in range(2):
        await office.desk("bad").work()
        async with office.transactions.begin() as tx:
            await fulfilment.retry(tx, [request])
    await office.desk("bad").work()
    assert await office.fulfilment_state(request) == "blocked"
    assert await office.outbox() == ["dsr.fulfilment.blocked.v1"] * 3


async def test_a_failure_in_an_early_stage_keeps_the_later_ones_from_beginning(open_office: OpenOffice) -> None:
    party, calls = crm(), cdr()

    async def refuse(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        return [ResidueFound("") for _ in asked]

    party.answers[Operation.LOCATE] = refuse
    office = await open_office(party, calls)
    request = await begun(office)
    await office.desk("crm", Operation.LOCATE).work()
    assert await office.states(request) == {"crm:locate": "failed", "cdr:erase": "waiting", "crm:erase": "waiting"}
    assert await office.fulfilment_state(request) == "blocked"


async def test_a_withdrawn_request_begins_nothing_more(open_office: OpenOffice) -> None:
    party, calls = crm(), cdr()
    office = await open_office(party, calls)
    request = await begun(office)
    async with office.transactions.begin() as tx:
        await fulfilment.cancel(tx, [request])
    assert set((await office.states(request)).values()) == {"cancelled"}
    assert await office.desk("crm", Operation.LOCATE).work() == 0
    assert party.asked == []
    assert await office.actions(request) == ["fulfilment.opened", "fulfilment.cancelled"]
    assert await office.outbox() == []


async def test_a_task_in_hand_when_the_request_is_withdrawn_is_not_followed_by_another(
    open_office: OpenOffice, clock: SetClock
) -> None:
    party, calls = crm(), cdr()
    office = await open_office(party, calls)
    request = await begun(office)

    async def withdraw_meanwhile(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        async with office.transactions.begin() as tx:
            await fulfilment.cancel(tx, [request])
        return [Unavailable("busy") for _ in asked]

    party.answers[Operation.LOCATE] = withdraw_meanwhile
    locating = office.desk("crm", Operation.LOCATE)
    await locating.work()
    clock.pass_by(minutes=1)
    assert await locating.work() == 0
    assert len(party.asked) == 1
    assert set((await office.states(request)).values()) == {"cancelled"}
    assert office.completed == []


async def test_a_task_that_was_done_although_the_request_was_withdrawn_completes_nothing(
    open_office: OpenOffice,
) -> None:
    system = ScriptedSystem("crm")
    office = await open_office(system)
    request = await begun(office)

    async def withdraw_meanwhile(asked: Sequence[Task], _note: Note) -> Sequence[Result]:
        async with office.transactions.begin() as tx:
            await fulfilment.cancel(tx, [request])
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    system.answers[Operation.ERASE] = withdraw_meanwhile
    await office.desk("crm").work()
    assert await office.fulfilment_state(request) == "cancelled"
    assert (office.completed, await office.outbox()) == ([], [])
    assert await office.actions(request) == ["fulfilment.opened", "fulfilment.cancelled", "task.concluded"]


async def test_withdrawals_and_conclusions_at_once_never_wait_for_one_another_in_a_circle(
    open_office: OpenOffice,
) -> None:
    party, calls = crm(), cdr()
    office = await open_office(party, calls)
    requests = [await begun(office) for _ in range(60)]

    async def withdraw(some: Sequence[UUID]) -> None:
        for request in some:
            async with office.transactions.begin() as tx:
                await fulfilment.cancel(tx, [request])

    async def locate() -> None:
        while await office.desk("crm", Operation.LOCATE, batch=5).work():
            pass

    async with asyncio.timeout(30):
        await asyncio.gather(withdraw(requests[::2]), locate(), locate())
    loose = await office.pool.fetchval(
        "SELECT count(*) FROM task JOIN fulfilment f USING (fulfilment_id)"
        " WHERE f.state = 'cancelled' AND task.state IN ('ready', 'leased', 'waiting')"
    )
    assert loose == 0
    stages = await office.pool.fetch("SELECT DISTINCT stage FROM fulfilment WHERE state = 'open'")
    assert [row[0] for row in stages] == [1]


async def test_a_fulfilment_ends_with_the_stages_that_it_was_opened_with(open_office: OpenOffice) -> None:
    party, calls = crm(), cdr()
    before = await open_office(party, calls)
    request = await begun(before)
    after = await open_office(party)  # the configuration has lost a system
    await after.desk("crm", Operation.LOCATE).work()
    assert await after.fulfilment_state(request) == "open"
    await before.desk("cdr").work()
    await after.desk("crm").work()
    assert await after.fulfilment_state(request) == "complete"


async def test_a_request_that_no_system_can_fulfil_is_refused_by_name(open_office: OpenOffice) -> None:
    office = await open_office()
    with pytest.raises(Misconfigured, match="no downstream system can erase"):
        await begun(office)
    assert await office.pool.fetchval("SELECT count(*) FROM fulfilment") == 0


async def test_the_same_task_is_never_in_two_hands(open_office: OpenOffice) -> None:
    system = ScriptedSystem("crm")
    office = await open_office(system)
    openings = [await office.opening() for _ in range(200)]
    async with office.transactions.begin() as tx:
        await fulfilment.open_all(tx, openings)
    counts = await asyncio.gather(*(office.desk("crm", batch=50).work() for _ in range(6)))
    assert sum(counts) == len(system.asked) == 200
    assert len({task.task_id for task in system.asked}) == 200
