"""The look of each night: what is in force and missing in a system is put back, counted, and told to nobody."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from deploy.demo.seed.cdr import CdrStore
from services.amendment import handlers as amendment
from services.amendment import nightly
from services.amendment.strangers import Strangers
from shared.domain.errors import ResidueFound, Unavailable
from shared.domain.events import LiftDecided, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from shared.systems.contract import Receipt, Task
from shared.systems.protocols import Comparable, Marketable
from tests.fixtures.cdr import ANNA, BORIS, SqlEngine, ask, call, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.freezing import Freezing, until
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
        await nightly.look_at_all(harness.unit_of_work, harness.fulfilments)
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
    assert [(task.operation, task.marked) for task in crm.asked] == [
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
    crm.answers[Operation.RESTRICT] = each(lambda _: ResidueFound("no"))
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
        await nightly.look_at_all(harness.unit_of_work, harness.fulfilments)
        return await harness.worker(CRM, Operation.RESTRICT).work()

    async with freezing.asleep(nightly.look_at_all(freezing, harness.fulfilments)):
        await until(looked)
    assert [(task.request_id, task.repair) for task in crm.asked] == [
        (event.request_id, False),
        (event.request_id, True),
    ]
    assert await looked() == 0


# What a system hides or suppresses without an entry of ours is counted each night, and left alone.
BOTH = (Operation.RESTRICT, Operation.SUPPRESS)


async def strangers(system: WorkedSystem, *ours: Task) -> int:
    assert isinstance(system.adapter, Comparable)
    return await system.adapter.shown(ours[0].operation) - len(set(await system.adapter.shown_of(ours)))


@pytest.mark.parametrize("operation", BOTH)
async def test_a_sql_store_tells_its_flags_from_ours_and_counts_whom_two_requests_are_about_once(
    customer_store: CustomerStore, customers: SqlEngine, operation: Operation
) -> None:
    ours = [task(operation, email("anna.meier@example.org")) for _ in range(2)]
    unknown = task(operation)
    await customers.run(*ours)
    assert await strangers(customers, *ours, unknown) == 0
    flag = "restricted = true" if operation is Operation.RESTRICT else "marketing = false"
    await customer_store.run(f"UPDATE customer SET {flag} WHERE account_id IN ('C1', 'C3')")
    before = await customer_store.ask("SELECT * FROM customer ORDER BY 1")
    assert await strangers(customers, *ours, unknown) == 1
    assert await strangers(customers, unknown) == 2
    assert await customer_store.ask("SELECT * FROM customer ORDER BY 1") == before


async def test_a_sql_store_tells_rows_of_other_requests_from_ours(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    ours = task(Operation.RESTRICT, number(ANNA))
    await calls.run(ours)
    assert await strangers(calls, ours) == 0
    theirs = "INSERT INTO restricted_number VALUES ($1, '+34600000000', '2026-01-01', NULL)"
    await ask(cdr_store.admin, theirs, uuid4())
    assert await strangers(calls, ours) == 1


@pytest.mark.parametrize("operation", BOTH)
async def test_a_crm_tells_its_flags_from_ours(crm: Crm, operation: Operation) -> None:
    customer, other = await crm.add_many(2)
    ours = task(operation, email(customer.emails[0]))
    before = await strangers(crm, ours)
    await crm.one(ours)
    assert await strangers(crm, ours) == before
    await crm.one(task(operation, email(other.emails[0])))
    assert await strangers(crm, ours) == before + 1


@pytest.mark.parametrize(
    ("operation", "flag"), [(Operation.RESTRICT, "restricted"), (Operation.SUPPRESS, "marketing_opt_out")]
)
async def test_a_tracker_tells_its_flags_from_ours(ticketing: Ticketing, operation: Operation, flag: str) -> None:
    address = f"stranger.{uuid4().hex}@example.org"
    ticketing.person("Ines Ours", address)
    ours = task(operation, email(address))
    before = await strangers(ticketing, ours)
    await ticketing.one(ours)
    assert await strangers(ticketing, ours) == before
    other = ticketing.person("Ines Other", f"{uuid4().hex}@example.org")
    ticketing.change("user", other, **{flag: True})
    assert await strangers(ticketing, ours) == before + 1


@dataclass
class Counted(ScriptedSystem):
    """A system that shows five rows, of which those of our subjects are ours."""

    away: bool = False
    compared: list[Task] = field(default_factory=list)
    forgot: int = 0

    async def shown(self, operation: Operation) -> int:
        if self.away:
            raise Unavailable("away")
        return 5 if operation is Operation.RESTRICT else 0

    async def shown_of(self, tasks: Sequence[Task]) -> Collection[str]:
        self.compared += tasks
        return {each.value for task in tasks for each in task.identities}

    async def forget(self) -> None:
        self.forgot += 1


def figure(operation: Operation) -> float | None:
    return PEOPLE.get_sample_value("dsr_in_force_of_others", {"system": CRM, "operation": operation})


async def test_nightly_counts_omit_an_unavailable_system(open_harness: OpenHarness, clock: SetClock) -> None:
    crm = Counted(CRM)
    harness, event = await in_force(open_harness, crm, Right.RESTRICTION)
    comparing = Strangers(harness.unit_of_work, [crm.declared, ScriptedSystem("other").declared], Heartbeats())
    for _ in range(2):
        await comparing.look()
    assert [(each.request_id, each.operation, each.identities) for each in crm.compared] == [
        (event.request_id, "restrict", (EMAIL,))
    ]
    labels = ({"system": CRM, "operation": operation} for operation in BOTH)
    assert [PEOPLE.get_sample_value("dsr_in_force_of_others", each) for each in labels] == [4, 0]
    assert crm.forgot == 1

    clock.pass_by(days=1)
    crm.away = True
    await comparing.look()
    assert figure(Operation.RESTRICT) is None
    crm.away = False
    await comparing.look()
    assert figure(Operation.RESTRICT) == 4
    assert crm.forgot == 2


async def test_suppression_without_stored_identities_is_checked_without_them(open_harness: OpenHarness) -> None:
    crm = Counted(CRM)
    harness, event = await in_force(open_harness, crm, Right.OBJECTION)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [event.subject], tx.now)
    await Strangers(harness.unit_of_work, [crm.declared], Heartbeats()).look()
    assert [(each.request_id, each.identities) for each in crm.compared] == [(event.request_id, ())]


async def test_failing_system_loses_its_own_count(open_harness: OpenHarness, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counted):
        async def shown(self, operation: Operation) -> int:
            raise ValueError(operation)

    harness, _ = await in_force(open_harness, Counted(CRM), Right.RESTRICTION)
    systems = [Broken("broken").declared, harness.systems[CRM].declared]
    await Strangers(harness.unit_of_work, systems, Heartbeats()).look()
    assert figure(Operation.RESTRICT) == 4
    assert "broken cannot be compared tonight" in caplog.text


async def marketed(system: WorkedSystem) -> set[str]:
    """By what those are known whom it would send marketing to."""
    assert isinstance(system.adapter, Marketable)
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
