"""Locating and exporting a customer in a real Tryton: the subject, all of them, and nobody else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from deploy.demo.company import Phone
from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import ASSIGNED, Match
from shared.downstreams.contract import Record
from tests.fixtures.downstream import email, name, phone, receipt, task
from tests.fixtures.tryton import SINCE, SYSTEM, Crm, OnTheWay, account

MOVED = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)


async def test_locate_tells_customer_number_addresses_and_numbers_with_their_periods(crm: Crm) -> None:
    customer = await crm.add(
        emails=("Lea.Locate@Post.Example", "lea@arbeit.example"),
        phones=(Phone("+4915112345671", SINCE, MOVED), Phone("+4915112345672", MOVED)),
    )
    found = await crm.receipt(task(Operation.LOCATE, email("lea.locate@post.example")))
    assert found.outcome is TaskOutcome.LOCATED
    assert found.by_category == {"account": 1, "contact": 3, "assignment": 2, "address": 1}
    assert set(found.identities) == {
        Identity(IdentityType.ACCOUNT_ID, customer.code, source=SYSTEM),
        Identity(IdentityType.EMAIL, "lea.locate@post.example", source=SYSTEM),
        Identity(IdentityType.EMAIL, "lea@arbeit.example", source=SYSTEM),
        Identity(IdentityType.PHONE, "+4915112345671", SINCE, MOVED, SYSTEM),
        Identity(IdentityType.PHONE, "+4915112345672", MOVED, None, SYSTEM),
    }


async def test_a_proved_account_is_found_from_a_new_address(crm: Crm) -> None:
    customer = await crm.add(emails=("lea.on.file@post.example",))
    stated, new = account(customer.code), email("lea.new@post.example")
    assert isinstance(await crm.one(task(Operation.LOCATE, stated, new)), ForeignHit), "anybody can state it"
    shown = task(Operation.LOCATE, replace(stated, level="L1"), replace(new, level="L1"))
    assert account(customer.code, SYSTEM) in (await crm.receipt(shown)).identities


async def test_a_re_assigned_number_finds_its_holder_of_the_time_in_question(crm: Crm) -> None:
    number = "+4915112345673"
    former = await crm.add(phones=(Phone(number, SINCE, MOVED),))
    later = await crm.add(phones=(Phone(number, MOVED + timedelta(days=45)),))
    asked = (phone(number), phone(number, SINCE, SINCE + timedelta(days=9)))
    results = await crm.run(*(task(Operation.LOCATE, each) for each in asked))
    now, then = ({identity.value for identity in receipt(result).identities} for result in results)
    assert later.code in now
    assert former.code in then
    assert former.code not in now


async def test_an_address_that_another_customer_has_too_is_told_as_such_also_where_nobody_had_stated_it(
    crm: Crm,
) -> None:
    both, own = "household@post.example", "lucia@post.example"
    lucia = await crm.add(emails=(own, both), phones=(Phone("+4915112345681", SINCE, MOVED),))
    await crm.add(emails=("Household@Post.Example",), phones=(Phone("+4915112345681", MOVED),))
    for stated in (email(own), account(lucia.code), email(both)):
        known = (stated, account(lucia.code)) if stated.value == both else (stated,)
        found = await crm.receipt(task(Operation.LOCATE, *known))
        assert {each.value for each in found.identities if each.shared} == {both}


async def test_a_customer_who_was_deactivated_is_found(crm: Crm) -> None:
    customer = await crm.add()
    await crm.sql("UPDATE party_party SET active = false WHERE code = $1", customer.code)
    await crm.sql("UPDATE party_contact_mechanism SET active = false WHERE value = $1", customer.emails[0])
    found = await crm.receipt(task(Operation.LOCATE, email(customer.emails[0])))
    assert found.outcome is TaskOutcome.LOCATED


async def test_wildcards_in_an_address_find_nobody_else(crm: Crm) -> None:
    await crm.add(emails=("max_muster@post.example", "maxxmuster@post.example"))
    asked = ("%@post.example", "max%@post.example", "m_xxmuster@post.example")
    results = await crm.run(*(task(Operation.LOCATE, email(value)) for value in asked))
    assert [receipt(result).outcome for result in results] == [TaskOutcome.NO_MATCH] * 3


async def test_an_export_hands_out_everything_in_words_that_can_be_read(crm: Crm) -> None:
    customer = await crm.add(phones=(Phone("+4915112345674", SINCE, MOVED),))
    export = await crm.receipt(task(Operation.EXPORT, account(customer.code)))
    flags = {"active": True, "processing_restricted": False, "no_marketing": False}
    period = {"assigned_from": "2024-02-01T12:00:00+00:00", "assigned_until": "2025-03-01T09:30:00+00:00"}
    address = {"street": customer.street, "postal_code": "50667", "city": customer.city, "country": "DE"}
    assert export.outcome is TaskOutcome.EXPORTED
    matched = (Match(IdentityType.ACCOUNT_ID, customer.code), Match(IdentityType.EMAIL, customer.emails[0]))
    [held] = [record.matched for record in export.records if record.category == "assignment"]
    others = {record.matched for record in export.records if record.category != "assignment"}
    assert others == {matched}, "a number of the past finds nobody now"
    last = MOVED - timedelta(microseconds=1)
    assert held == (*matched, *(Match(ASSIGNED, "+4915112345674", at) for at in (SINCE, last)))
    assert tuple(replace(record, matched=()) for record in export.records) == (
        Record("account", SYSTEM, {"customer_number": customer.code, "name": customer.name}),
        Record("account", SYSTEM, flags, portable=False),
        Record("contact", SYSTEM, {"kind": "email", "value": customer.emails[0], "in_use": True}),
        Record("assignment", SYSTEM, {"number": "+4915112345674", "line": "personal", **period}, portable=False),
        Record("address", SYSTEM, address),
    )


@pytest.mark.parametrize("searched", ["code", "value", "value_compact"])
async def test_a_search_that_ignores_what_is_searched_for_is_believed_of_nobody(crm: Crm, searched: str) -> None:
    customer, other = await crm.add_many(2)
    number = other.phones[0].number
    found = {"id": await crm.party(other), "code": other.code}
    held = {"id": 1, "party": await crm.party(other), "type": "phone", "value": number, "value_compact": number}

    async def ignores(params: Any) -> httpx.Response | None:
        asked = isinstance(params[0], list) and bool(params[0]) and params[0][0][0] == searched
        rows = [found if searched == "code" else held]
        return httpx.Response(200, json={"id": 0, "result": rows}) if asked else None

    model = "party.party" if searched == "code" else "party.contact_mechanism"
    lying = crm.over(OnTheWay(f"model.{model}.search_read", ignores))
    by = account(customer.code) if searched == "code" else phone(customer.phones[0].number, SINCE)
    for operation in (Operation.LOCATE, Operation.EXPORT, Operation.ERASE):
        with pytest.raises(ForeignHit):
            await lying.one(task(operation, by))
    assert await crm.party(other) is not None


async def test_a_request_with_a_name_alone_is_refused(crm: Crm) -> None:
    result = await crm.one(task(Operation.LOCATE, name("Ada Quarzfels")))
    assert isinstance(result, Refused)


async def test_a_wrong_login_is_refused(crm: Crm) -> None:
    with pytest.raises(Refused):
        await crm.over(login="nobody").one(task(Operation.LOCATE, email("a@post.example")))
