"""Late work stops: a withdrawal during a batch, or a write by a worker that slept."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import JsonValue

from shared.domain.errors import Unavailable, Withdrawn
from shared.domain.operations import Operation, TaskOutcome
from shared.fulfilment.queue import LeaseLost
from shared.systems.contract import Result, Task
from shared.systems.engine import stepwise
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.roundup import Customer, Line, Ticketing, route
from tests.fixtures.tryton import Crm, OnTheWay

RENAMED = [("name", None, "Ada Feldspat")]


@pytest.fixture(autouse=True)
def _asks_before_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepwise, "WITHDRAWAL_CHECK_SECONDS", 0.0)


def outcomes(results: Sequence[Result]) -> list[TaskOutcome | None]:
    """Returns each outcome; None for withdrawn requests."""
    return [None if isinstance(result, Withdrawn) else receipt(result).outcome for result in results]


async def test_of_customers_in_hand_no_further_one_is_erased_from_the_crm(crm: Crm) -> None:
    customers = await crm.add_many(5)
    tasks = [task(Operation.ERASE, email(customer.emails[0])) for customer in customers]
    erased = 0

    async def withdraws_at_the_second(_: Any) -> None:
        nonlocal erased
        erased += 1
        if erased == 2:
            crm.withdrawn.update(each.task_id for each in tasks[2:])

    slow = crm.over(OnTheWay("wizard.party.erase.execute", withdraws_at_the_second), concurrency=1)
    results = await slow.run(*tasks)
    assert outcomes(results) == [TaskOutcome.ERASED] * 2 + [None] * 3
    assert erased == 2
    rows = await crm.sql("SELECT name FROM party_party WHERE active AND code = ANY($1)", [c.code for c in customers])
    assert {row["name"] for row in rows} == {customer.name for customer in customers[2:]}


async def test_customer_with_another_request_is_erased_and_half_erasure_completed(crm: Crm) -> None:
    shared, half = await crm.add_many(2)
    one, other = (task(Operation.ERASE, email(shared.emails[0])) for _ in range(2))
    begun = task(Operation.ERASE, email(half.emails[0]))

    async def dies(_: Any) -> httpx.Response:
        return httpx.Response(503)

    with pytest.raises(Unavailable):
        await crm.over(OnTheWay("model.party.contact_mechanism.delete", dies)).run(begun)

    async def withdraws(_: Any) -> None:
        crm.withdrawn.update({one.task_id, begun.task_id})

    results = await crm.over(OnTheWay("wizard.party.erase.create", withdraws)).run(one, other, crm.again(begun))
    assert outcomes(results) == [TaskOutcome.ERASED] * 3


@pytest.mark.parametrize(("operation", "changed"), [(Operation.RECTIFY, 1), (Operation.RESTRICT, 0)])
async def test_withdrawal_stops_further_changes_in_the_crm(crm: Crm, operation: Operation, changed: int) -> None:
    customers = await crm.add_many(3)
    changes = RENAMED if operation is Operation.RECTIFY else ()
    tasks = [task(operation, email(customer.emails[0]), changes=changes) for customer in customers]
    writes = 0

    async def counts(_: Any) -> None:
        nonlocal writes
        writes += 1
        crm.withdrawn.update(each.task_id for each in tasks[changed:])

    slow = crm.over(OnTheWay("model.party.party.write", counts), concurrency=1)
    if changed:
        assert outcomes(await slow.run(*tasks)) == [TaskOutcome.AMENDED, None, None]
    else:
        crm.withdrawn.update(each.task_id for each in tasks)
        assert outcomes(await slow.run(*tasks)) == [None, None, None]
    assert writes == changed


class Withdrawing(Line):
    """A line over which the withdrawal of those tasks comes in the middle of the n-th change; counts the changes."""

    def __init__(self, ticketing: Ticketing, tasks: Sequence[Task], nth: int) -> None:
        super().__init__(self._seen)
        self.changes = 0
        self._ticketing, self._tasks, self._nth = ticketing, tasks, nth

    def _seen(self, request: httpx.Request) -> None:
        if route(request) in {"overwrite", "PATCH"}:
            self.changes += 1
            if self.changes == self._nth:
                self._ticketing.withdrawn.update(each.task_id for each in self._tasks)


async def test_withdrawal_stops_tracker_writes(ticketing: Ticketing) -> None:
    customers = [Customer(ticketing) for _ in range(2)]
    tasks = [customer.erasure() for customer in customers]
    line = Withdrawing(ticketing, tasks[1:], nth=1)
    results = await ticketing.over(line, parallel=1).run(*tasks)
    assert outcomes(results) == [TaskOutcome.ERASED, None]
    assert line.changes == 2
    assert ticketing.get("user", customers[1].user)["realname"] == customers[1].name


async def test_of_users_in_hand_no_further_one_is_changed_in_the_tracker(ticketing: Ticketing) -> None:
    customers = [Customer(ticketing) for _ in range(3)]
    tasks = [task(Operation.SUPPRESS, email(customer.address)) for customer in customers]
    line = Withdrawing(ticketing, tasks[1:], nth=1)
    assert outcomes(await ticketing.over(line, parallel=1).run(*tasks)) == [TaskOutcome.AMENDED, None, None]
    assert line.changes == 1


@pytest.mark.parametrize(
    ("operation", "changes", "changed"),
    [
        (Operation.RECTIFY, [("street", None, "Elm 1")], "street = 'Elm 1'"),
        (Operation.RESTRICT, (), "restricted"),
        (Operation.SUPPRESS, (), "NOT marketing"),
    ],
)
async def test_no_further_change_is_begun_in_a_sql_store(
    customer_store: CustomerStore,
    customers: SqlEngine,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    changes: Sequence[tuple[str, None, str]],
    changed: str,
) -> None:
    await customer_store.run("DELETE FROM contact")  # it cannot show a restriction
    people = ("anna.meier@example.org", "boris@example.org", "a.meier@example.net")
    tasks = [task(operation, email(each), changes=changes) for each in people]
    asks, ask = 0, customers.save_progress

    async def withdraws_the_second_with_the_first(progress: Mapping[UUID, Any]) -> None:
        nonlocal asks
        asks += len(progress) == 1
        await ask(progress)
        if list(progress) == [tasks[0].task_id]:
            customers.withdrawn.add(tasks[1].task_id)

    monkeypatch.setattr(customers, "save_progress", withdraws_the_second_with_the_first)
    assert outcomes(await customers.run(*tasks)) == [TaskOutcome.AMENDED, None, TaskOutcome.AMENDED]
    assert asks == 3
    assert await customer_store.ask(f"SELECT account_id FROM customer WHERE {changed} ORDER BY 1") == [("C1",), ("C2",)]


# A write of a worker that slept, or of its connection, reaches a system without transactions when all is over.


def heir_of(sleeper: Task) -> Task:
    return replace(sleeper, attempt=sleeper.attempt + 1)


def lift_of(restriction: Task) -> Task:
    return replace(restriction, task_id=uuid4(), operation=Operation.LIFT)


async def lost(_: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """Raises what a worker gets that checks its tasks after others have taken them."""
    raise LeaseLost("others have it")


def delayed(crm: Crm, method: str, meanwhile: Callable[[], Awaitable[Any]]) -> Crm:
    """The CRM over a connection on which the first such call is delayed while something else is done."""
    first = asyncio.Event()

    async def happens(_: Any) -> httpx.Response | None:
        if not first.is_set():
            first.set()
            await meanwhile()
        return None

    return crm.over(OnTheWay(method, happens))


async def test_the_crm_takes_no_flag_that_was_on_its_way_while_the_restriction_was_lifted(crm: Crm) -> None:
    customer = await crm.add()
    sleeper = task(Operation.RESTRICT, email(customer.emails[0]))

    async def restrict_and_lift() -> None:
        await crm.receipt(heir_of(sleeper))
        await crm.receipt(lift_of(sleeper))

    late = await delayed(crm, "model.party.party.write", restrict_and_lift).one(sleeper)
    assert isinstance(late, Unavailable)
    assert "the customer was changed" in str(late)
    assert await crm.seen_by_agent(customer) == (1, 1, 1)


@pytest.mark.parametrize(
    ("field", "call", "table", "column", "old"),
    [
        ("address.street", "model.party.party.write", "party_address", "street_unstructured", "street"),
        ("name", "model.party.party.write", "party_party", "name", "name"),
    ],
)
async def test_the_crm_takes_no_correction_that_was_on_its_way_while_a_later_request_corrected_the_same(
    crm: Crm, field: str, call: str, table: str, column: str, old: str
) -> None:
    customer = await crm.add()
    sleeper = task(Operation.RECTIFY, email(customer.emails[0]), changes=[(field, getattr(customer, old), "Elm 1")])
    later = task(Operation.RECTIFY, email(customer.emails[0]), changes=[(field, "Elm 1", "Elm 2")])

    async def correct_twice() -> None:
        await crm.receipt(heir_of(sleeper))
        await crm.receipt(later)

    late = await delayed(crm, call, correct_twice).one(sleeper)
    assert isinstance(late, Unavailable)
    key = "id" if table == "party_party" else "party"
    shown = f"SELECT {column} FROM {table} WHERE {key} = $1"
    assert [row[0] for row in await crm.sql(shown, await crm.party(customer))] == ["Elm 2"]


async def test_the_crm_gets_no_second_row_by_a_correction_that_was_on_its_way(crm: Crm) -> None:
    customer = await crm.add(phones=())
    sleeper = task(Operation.RECTIFY, email(customer.emails[0]), changes=[("phone", None, "+4915119999999")])

    async def correct() -> None:
        await crm.receipt(heir_of(sleeper))

    assert isinstance(await delayed(crm, "model.party.party.write", correct).one(sleeper), Unavailable)
    shown = "SELECT type FROM party_contact_mechanism WHERE party = $1 AND type = 'phone'"
    assert len(await crm.sql(shown, await crm.party(customer))) == 1


@pytest.mark.parametrize("operation", [Operation.RESTRICT, Operation.RECTIFY])
async def test_worker_that_wakes_before_its_write_changes_nothing(crm: Crm, operation: Operation) -> None:
    customer = await crm.add()
    changes = [("name", None, "Elm")] if operation is Operation.RECTIFY else []
    sleeper = task(operation, email(customer.emails[0]), changes=changes)
    before = await crm.sql("SELECT name, restricted FROM party_party WHERE code = $1", customer.code)
    with pytest.raises(LeaseLost):
        await crm.adapter.amend([sleeper], lost)  # type: ignore[attr-defined]
    assert await crm.sql("SELECT name, restricted FROM party_party WHERE code = $1", customer.code) == before


@pytest.mark.parametrize(
    ("asked", "field", "heirs", "stays"),
    [
        (task(Operation.RESTRICT), "restricted", (True, False), False),
        (task(Operation.RECTIFY, changes=[("name", None, "Elm 1")]), "realname", ("Elm 1", "Elm 2"), "Elm 2"),
    ],
)
async def test_the_tracker_takes_nothing_that_was_on_its_way_while_others_changed_the_same(
    ticketing: Ticketing, asked: Task, field: str, heirs: tuple[object, object], stays: object
) -> None:
    address = f"late.{asked.task_id.hex}@example.org"
    person = ticketing.person("Ines Late", address)
    looks: list[int] = []

    def meanwhile(request: httpx.Request) -> None:
        if request.method == "PATCH" and len(looks) == 1:
            for value in heirs:
                ticketing.change("user", person, **{field: value})

    async def look(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        if not any(progress.values()):
            looks.append(1)
        if len(looks) > 1:
            raise LeaseLost("others have it")

    sleeping = ticketing.over(Line(meanwhile))
    with pytest.raises(LeaseLost):
        await sleeping.adapter.amend([replace(asked, identities=(email(address),))], look)  # type: ignore[attr-defined]
    assert looks == [1, 1]
    assert (ticketing.get("user", person).get(field) or False) == stays
