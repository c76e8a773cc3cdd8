"""Work follows its request: what is open moves to the new due date and is worked in the new order."""

import asyncio
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import Refused
from shared.domain.events import RequestExtended, RequestRedated
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment import queue as tasks
from shared.fulfilment.store import hold
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.worker_harness import claimed, opened

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
SOONER, LATER = DUE - timedelta(days=9), DUE + timedelta(days=61)


def extended(request_id: UUID) -> RequestExtended:
    return a(RequestExtended, about=request_id, right=Right.ERASURE, due_on=LATER)


def redated(request_id: UUID) -> RequestRedated:
    return a(RequestRedated, about=request_id, right=Right.ERASURE, due_on=SOONER)


async def hear(harness: Harness, *events: RequestExtended | RequestRedated) -> None:
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.reschedule(events, tx)


async def days(harness: Harness, request_id: UUID) -> dict[str, date]:
    rows = await harness.pool.fetch(
        "SELECT t.state, t.due_on FROM task t JOIN fulfilment f USING (fulfilment_id) WHERE f.request_id = $1"
        " UNION ALL SELECT 'fulfilment', due_on FROM fulfilment WHERE request_id = $1",
        request_id,
    )
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("service", [ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT])
async def test_what_has_become_due_sooner_is_worked_first_and_what_was_extended_last(
    open_harness: OpenHarness, clock: SetClock, service: ServiceName
) -> None:
    harness = await open_harness(ScriptedSystem("crm"), service=service)
    first, second, third = await opened(harness, 3)
    await hear(harness, extended(first), redated(third))
    claims = await claimed(harness, clock)
    assert [(claim.request_id, claim.due_on) for claim in claims] == [(third, SOONER), (second, DUE), (first, LATER)]
    assert await harness.actions(first) == ["fulfilment.opened", "fulfilment.rescheduled"]
    assert await harness.actions(second) == ["fulfilment.opened"]


async def test_the_last_of_several_new_dates_of_a_request_counts(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    await hear(harness, extended(request), redated(request))
    assert await days(harness, request) == {"ready": SOONER, "fulfilment": SOONER}


async def test_stages_to_come_move_too_and_what_is_done_keeps_its_date(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.PHONE}))
    harness = await open_harness(crm, ScriptedSystem("cdr", needs=frozenset({IdentityType.PHONE})))
    [request] = await opened(harness)
    await harness.worker("crm", Operation.LOCATE).work()
    await hear(harness, redated(request))
    assert await days(harness, request) == {"done": DUE, "ready": SOONER, "waiting": SOONER, "fulfilment": SOONER}


async def test_a_task_in_hand_moves_and_is_still_concluded_by_whoever_has_it(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    [claim] = await claimed(harness, clock)
    await hear(harness, redated(request))
    assert await days(harness, request) == {"leased": SOONER, "fulfilment": SOONER}
    conclusion = tasks.Conclusion(claim, tasks.TaskState.READY, None, "unavailable", clock.now())
    async with harness.pool.acquire() as connection:
        assert await tasks.conclude(connection, [conclusion], clock.now()) == {claim.task_id}
    assert [claim.due_on for claim in await claimed(harness, clock)] == [SOONER]


async def test_a_new_date_and_a_conclusion_of_one_request_do_not_wait_for_one_another(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    [claim] = await claimed(harness, clock)
    conclusion = tasks.Conclusion(claim, tasks.TaskState.FAILED, None, "refused", clock.now())
    async with harness.unit_of_work.begin() as tx:
        await hold(tx, {claim.fulfilment_id})
        moving = asyncio.create_task(hear(harness, redated(request)))
        await eventually(partial(tx.connection.fetchval, WAITS))
        assert await tasks.conclude(tx.connection, [conclusion], clock.now()) == {claim.task_id}
    await moving
    assert await days(harness, request) == {"failed": SOONER, "fulfilment": SOONER}


async def test_a_failed_task_is_tried_again_by_its_new_date(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem("crm")
    crm.answers[Operation.ERASE] = each(lambda _: Refused("an invoice is unpaid"))
    harness = await open_harness(crm)
    [request] = await opened(harness)
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request) == "blocked"
    await hear(harness, redated(request))
    await harness.retry(request)
    assert [claim.due_on for claim in await claimed(harness, clock)] == [SOONER]


async def test_what_was_withdrawn_or_is_not_known_here_is_left_alone(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"))
    [request] = await opened(harness)
    await harness.withdraw(request)
    await hear(harness, redated(request), redated(uuid7()))
    assert await days(harness, request) == {"cancelled": DUE, "fulfilment": DUE}
