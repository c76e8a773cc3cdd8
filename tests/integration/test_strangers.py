"""What a system hides or suppresses without an entry of ours is counted each night, and left alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from deploy.demo.seed.cdr import CdrStore
from services.amendment.strangers import Strangers
from shared.domain.errors import Unavailable
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.downstreams.contract import Task
from shared.downstreams.protocols import Comparable, Marketable
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from tests.fixtures.cdr import ANNA, BORIS, SqlEngine, ask, call, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.engine import OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.roundup import Ticketing
from tests.fixtures.tryton import Crm
from tests.integration.test_nightly import CRM, EMAIL, in_force

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


async def test_each_night_every_system_is_counted_once_and_one_that_is_away_has_no_number_until_it_is_back(
    open_harness: OpenHarness, clock: SetClock
) -> None:
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


async def test_a_suppression_whose_identities_the_vault_no_longer_holds_is_asked_for_without_them(
    open_harness: OpenHarness,
) -> None:
    crm = Counted(CRM)
    harness, event = await in_force(open_harness, crm, Right.OBJECTION)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [event.subject], tx.now)
    await Strangers(harness.unit_of_work, [crm.declared], Heartbeats()).look()
    assert [(each.request_id, each.identities) for each in crm.compared] == [(event.request_id, ())]


async def test_a_system_that_breaks_costs_its_own_number(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
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


async def test_a_sql_store_tells_whom_it_would_send_marketing_in_the_one_spelling(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
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
