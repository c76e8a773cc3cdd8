"""The nightly reconciliation: missing restrictions are restored and counted, without a notice."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from services.amendment import handlers as amendment
from services.amendment import reconciliation
from shared.domain.errors import DataStillPresent
from shared.domain.events import LiftDecided, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.systems.contract import Receipt
from shared.systems.protocols import MarketingList
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.freezing import Freezing
from tests.fixtures.live import eventually
from tests.fixtures.roundup import Ticketing
from tests.fixtures.tryton import Crm

CRM = "crm"
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org")
VERB: Mapping[Right, Operation] = {Right.RESTRICTION: Operation.RESTRICT, Right.OBJECTION: Operation.SUPPRESS}
SCOPE = {Right.RESTRICTION: "accuracy_contested", Right.OBJECTION: "direct_marketing"}


async def in_force(open_harness: OpenHarness, crm: ScriptedSystem, right: Right) -> tuple[Harness, RequestVerified]:
    """A right that was honoured by a first task, as every night finds it."""
    harness = await open_harness(crm, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys(Operation, partial(amendment.finish, harness.fulfilments))
    event = a(RequestVerified, right=right, subject=await harness.subject(EMAIL), scope=SCOPE[right], due_on=DUE)
    async with harness.unit_of_work.begin() as tx:
        await amendment.begin(harness.fulfilments, [event], tx)
    assert await harness.worker(CRM, VERB[right]).work() == 1
    return harness, event


async def a_night(harness: Harness, clock: SetClock, *operations: Operation) -> Sequence[int]:
    """Lets the night come; how many tasks there were of each operation."""
    clock.pass_by(days=1)
    for _ in range(2):  # two instances, one after the other
        await reconciliation.look_at_all(harness.unit_of_work, harness.fulfilments)
    return [await harness.worker(CRM, operation).work() for operation in operations]


@pytest.mark.parametrize("right", VERB)
async def test_nightly_look_restores_what_is_missing(open_harness: OpenHarness, clock: SetClock, right: Right) -> None:
    crm, operation = ScriptedSystem(CRM), VERB[right]
    harness, event = await in_force(open_harness, crm, right)
    said, actions = await harness.outbox(), await harness.actions(event.request_id)

    crm.answers[operation] = each(lambda task: Receipt(task.task_id, TaskOutcome.NO_MATCH))
    assert await a_night(harness, clock, operation) == [1]
    assert await harness.actions(event.request_id) == actions

    labels = {"service": "amendment", "system": CRM, "operation": operation.value, "kind": "repaired"}
    before = REGISTRY.get_sample_value("dsr_task_rows_total", labels) or 0
    crm.answers[operation] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 2, 2))
    assert await a_night(harness, clock, operation) == [1]
    assert [task.repair for task in crm.asked] == [False, True, True]
    assert (await harness.actions(event.request_id))[len(actions) :] == ["task.concluded", f"{right}.repaired"]
    assert REGISTRY.get_sample_value("dsr_task_rows_total", labels) == before + 2
    assert await harness.outbox() == said
    assert await harness.pool.fetchval("SELECT count(*) FROM fulfilment") == 2  # the last night's and the request's own


async def test_subject_without_stored_identities_is_not_searched(open_harness: OpenHarness, clock: SetClock) -> None:
    harness, event = await in_force(open_harness, ScriptedSystem(CRM), Right.OBJECTION)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [event.subject], tx.now)
    assert await a_night(harness, clock, Operation.SUPPRESS) == [0]


async def test_lift_cancels_repairs_and_ends_later_ones(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem(CRM)
    harness, event = await in_force(open_harness, crm, Right.RESTRICTION)
    assert await a_night(harness, clock) == []
    async with harness.unit_of_work.begin() as tx:
        await amendment.lift(harness.fulfilments, [a(LiftDecided, about=event, due_on=DUE)], tx)
    assert await harness.worker(CRM, Operation.RESTRICT).work() == 0
    assert await a_night(harness, clock, Operation.RESTRICT, Operation.LIFT) == [0, 1]
    # What bears the mark of a lifted request is looked for as long as a backup may bring it back.
    assert await a_night(harness, clock, Operation.RESTRICT, Operation.LIFT) == [0, 1]
    assert [(task.operation, task.removes_marked_only) for task in crm.asked] == [
        ("restrict", False),
        ("lift", False),
        ("lift", True),
    ]
    assert crm.asked[-1].identities == ()
    clock.pass_by(days=40)
    assert await a_night(harness, clock, Operation.RESTRICT, Operation.LIFT) == [0, 0]


async def test_refused_repair_blocks_no_request_and_is_retried(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem(CRM)
    harness, event = await in_force(open_harness, crm, Right.RESTRICTION)
    said = await harness.outbox()
    crm.answers[Operation.RESTRICT] = each(lambda _: DataStillPresent("no"))
    assert await a_night(harness, clock, Operation.RESTRICT) == [1]
    assert await harness.outbox() == said
    del crm.answers[Operation.RESTRICT]
    assert await a_night(harness, clock, Operation.RESTRICT) == [1]
    assert event.request_id in {task.request_id for task in crm.asked}
    assert len(crm.asked) == 3


async def test_night_of_a_frozen_process_is_taken_over_once(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = ScriptedSystem(CRM)
    harness, event = await in_force(open_harness, crm, Right.RESTRICTION)
    clock.pass_by(days=1)
    freezing = Freezing(harness.unit_of_work)

    async def looked() -> int:
        await reconciliation.look_at_all(harness.unit_of_work, harness.fulfilments)
        return await harness.worker(CRM, Operation.RESTRICT).work()

    async with freezing.asleep(reconciliation.look_at_all(freezing, harness.fulfilments)):
        await eventually(looked)
    assert [(task.request_id, task.repair) for task in crm.asked] == [
        (event.request_id, False),
        (event.request_id, True),
    ]
    assert await looked() == 0


async def marketed(system: WorkedSystem) -> set[str]:
    """Returns the identities of the people to whom the system would send marketing."""
    assert isinstance(system.adapter, MarketingList)
    return {each.value async for page in system.adapter.would_get_marketing() for known in page for each in known}


async def test_sql_store_lists_marketing_in_one_spelling(customer_store: CustomerStore, customers: SqlEngine) -> None:
    await customer_store.run("UPDATE customer SET phone = '+34 688 886 392' WHERE account_id = 'C1'")
    known = await marketed(customers)
    assert known == {"C1", "C2", "C3", *("anna.meier@example.org", "a.meier@example.net", "boris@example.org")} | {
        *("+34688886392", "+491712345678")
    }
    await customers.run(task(Operation.SUPPRESS, email("anna.meier@example.org")))
    assert known - await marketed(customers) == {"C1", "anna.meier@example.org", "+34688886392"}


async def test_a_crm_tells_whom_it_would_send_marketing(crm: Crm) -> None:
    [customer] = await crm.add_many(1)
    address = customer.emails[0].lower()
    assert address in await marketed(crm)
    await crm.one(task(Operation.SUPPRESS, email(address)))
    assert address not in await marketed(crm)


async def test_a_tracker_tells_whom_it_would_send_marketing(ticketing: Ticketing) -> None:
    address = f"reader.{uuid4().hex}@example.org"
    ticketing.person("Rita Reader", address)
    assert address in await marketed(ticketing)
    await ticketing.one(task(Operation.SUPPRESS, email(address)))
    assert address not in await marketed(ticketing)
