"""Restricting, correcting and leaving alone a customer in a real Tryton."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from shared.domain.errors import Refused, ResidueFound, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.tryton.adapter import TrytonAdapter
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.tryton import SINCE, Crm, OnTheWay, account


async def test_a_restricted_customer_is_hidden_from_an_agent_until_the_restriction_is_lifted(crm: Crm) -> None:
    customer = await crm.add()
    assert await crm.seen_by_agent(customer) == (1, 1, 1)
    restrict = task(Operation.RESTRICT, email(customer.emails[0]), ground="accuracy")
    done = await crm.one(restrict)
    assert done == Receipt(restrict.task_id, TaskOutcome.AMENDED, found=1, changed=1, by_category={"account": 1})
    assert await crm.seen_by_agent(customer) == (0, 0, 0)
    assert await crm.one(restrict) == done
    assert (await crm.receipt(task(Operation.RESTRICT, email(customer.emails[0]), repair=True))).changed == 0
    await crm.one(task(Operation.LIFT, email(customer.emails[0])))
    assert await crm.seen_by_agent(customer) == (1, 1, 1)
    assert (await crm.receipt(task(Operation.RESTRICT, email(customer.emails[0]), repair=True))).changed == 1
    assert (await crm.receipt(task(Operation.LIFT, repair=True, marked=True))).outcome is TaskOutcome.NO_MATCH
    assert await crm.seen_by_agent(customer) == (0, 0, 0)


async def test_whom_an_agent_had_hidden_before_stays_hidden_when_ours_is_lifted(crm: Crm) -> None:
    agents, ours = await crm.add(), await crm.add()
    ids = {customer: await crm.party(customer) for customer in (agents, ours)}
    await crm.one(task(Operation.RESTRICT, email(agents.emails[0]), ground="accuracy"))  # as if an agent had
    for customer, bore in ((agents, True), (ours, False)):
        restrict = task(Operation.RESTRICT, email(customer.emails[0]), ground="accuracy")
        await crm.one(restrict)
        assert crm.notes[restrict.task_id]["flags"] == {str(ids[customer]): bore}
        await crm.one(crm.again(restrict))  # a repeat sees what the first attempt has set
        assert crm.notes[restrict.task_id]["flags"] == {str(ids[customer]): bore}
    left = {"system": [str(ids[agents])]}
    for customer in (agents, ours):
        await crm.one(task(Operation.LIFT, email(customer.emails[0]), left=left))
    assert await crm.seen_by_agent(agents) == (0, 0, 0)
    assert await crm.seen_by_agent(ours) == (1, 1, 1)


async def test_only_whoever_provisions_numbers_assigns_them_and_the_rest_see_those_of_customers_they_see(
    crm: Crm,
) -> None:
    customer = await crm.add()
    party, number = await crm.party(customer), customer.phones[0].number
    async with crm.tryton.rpc(crm.tryton.agent) as agent:

        async def seen() -> int:
            return len(await agent.search("number.assignment", [["number", "=", number]], ["number"]))

        for call in (("create", [{"party": party, "number": "+4915119999998"}]), ("write", [1], {"party": party})):
            with pytest.raises((Refused, Unavailable)):
                await agent.call(f"model.number.assignment.{call[0]}", *call[1:])
        assert await seen() == 1
        await crm.one(task(Operation.RESTRICT, email(customer.emails[0]), ground="accuracy"))
        assert await seen() == 0
    owners = await crm.sql("SELECT party FROM number_assignment WHERE number IN ('+4915119999998', $1)", number)
    assert [row["party"] for row in owners] == [party]


async def test_a_former_customer_can_be_restricted_too(crm: Crm) -> None:
    customer = await crm.add()
    await crm.sql("UPDATE party_party SET active = false WHERE code = $1", customer.code)
    await crm.receipt(task(Operation.RESTRICT, email(customer.emails[0])))
    assert await crm.seen_by_agent(customer) == (0, 0, 0)


async def test_an_objection_stops_marketing_to_the_customer_alone(crm: Crm) -> None:
    customer, other = await crm.add_many(2)
    await crm.one(task(Operation.SUPPRESS, email(customer.emails[0])))
    rows = await crm.sql(
        "SELECT code, marketing_opt_out FROM party_party WHERE code = ANY($1)", [customer.code, other.code]
    )
    assert {row["code"]: row["marketing_opt_out"] for row in rows} == {customer.code: True, other.code: False}


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        (Operation.RESTRICT, ()),
        (Operation.SUPPRESS, ()),
        (Operation.RECTIFY, [("name", None, "Ada Feldspat")]),
    ],
)
async def test_a_write_that_the_crm_accepts_and_that_does_not_stick_is_found_out(
    crm: Crm, operation: Operation, changes: Sequence[tuple[str, None, str]]
) -> None:
    async def says_yes(_: Any) -> httpx.Response:
        return httpx.Response(200, json={"id": 0, "result": None})

    customer = await crm.add()
    lying = crm.over(OnTheWay("model.party.party.write", says_yes))
    result = await lying.one(task(operation, email(customer.emails[0]), changes=changes))
    assert isinstance(result, ResidueFound)


async def test_open_requests_are_shown_with_the_customer_until_each_is_answered(crm: Crm) -> None:
    customer, other = await crm.add_many(2)
    first, second = (task(Operation.FLAG, email(customer.emails[0]), open=True) for _ in range(2))
    answered, also_answered = (task(Operation.FLAG, request=each.request_id, open=False) for each in (first, second))

    async def shown() -> dict[str, set[str]]:
        codes = [customer.code, other.code]
        rows = await crm.sql("SELECT code, open_requests FROM party_party WHERE code = ANY($1)", codes)
        return {row["code"]: set((row["open_requests"] or "").split()) for row in rows}

    opened = await crm.run(first, second, first)
    both = await shown()
    closed = await crm.receipt(answered)
    one = await shown()
    repeated = await crm.run(crm.again(answered), also_answered)
    assert [receipt(each).outcome for each in opened] == [TaskOutcome.AMENDED] * 3
    assert both == {customer.code: {str(first.request_id), str(second.request_id)}, other.code: set()}
    assert closed == Receipt(answered.task_id, TaskOutcome.AMENDED, found=1, changed=1, by_category={"account": 1})
    assert one == {customer.code: {str(second.request_id)}, other.code: set()}
    assert repeated == [closed, replace(closed, task_id=also_answered.task_id)]
    assert await shown() == {customer.code: set(), other.code: set()}


async def test_a_request_that_opens_and_is_answered_in_one_batch_leaves_no_flag(crm: Crm) -> None:
    customer = await crm.add()
    opened = task(Operation.FLAG, email(customer.emails[0]), open=True)
    answered = task(Operation.FLAG, request=opened.request_id, open=False)
    await crm.run(opened, answered)
    (row,) = await crm.sql("SELECT open_requests FROM party_party WHERE code = $1", customer.code)
    assert not row["open_requests"]


async def test_a_correction_reaches_every_field_and_a_repeat_says_the_same(crm: Crm) -> None:
    customer = await crm.add()
    new = f"new.{customer.emails[0].lower()}"
    changes = (
        ("name", customer.name, "Ada Feldspat"),
        ("email", customer.emails[0], new),
        ("phone", customer.phones[0].number, "+49 1511 2345675"),
        ("address.street", customer.street, "Am Ufer 5"),
        ("address.postal_code", None, "50668"),
        ("address.city", customer.city, "Köln"),
        ("shoe_size", None, "42"),
    )
    rectify = task(Operation.RECTIFY, email(customer.emails[0]), changes=changes)
    done = await crm.one(rectify)
    kinds, shown = {"account": 1, "contact": 2, "address": 3}, (1, 1, 1, 1, 1, 1, 0)
    assert done == Receipt(rectify.task_id, TaskOutcome.AMENDED, found=6, changed=6, by_category=kinds, corrected=shown)
    export = await crm.receipt(task(Operation.EXPORT, account(customer.code)))
    held = [record.data for record in export.records]
    assert {"customer_number": customer.code, "name": "Ada Feldspat"} in held
    assert {"street": "Am Ufer 5", "postal_code": "50668", "city": "Köln", "country": "DE"} in held
    assert {data["value"]: data["in_use"] for data in held if "value" in data} == {
        customer.emails[0]: False,
        new: True,
        "+49 1511 2345675": True,
    }
    assert await crm.one(crm.again(rectify)) == done


async def test_an_address_that_was_corrected_leads_on_as_a_former_one_and_proves_nothing(crm: Crm) -> None:
    customer = await crm.add()
    wrong, right = customer.emails[0].lower(), f"right.{customer.emails[0].lower()}"
    await crm.receipt(task(Operation.RECTIFY, email(wrong), changes=[("email", wrong, right)]))
    located = await crm.receipt(task(Operation.LOCATE, email(right)))
    ends = {each.value: each.valid_to for each in located.identities if each.type is IdentityType.EMAIL}
    assert ends.keys() == {wrong, right}
    assert ends[right] is None
    assert ends[wrong] is not None
    assert (await crm.receipt(task(Operation.LOCATE, email(wrong)))).outcome is TaskOutcome.NO_MATCH
    erased = await crm.receipt(task(Operation.ERASE, email(right)))
    assert erased.by_category["contact"] == 3
    assert wrong not in crm.dump()


async def test_a_sip_address_alone_leads_to_the_customer(crm: Crm) -> None:
    customer, other = await crm.add_many(2)
    for one, user in ((customer, "sip:ada@pbx.example"), (other, "bob@pbx.example")):
        party = await crm.sql("SELECT id FROM party_party WHERE code = $1", one.code)
        async with crm.tryton.rpc(crm.tryton.agent) as rpc:
            sip = {"party": party[0]["id"], "type": "sip", "value": user}
            await rpc.call("model.party.contact_mechanism.create", [sip])
    for one, user in ((customer, "sip:ada@pbx.example"), (other, "sip:bob@pbx.example")):
        located = await crm.receipt(task(Operation.LOCATE, Identity(IdentityType.SIP_URI, user)))
        assert {i.value for i in located.identities if i.type is IdentityType.ACCOUNT_ID} == {one.code}


@pytest.mark.parametrize(
    ("field", "current", "asserted"),
    [
        ("name", "Somebody Else", "Ada Feldspat"),
        ("email", "not.hers@post.example", "ada@post.example"),
        ("phone", None, "not a number"),
        ("address.city", "Elsewhere", "Köln"),
    ],
)
async def test_a_correction_that_does_not_fit_is_refused_and_changes_nothing(
    crm: Crm, field: str, current: str | None, asserted: str
) -> None:
    customer = await crm.add()
    before = await crm.sql("SELECT write_date, name FROM party_party WHERE code = $1", customer.code)
    changes = (("address.postal_code", None, "1"), (field, current, asserted))
    result = await crm.one(task(Operation.RECTIFY, email(customer.emails[0]), changes=changes))
    assert isinstance(result, Refused)
    assert customer.name not in str(result)
    assert await crm.sql("SELECT write_date, name FROM party_party WHERE code = $1", customer.code) == before
    assert customer.city.lower() in crm.dump()
    assert "not a number" not in crm.tryton.child.log.read_text()


async def test_a_customer_whom_nobody_knows_has_nothing_to_correct(crm: Crm) -> None:
    nobodys = task(Operation.RECTIFY, email("nobody@post.example"), changes=[("name", None, "Ada")])
    result = await crm.receipt(nobodys)
    assert result.outcome is TaskOutcome.NO_MATCH


async def test_a_corrected_contact_neither_creates_nor_moves_an_assignment(crm: Crm) -> None:
    customer = await crm.add()
    before, anothers = customer.phones[0].number, "+4915112345999"
    correction = task(Operation.RECTIFY, email(customer.emails[0]), changes=[("phone", before, anothers)])
    assert (await crm.receipt(correction)).outcome is TaskOutcome.AMENDED
    assert isinstance(crm.adapter, TrytonAdapter)
    listed = [each.number for each in await crm.adapter.assignments() if each.account_id == customer.code]
    assert [(number.value, number.valid_from) for number in listed] == [(before, SINCE)]
    located = await crm.receipt(task(Operation.LOCATE, email(customer.emails[0])))
    assert [each.valid_from for each in located.identities if each.value == anothers] == [None]
