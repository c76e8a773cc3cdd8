"""A write of a worker that slept, or of its connection, reaches a system without transactions when all is over."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import JsonValue

from shared.domain.errors import Unavailable
from shared.domain.operations import Operation
from shared.downstreams.contract import Task
from shared.fulfilment.queue import LeaseLost
from tests.fixtures.downstream import email, task
from tests.fixtures.roundup import Line, Ticketing
from tests.fixtures.tryton import Crm, OnTheWay


def heir_of(sleeper: Task) -> Task:
    return replace(sleeper, attempt=sleeper.attempt + 1)


def lift_of(restriction: Task) -> Task:
    return replace(restriction, task_id=uuid4(), operation=Operation.LIFT)


async def lost(_: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
    """What a worker hears that looks at its tasks when others have them."""
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

    with pytest.raises(Unavailable, match="somebody else has changed"):
        await delayed(crm, "model.party.party.write", restrict_and_lift).one(sleeper)
    assert await crm.seen_by_agent(customer) == (1, 1, 1)


@pytest.mark.parametrize(
    ("field", "call", "table", "column", "old"),
    [
        ("address.street", "model.party.address.write", "party_address", "street_unstructured", "street"),
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
