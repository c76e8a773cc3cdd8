"""Erasures of a key that is braked: they stop before their next step, and go on where they stopped."""

from collections.abc import Sequence
from uuid import UUID

from shared.domain.events import RequestHeld
from shared.domain.operations import Operation
from shared.domain.rights import Outcome
from shared.downstreams.contract import Checkpoint, Result, Task
from shared.fulfilment import handlers
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.events import a
from tests.integration.test_fulfilment import NUMBER, begun, cdr, crm


async def hold(harness: Harness, request: UUID) -> None:
    async with harness.unit_of_work.begin() as tx:
        await handlers.hold(harness.fulfilments, [a(RequestHeld, about=str(request))], tx)


async def test_what_is_held_stops_before_its_next_stage_and_a_retry_goes_on_with_it(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    await hold(harness, request)
    assert await harness.states(request) == {"crm:locate": "failed", "cdr:erase": "waiting", "crm:erase": "waiting"}
    assert await harness.fulfilment_state(request) == "blocked"
    assert await harness.worker("crm", Operation.LOCATE).work() == 0
    await harness.retry(request)
    for worker in (harness.worker("crm", Operation.LOCATE), harness.worker("cdr"), harness.worker("crm")):
        assert await worker.work() == 1
    assert [done.outcome for done in harness.completed] == [Outcome.FULFILLED]


async def test_what_a_worker_has_in_hand_ends_and_nothing_follows_it_until_a_retry(open_harness: OpenHarness) -> None:
    party, calls = crm(), cdr()
    harness = await open_harness(party, calls)
    await harness.register(NUMBER)
    request = await begun(harness)
    found = party.answers[Operation.LOCATE]

    async def held_meanwhile(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        await hold(harness, request)
        return await found(asked, save_progress)

    party.answers[Operation.LOCATE] = held_meanwhile
    await harness.worker("crm", Operation.LOCATE).work()
    assert await harness.states(request) == {"crm:locate": "done", "cdr:erase": "waiting", "crm:erase": "waiting"}
    assert await harness.fulfilment_state(request) == "blocked"
    await harness.retry(request)
    assert [await harness.worker(system).work() for system in ("cdr", "crm")] == [1, 1]
    assert calls.asked
    assert [done.outcome for done in harness.completed] == [Outcome.FULFILLED]
