"""Fan-out and fan-in: stages in the order of what systems need, one outcome however many conclude at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest

from shared.domain.errors import Misconfigured, ResidueFound, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Outcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.fulfilment.store import NewFulfilment
from tests.fixtures.engine import ACCOUNT, Harness, OpenHarness, ScriptedSystem, SetClock, each

EMAIL, PHONE = IdentityType.EMAIL, IdentityType.PHONE
NUMBER = Identity(PHONE, "+442079460000", source="crm")


def crm() -> ScriptedSystem:
    """Knows numbers by the e-mail address."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, found=1, identities=(NUMBER, ACCOUNT)))
    return ScriptedSystem("crm", frozenset({EMAIL}), frozenset({PHONE}), {Operation.LOCATE: found})


def cdr() -> ScriptedSystem:
    """Can be searched by number alone."""
    return ScriptedSystem("cdr", needs=frozenset({PHONE}))


async def begun(harness: Harness, *new_fulfilment: NewFulfilment) -> UUID:
    return (await harness.open(*new_fulfilment))[0]


async def test_what_yields_identities_is_located_first_and_erased_last(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    assert await harness.states(request) == {"crm:locate": "ready", "cdr:erase": "waiting", "crm:erase": "waiting"}
    await harness.worker("crm", Operation.LOCATE).work()
    assert await harness.states(request) == {"crm:locate": "done", "cdr:erase": "ready", "crm:erase": "waiting"}
    assert await harness.worker("crm").work() == 0
    await harness.worker("cdr").work()
    assert NUMBER.value in {each.value for each in calls.asked[0].identities}
    assert await harness.worker("crm").work() == 1
    [done] = harness.completed
    assert [f"{report.system}:{report.operation}" for report in done.reports] == [
        "crm:locate",
        "cdr:erase",
        "crm:erase",
    ]
    assert done.outcome is Outcome.FULFILLED
    assert await harness.fulfilment_state(request) == "complete"


async def test_two_workers_that_conclude_the_last_two_tasks_at_once_complete_it_once(open_harness: OpenHarness) -> None:
    systems = [ScriptedSystem(name) for name in ("a", "b", "c", "d")]
    ready, barrier = asyncio.Event(), Counter[str]()

    async def together(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        barrier["here"] += 1
        if barrier["here"] == len(systems):
            ready.set()
        await ready.wait()
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    for system in systems:
        system.answers[Operation.ERASE] = together
    harness = await open_harness(*systems)
    requests = {await begun(harness) for _ in range(10)}
    await asyncio.gather(*(harness.worker(system.system).work() for system in systems))
    assert len(harness.completed) == len(requests)
    assert {done.request_id for done in harness.completed} == requests
    assert {len(done.reports) for done in harness.completed} == {len(systems)}
    assert await harness.pool.fetchval("SELECT count(*) FROM fulfilment WHERE state = 'complete'") == 10


async def test_a_fulfilment_is_complete_with_its_last_task_and_tells_of_them_all(open_harness: OpenHarness) -> None:
    names = ("a", "b", "c")
    harness = await open_harness(*map(ScriptedSystem, names))
    request = await begun(harness)
    for name in names:
        assert harness.completed == []
        assert await harness.worker(name).work() == 1
    [done] = harness.completed
    assert (done.request_id, [report.system for report in done.reports]) == (request, [*names])


async def test_a_failed_task_blocks_until_a_person_wants_it_tried_again(open_harness: OpenHarness) -> None:
    good, bad = ScriptedSystem("good"), ScriptedSystem("bad")

    bad.answers[Operation.ERASE] = each(lambda _: ResidueFound("two rows"))
    harness = await open_harness(good, bad)
    request = await begun(harness)
    await harness.worker("bad").work()
    assert await harness.fulfilment_state(request) == "open"
    await harness.worker("good").work()
    assert await harness.fulfilment_state(request) == "blocked"
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    del bad.answers[Operation.ERASE]
    await harness.retry(request)
    assert await harness.states(request) == {"good:erase": "done", "bad:erase": "ready"}
    await harness.worker("bad").work()
    assert await harness.fulfilment_state(request) == "complete"
    assert len(good.asked) == 1
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1", "dsr.fulfilment.completed.v1"]


async def test_a_retry_that_fails_again_blocks_again(open_harness: OpenHarness) -> None:
    bad = ScriptedSystem("bad")

    bad.answers[Operation.ERASE] = each(lambda _: ResidueFound("two rows"))
    harness = await open_harness(bad)
    request = await begun(harness)
    for _ in range(2):
        await harness.worker("bad").work()
        await harness.retry(request)
    await harness.worker("bad").work()
    assert await harness.fulfilment_state(request) == "blocked"
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"] * 3


async def test_a_failure_in_an_early_stage_keeps_the_later_ones_from_beginning(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()

    party.answers[Operation.LOCATE] = each(lambda _: ResidueFound(""))
    harness = await open_harness(party, calls)
    request = await begun(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    assert await harness.states(request) == {"crm:locate": "failed", "cdr:erase": "waiting", "crm:erase": "waiting"}
    assert await harness.fulfilment_state(request) == "blocked"


async def test_a_withdrawn_request_begins_nothing_more(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    await harness.withdraw(request)
    assert set((await harness.states(request)).values()) == {"cancelled"}
    assert await harness.worker("crm", Operation.LOCATE).work() == 0
    assert party.asked == []
    assert await harness.actions(request) == ["fulfilment.opened", "fulfilment.cancelled"]
    assert await harness.outbox() == []


async def test_a_task_in_hand_when_the_request_is_withdrawn_is_not_followed_by_another(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)

    async def withdraw_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return [Unavailable("busy") for _ in asked]

    party.answers[Operation.LOCATE] = withdraw_meanwhile
    locating = harness.worker("crm", Operation.LOCATE)
    await locating.work()
    clock.pass_by(minutes=1)
    assert await locating.work() == 0
    assert len(party.asked) == 1
    assert set((await harness.states(request)).values()) == {"cancelled"}
    assert harness.completed == []


@pytest.mark.parametrize("notes", [True, False])
async def test_a_task_in_hand_takes_no_further_step_once_its_request_is_withdrawn_and_the_others_go_on(
    open_harness: OpenHarness, *, notes: bool
) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    requests = [await begun(harness) for _ in range(3)]
    steps: list[tuple[int, int]] = []

    async def in_steps(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        for step in range(3):
            await save_progress({task.task_id: {"step": step} if notes else {} for task in asked})
            steps.append((len(asked), step))
            if len(asked) == 3:
                await harness.withdraw(requests[1])
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    system.answers[Operation.ERASE] = in_steps
    await harness.worker("crm").work()
    assert steps == [(3, 0), *[(1, step) for step in range(3)] * 2]
    assert [await harness.states(request) for request in requests] == [
        {"crm:erase": "done"},
        {"crm:erase": "cancelled"},
        {"crm:erase": "done"},
    ]
    assert {done.request_id for done in harness.completed} == {requests[0], requests[2]}
    concluded = "SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = 'task.concluded'"
    assert '"failure":"withdrawn"' in await harness.pool.fetchval(concluded, requests[1])


async def test_a_task_that_was_done_although_the_request_was_withdrawn_completes_nothing(
    open_harness: OpenHarness,
) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    request = await begun(harness)

    async def withdraw_meanwhile(asked: Sequence[Task], _save_progress: Checkpoint) -> Sequence[Result]:
        await harness.withdraw(request)
        return [Receipt(task.task_id, TaskOutcome.ERASED, 1, 1) for task in asked]

    system.answers[Operation.ERASE] = withdraw_meanwhile
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "cancelled"
    assert (harness.completed, await harness.outbox()) == ([], ["dsr.fulfilment.reported.v1"]), "what was done is told"
    assert await harness.actions(request) == ["fulfilment.opened", "fulfilment.cancelled", "task.concluded"]


async def test_withdrawals_and_conclusions_at_once_never_wait_for_one_another_in_a_circle(
    open_harness: OpenHarness,
) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    requests = [await begun(harness) for _ in range(60)]

    async def withdraw(some: Sequence[UUID]) -> None:
        for request in some:
            await harness.withdraw(request)

    async def locate() -> None:
        while await harness.worker("crm", Operation.LOCATE, batch=5).work():
            pass

    async with asyncio.timeout(30):
        await asyncio.gather(withdraw(requests[::2]), locate(), locate())
    loose = await harness.pool.fetchval(
        "SELECT count(*) FROM task JOIN fulfilment f USING (fulfilment_id)"
        " WHERE f.state = 'cancelled' AND task.state IN ('ready', 'leased', 'waiting')"
    )
    assert loose == 0
    ready = await harness.pool.fetch("SELECT DISTINCT stage FROM task WHERE state = 'ready'")
    assert [row[0] for row in ready] == [1]


async def test_a_fulfilment_ends_with_the_stages_that_it_was_opened_with(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    before = await open_harness(party, calls)
    await before.register(NUMBER)
    request = await begun(before)
    after = await open_harness(party)  # the configuration has lost a system
    await after.worker("crm", Operation.LOCATE).work()
    assert await after.fulfilment_state(request) == "open"
    await before.worker("cdr").work()
    await after.worker("crm").work()
    assert await after.fulfilment_state(request) == "complete"


async def test_a_request_that_no_system_can_fulfil_is_refused_by_name(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    with pytest.raises(Misconfigured, match="no downstream system can erase"):
        await begun(harness)
    assert await harness.pool.fetchval("SELECT count(*) FROM fulfilment") == 0


async def test_the_same_task_is_never_in_two_hands(open_harness: OpenHarness) -> None:
    system = ScriptedSystem("crm")
    harness = await open_harness(system)
    new_fulfilments = [await harness.new_fulfilment() for _ in range(200)]
    await harness.open(*new_fulfilments)
    counts = await asyncio.gather(*(harness.worker("crm", batch=50).work() for _ in range(6)))
    assert sum(counts) == len(system.asked) == 200
    assert len({task.task_id for task in system.asked}) == 200
