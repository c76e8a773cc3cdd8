"""What every system that can erase must do, whatever it is reached by."""

from collections.abc import AsyncIterator, Mapping
from uuid import UUID

import pytest
from pydantic import JsonValue

from shared.domain.errors import DsrError, Withdrawn
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt
from tests.contract.adapter_stands import STANDS, Engine, Stand, erasure_of

ADA, BEN, CLEO = "ada@example.com", "ben@example.com", "cleo@example.com"


@pytest.fixture(params=STANDS)
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    async with STANDS[request.param]() as each:
        yield each


async def test_nothing_asked_is_nothing_done(stand: Stand) -> None:
    held = stand.put(ADA, 2)
    assert list(await stand.adapter.erase([], Engine(stand).save_progress)) == []
    assert stand.holds(ADA) == held


async def test_a_subject_whom_the_system_does_not_know_is_no_match(stand: Stand) -> None:
    held = stand.put(BEN, 3)
    task = erasure_of(stand, ADA)
    [result] = await Engine(stand).erase([task])
    assert isinstance(result, Receipt)
    assert (result.task_id, result.outcome) == (task.task_id, TaskOutcome.NO_MATCH)
    assert (result.found, result.changed, result.remaining) == (0, 0, 0)
    assert stand.holds(BEN) == held


async def test_what_is_found_is_erased_and_counted(stand: Stand) -> None:
    held = stand.put(ADA, 4)
    task = erasure_of(stand, ADA)
    [result] = await Engine(stand).erase([task])
    assert isinstance(result, Receipt)
    assert (result.task_id, result.outcome) == (task.task_id, TaskOutcome.ERASED)
    assert (result.found, result.changed, result.remaining) == (held, held, 0)
    assert stand.holds(ADA) == 0


async def test_a_repeat_of_a_concluded_task_gives_the_same_receipt(stand: Stand) -> None:
    stand.put(ADA, 4)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    first = await engine.erase([task])
    assert await engine.erase([task]) == first


async def test_results_come_in_the_order_of_the_tasks(stand: Stand) -> None:
    people = {CLEO: stand.put(CLEO, 3), ADA: 0, BEN: stand.put(BEN, 2)}
    tasks = [erasure_of(stand, email) for email in people]
    results = await Engine(stand).erase(tasks)
    receipts = [result for result in results if isinstance(result, Receipt)]
    assert [receipt.task_id for receipt in receipts] == [task.task_id for task in tasks]
    assert [receipt.found for receipt in receipts] == list(people.values())


async def test_a_neighbour_whose_address_contains_the_subjects_is_not_touched(stand: Stand) -> None:
    neighbours = [f"x{ADA}", f"{ADA}.au", "ada%@example.com", "ad_@example.com"]
    stand.put(ADA, 2)
    held = [stand.put(email, 2) for email in neighbours]
    await Engine(stand).erase([erasure_of(stand, ADA)])
    assert [stand.holds(email) for email in [ADA, *neighbours]] == [0, *held]


@pytest.mark.parametrize("dies_at", range(3))
async def test_a_worker_that_dies_at_any_note_leaves_a_task_that_ends_with_the_same_counts(
    stand: Stand, dies_at: int
) -> None:
    held = stand.put(ADA, 4)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    notes = iter(range(100))

    async def note_and_die(noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        await engine.save_progress(noted)
        if next(notes) == dies_at:
            raise Died

    try:
        for _ in range(4):
            await engine.once([task], note_and_die)
    except Died:
        pass
    [result] = await engine.erase([task])
    assert isinstance(result, Receipt)
    assert (result.outcome, result.found, result.changed, result.remaining) == (TaskOutcome.ERASED, held, held, 0)
    assert stand.holds(ADA) == 0


async def test_what_was_withdrawn_before_the_first_note_is_left_as_it_was(stand: Stand) -> None:
    held = stand.put(ADA, 4)

    async def withdrawn(_noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        raise Withdrawn("the request was withdrawn before this step")

    with pytest.raises(Withdrawn):
        await stand.adapter.erase([erasure_of(stand, ADA)], withdrawn)
    assert stand.holds(ADA) == held


class Died(DsrError):
    """The worker was killed."""
