"""A store recognises a late worker by its fencing token."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from shared.domain.errors import Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, Unsearched
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment.store import NewFulfilment
from shared.systems.contract import Checkpoint, NotSearched, Result, Task
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.worker_harness import opened

CRM, TICKETING = "crm", "ticketing"
RESTRICTED = "SELECT account_id FROM customer WHERE restricted"
SLEEPERS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"


async def in_amendment(
    open_harness: OpenHarness, *systems: ScriptedSystem, identities: Sequence[Identity] = ()
) -> tuple[Harness, NewFulfilment]:
    """The amendment service, and a restriction that was opened in it."""
    harness = await open_harness(*systems, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys(Operation, partial(amendment.finish, harness.fulfilments))
    restriction = NewFulfilment(uuid7(), await harness.subject(*identities), Right.RESTRICTION, Operation.RESTRICT, DUE)
    await harness.open(restriction)
    return harness, restriction


def lift_of(restriction: NewFulfilment) -> NewFulfilment:
    return replace(restriction, operation=Operation.LIFT)


async def test_lift_outranks_each_attempt_despite_clock_skew(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem(CRM)
    crm.answers[Operation.RESTRICT] = each(lambda _: Unavailable("busy"))
    harness, restriction = await in_amendment(open_harness, crm)
    restricting = harness.worker(CRM, Operation.RESTRICT)
    for _ in range(3):
        assert await restricting.work() == 1
        clock.pass_by(seconds=8)
    clock.pass_by(days=-1)
    await harness.open(lift_of(restriction))
    assert await harness.worker(CRM, Operation.LIFT).work() == 1
    tokens = [task.fencing_token for task in crm.asked]
    assert tokens == sorted(set(tokens))
    assert [task.attempt for task in crm.asked] == [1, 2, 3, 1]


async def test_new_operation_outranks_every_earlier_attempt(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem(CRM)
    crm.answers[Operation.ERASE] = each(lambda _: Unavailable("busy"))
    harness = await open_harness(crm)
    [request] = await opened(harness)
    worker = harness.worker(CRM)
    await worker.work()
    crm.answers[Operation.ERASE] = each(lambda task: NotSearched(task.task_id, Unsearched.NOTHING_TO_SEARCH_BY))
    clock.pass_by(seconds=8)
    await worker.work()
    await harness.retry(request)
    del crm.answers[Operation.ERASE]
    await worker.work()
    tokens = [task.fencing_token for task in crm.asked]
    assert tokens == sorted(set(tokens))
    assert [task.attempt for task in crm.asked] == [1, 2, 1]


async def test_a_store_is_not_restricted_again_by_a_worker_that_slept_through_the_lift(
    open_harness: OpenHarness, customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    asleep, woken = asyncio.Event(), asyncio.Event()
    crm = ScriptedSystem(CRM)

    async def sleep(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        async def fall_asleep(noted: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
            """Between the last look at our own database and the change, in a transaction of the store."""
            await save_progress(noted)
            asleep.set()
            await woken.wait()

        crm.answers[Operation.RESTRICT] = customers.adapter.amend
        return await customers.adapter.amend(asked, fall_asleep)

    crm.answers = {Operation.RESTRICT: sleep, Operation.LIFT: customers.adapter.amend}
    harness, restriction = await in_amendment(
        open_harness, crm, identities=[Identity(IdentityType.EMAIL, "anna.meier@example.org")]
    )
    lease = await harness.new_lease()
    sleeper = asyncio.create_task(harness.worker(CRM, Operation.RESTRICT, lease=lease).work())
    await asleep.wait()
    await harness.silence(lease)
    assert await harness.reap() == {(CRM, Operation.RESTRICT): 1}
    while await customer_store.ask(SLEEPERS):  # noqa: ASYNC110  # the store ends it after 4 s
        await asyncio.sleep(0.1)
    assert await harness.worker(CRM, Operation.RESTRICT).work() == 1
    assert await customer_store.ask(RESTRICTED) == [("C1",)]
    await harness.open(lift_of(restriction))
    assert await harness.worker(CRM, Operation.LIFT).work() == 1
    woken.set()
    assert await sleeper == 1
    assert await customer_store.ask(RESTRICTED) == []
    assert await harness.states(restriction.request_id) == {"crm:restrict": "done", "crm:lift": "done"}
