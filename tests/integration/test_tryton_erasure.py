"""Erases a customer in a real Tryton: completely, once, and no other."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import JsonValue

from deploy.demo.company import Customer, Phone
from shared.domain.errors import (
    DataStillPresent,
    GroundUnknown,
    LimitExceeded,
    Refused,
    SystemRefused,
    Unavailable,
    Withdrawn,
    WrongPersonMatch,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.domain.release import ASSIGNED, Match
from shared.systems.contract import CopiedRecord, NotSearched, Receipt
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from shared.systems.tryton.adapter import TrytonAdapter
from shared.systems.tryton.rpc import CrmRefused
from tests.fixtures.analytics import nothing
from tests.fixtures.downstream import email, name, phone, receipt, task
from tests.fixtures.policy import signed_policy
from tests.fixtures.tryton import SINCE, SYSTEM, Crm, OnTheWay, account, traces

FOUND = {"account": 1, "contact": 2, "assignment": 1, "address": 1}


async def test_an_erased_customer_is_nowhere_in_a_dump_of_the_crm_nor_in_what_is_noted(crm: Crm) -> None:
    """Without declared grounds everything is erased, whatever the contract; a repeat gives the same receipt."""
    customer = await crm.add(contract="active")
    before = crm.dump()
    assert all(trace in before for trace in traces(customer)[:-2])
    assert any(trace in before for trace in traces(customer)[-2:])

    erase = task(Operation.ERASE, email(customer.emails[0]), phone(customer.phones[0].number))
    done = await crm.one(erase)
    searched = tuple(sorted((*FOUND, "identifier")))
    erased = Receipt(erase.task_id, TaskOutcome.ERASED, found=5, changed=5, by_category=FOUND, categories=searched)
    assert done == erased
    assert list(crm.notes) == [erase.task_id]
    after = crm.dump() + repr(crm.notes).lower()
    assert [trace for trace in traces(customer) if trace in after] == []
    assert await crm.one(crm.again(erase)) == done


async def test_the_customer_number_decides_between_customers_who_share_an_address(crm: Crm) -> None:
    one, other = await crm.add_many(2, emails=("shared@post.example",))
    erase = task(Operation.ERASE, email(one.emails[0]), account(one.code))
    assert (await crm.receipt(erase)).outcome is TaskOutcome.ERASED
    assert await crm.party(one) is None
    dump = crm.dump()
    assert [trace for trace in traces(other)[:-2] if trace not in dump] == []


async def test_customer_with_a_shared_address_is_not_taken_for_an_erased_one(
    crm: Crm,
) -> None:
    one, other = await crm.add_many(2, emails=("household.of.two@post.example",))
    erase = task(Operation.ERASE, email(one.emails[0]), phone(one.phones[0].number, SINCE))
    assert (await crm.receipt(erase)).outcome is TaskOutcome.ERASED
    assert [await crm.party(each) is None for each in (one, other)] == [True, False]


async def test_what_was_left_of_a_merged_duplicate_is_erased_with_the_customer(crm: Crm) -> None:
    customers = kept, merged = await crm.add_many(2)
    query = "UPDATE party_party SET active = false, replaced_by = $1 WHERE code = $2"
    await crm.sql(query, await crm.party(kept), merged.code)
    done = await crm.receipt(task(Operation.ERASE, account(merged.code)))
    assert done.by_category == {"account": 2, "contact": 4, "assignment": 2, "address": 2}
    dump = crm.dump()
    assert [trace for customer in customers for trace in traces(customer) if trace in dump] == []


async def test_a_refusal_of_the_crm_leaves_the_customer_as_they_were_and_says_why_without_their_name(crm: Crm) -> None:
    customer = await crm.add()

    async def is_active_again(_: Any) -> None:
        await crm.sql("UPDATE party_party SET active = true WHERE code = $1", customer.code)

    changing = crm.over(OnTheWay("wizard.party.erase.execute", is_active_again))
    result = await changing.one(task(Operation.ERASE, email(customer.emails[0])))
    assert isinstance(result, Refused)
    assert "still_active" in str(result)
    assert "ada" not in str(result).lower()
    log = crm.tryton.child.log.read_text().lower()
    assert "eraseerror" in log
    assert not [trace for trace in traces(customer) if trace in log]
    assert (await crm.sql("SELECT active, name FROM party_party WHERE code = $1", customer.code))[0]["active"]


async def test_refused_or_unknown_customer_stops_no_other(crm: Crm) -> None:
    customers = await crm.add_many(4)
    held = await crm.party(customers[1])

    async def keeps_one(params: Any) -> httpx.Response | None:
        refusal = {"id": 0, "error": ["UserError", ["The number is required by an invoice.", "", None]]}
        return httpx.Response(200, json=refusal) if [held] in params else None

    keeping = crm.over(OnTheWay("model.party.party.write", keeps_one))
    tasks = [task(Operation.ERASE, email(customer.emails[0])) for customer in customers]
    results = await keeping.run(*tasks, task(Operation.ERASE, email("unknown@post.example")))
    assert isinstance(results.pop(1), CrmRefused)
    assert [receipt(each).outcome for each in results] == [*[TaskOutcome.ERASED] * 3, TaskOutcome.NO_MATCH]
    dump = crm.dump()
    assert [trace for other in (0, 2, 3) for trace in traces(customers[other]) if trace in dump] == []


async def test_a_party_that_is_made_of_the_customer_while_they_are_erased_is_found_out(crm: Crm) -> None:
    customer, newcomers = await crm.add(), list[Customer]()

    async def comes_back(_: Any) -> None:
        newcomers.append(await crm.add(emails=customer.emails))

    growing = crm.over(OnTheWay("wizard.party.erase.execute", comes_back))
    erase = task(Operation.ERASE, email(customer.emails[0]))
    for _ in range(2):
        assert isinstance(await growing.one(crm.again(erase)), DataStillPresent)
    assert await crm.party(customer) is None
    assert await crm.party(newcomers[0]) is not None, "the next attempt erases no other"


async def test_an_erasure_beyond_the_limit_touches_nothing(crm: Crm) -> None:
    customer = await crm.add()
    limited, asked = crm.over(max_rows=3), task(Operation.ERASE, email(customer.emails[0]))
    result = await limited.one(asked)
    assert isinstance(result, LimitExceeded)
    assert result.exceeded is not None
    assert await crm.party(customer) is not None
    done = await limited.receipt(replace(asked, confirmed={Limit.MAX_ROWS: result.exceeded.found}))
    assert done.outcome is TaskOutcome.ERASED


async def test_withdrawn_request_leaves_a_customer_without_a_name(crm: Crm) -> None:
    customer = await crm.add()
    await crm.sql("UPDATE party_party SET name = NULL WHERE code = $1", customer.code)
    erase = task(Operation.ERASE, email(customer.emails[0]))

    async def withdraw(_: Any) -> None:
        crm.withdrawn.add(erase.task_id)

    result = await crm.over(OnTheWay("model.party.party.write", withdraw)).one(erase)
    assert isinstance(result, Withdrawn), result
    assert await crm.party(customer) is not None


# What a rule keeps of a customer in a real Tryton stays, reduced to that, and nothing else (Art. 17(1)(a), (3)).
DECLARED = {each: each for each in ("invoice_open", "disputed", "credit", "last_activity")}
LEAP_DAY = date(2024, 2, 29)


@pytest.fixture
def grounds(crm: Crm) -> Crm:
    """The CRM, whose fields say why a customer's data must stay; today is 2 March 2026."""
    return crm.over(grounds=DECLARED)


IN_USE: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "active_contract": ((6, 1), {"contract": "none"}),  # a number is theirs
    "open_invoice": ((5, 3), {"contract": "ended", "contract_ended_on": date(2010, 1, 1), "invoice_open": "yes"}),
    "dispute": ((4, 1), {"contract": "none", "disputed": "yes", "phones": ()}),
}
"""Found and deleted rows of a customer, and what the CRM says of them, by rule."""


async def test_customer_in_use_keeps_only_needed_fields(grounds: Crm, subtests: pytest.Subtests) -> None:
    customers = {
        rule: await grounds.add(emails=(f"{rule}@post.example", f"second.{rule}@post.example"), **facts)
        for rule, (_, facts) in IN_USE.items()
    }
    plans, all_done = [
        await grounds.run(*(task(operation, email(each.emails[0])) for each in customers.values()))
        for operation in (Operation.PLAN, Operation.ERASE)
    ]
    for (rule, customer), plan, done in zip(
        customers.items(), map(receipt, plans), map(receipt, all_done), strict=True
    ):
        with subtests.test(rule):
            assert (done.outcome, done.ground, done.until) == (TaskOutcome.RETAINED, rule, None)
            reduced = bool(signed_policy().rules[rule].fields)
            assert (done.found, done.changed) == IN_USE[rule][0]
            assert (plan.outcome, plan.remaining, plan.kept) == (TaskOutcome.PLANNED, done.remaining, done.kept)
            state = signed_policy().rules[rule].lasts_while
            assert plan.states == dict.fromkeys(grounds.adapter.can.reported_states, False) | {state: True}
            [row] = await grounds.sql("SELECT name, restricted FROM party_party WHERE code = $1", customer.code)
            assert (row["name"], row["restricted"]) == (customer.name, reduced)
            assert {each.restricted == each.count for each in done.kept or ()} == {reduced}
            second = "SELECT id FROM party_contact_mechanism WHERE value_compact = $1"
            assert await grounds.sql(second, customer.emails[1]) == []


async def test_row_of_a_kept_customer_is_looked_at_after_it_was_deleted(grounds: Crm) -> None:
    """No search finds the customer any more by the address that has gone."""
    emails = ("kept@post.example", "gone@post.example")
    customer = await grounds.add(emails=emails, contract="active")
    party = await grounds.party(customer)
    await grounds.sql("INSERT INTO party_address (party, city, active) VALUES ($1, 'Nebenan', true)", party)

    async def says_yes(_: Any) -> httpx.Response:
        return httpx.Response(200, json={"id": 0, "result": None})

    lying = grounds.over(OnTheWay("model.party.address.delete", says_yes), grounds=DECLARED)
    assert isinstance(await lying.one(task(Operation.ERASE, email(emails[1]))), DataStillPresent)
    [left] = await grounds.sql("SELECT count(*) AS n FROM party_address WHERE city = 'Nebenan'")
    assert left["n"] == 1


async def test_row_that_another_customer_has_by_the_next_attempt_is_not_deleted(grounds: Crm) -> None:
    customer = await grounds.add(contract="active", emails=("a@post.example", "b@post.example"))
    other = await grounds.add()
    party, heir = await grounds.party(customer), await grounds.party(other)

    async def is_away(_: Any) -> httpx.Response:
        return httpx.Response(503)

    erase = task(Operation.ERASE, email("a@post.example"))
    away = grounds.over(OnTheWay("model.party.contact_mechanism.delete", is_away), grounds=DECLARED)
    assert isinstance(await away.one(erase), Unavailable)
    moved = "UPDATE party_contact_mechanism SET party = $1 WHERE party = $2 AND value = 'b@post.example' RETURNING id"
    assert await grounds.sql(moved, heir, party)
    await grounds.one(grounds.again(erase))
    assert await grounds.sql(
        "SELECT id FROM party_contact_mechanism WHERE party = $1 AND value = 'b@post.example'", heir
    )


async def test_of_an_ended_relationship_name_and_address_stay_restricted_for_seven_years_and_then_go(
    grounds: Crm,
) -> None:
    customer = await grounds.add(contract="ended", contract_ended_on=LEAP_DAY)
    former = await grounds.add(contract="ended", contract_ended_on=date(2019, 3, 1))
    erase = task(Operation.ERASE, email(customer.emails[0]))
    over = task(Operation.ERASE, account(former.code, SYSTEM), email(former.emails[0]))
    done, gone = map(receipt, await grounds.run(erase, over))
    assert gone.outcome is TaskOutcome.ERASED
    assert (done.outcome, done.ground, done.until) == (TaskOutcome.RETAINED, "invoices_84m", date(2031, 2, 28))
    assert {each.category: each.count for each in done.kept or ()} == {"account": 1, "address": 1}
    assert (done.found, done.changed, done.remaining) == (4, 2, 2)
    assert await grounds.seen_by_agent(customer) == (0, 0, 0)
    dump = grounds.dump()
    assert customer.emails[0].lower() not in dump
    assert customer.phones[0].number not in dump
    assert customer.street.lower() in dump
    assert former.name.lower() not in dump
    assert not await grounds.sql("SELECT id FROM party_party WHERE contract_ended_on = '2019-03-01'")
    assert await grounds.one(grounds.again(erase)) == done, "a repeat gives the first receipt"


async def test_unknown_facts_in_the_crm_need_review_and_erase_nothing(grounds: Crm) -> None:
    customer = await grounds.add(contract="ended")
    for operation in (Operation.PLAN, Operation.ERASE):
        assert isinstance(await grounds.one(task(operation, email(customer.emails[0]))), GroundUnknown)
    assert await grounds.seen_by_agent(customer) == (1, 1, 1)


async def test_a_field_that_the_crm_has_not_stops_every_erasure_there(crm: Crm) -> None:
    customer = await crm.add()
    wrong = crm.over(grounds={"contract": "kontrakt"})
    with pytest.raises(SystemRefused, match="kontrakt"):
        await wrong.one(task(Operation.PLAN, email(customer.emails[0])))
    assert not crm.adapter.can.may_refuse
    assert wrong.adapter.can.may_refuse


async def test_what_these_fields_say_is_in_the_copy_that_the_person_gets(grounds: Crm) -> None:
    customer = await grounds.add(contract="active", last_activity=date(2026, 2, 1))
    await grounds.sql("UPDATE party_party SET credit = 4.50 WHERE code = $1", customer.code)
    shown = receipt(await grounds.one(task(Operation.EXPORT, email(customer.emails[0])))).records
    [facts] = [record for record in shown if "contract" in record.data]
    said = {"contract": "active", "invoice_open": "no", "disputed": "no", "credit": "4.50"}
    said |= {"last_activity": "2026-02-01"}
    assert facts.data.items() >= said.items()
    assert {*facts.not_provided} > said.keys()
    assert facts.matched


async def test_retention_run_deletes_former_customers_and_marketing_contacts_only(grounds: Crm) -> None:
    """Today is 2 March 2026; a party with a number, now or before, is no mere marketing contact."""
    old, young = date(2019, 2, 28), date(2019, 3, 2)
    ended = await grounds.add_many(2, contract="ended", contract_ended_on=old)
    kept = [
        await grounds.add(contract="ended", contract_ended_on=young),
        await grounds.add(contract="ended", contract_ended_on=old, invoice_open="yes"),
        await grounds.add(contract="ended", contract_ended_on=old, disputed=None),
        await grounds.add(contract="ended", contract_ended_on=old, phones=(Phone("+4915112345698", SINCE),)),
        await grounds.add(contract="active", last_activity=old),
        await grounds.add(contract="none", last_activity=old),
        await grounds.add(contract="none", last_activity=date(2024, 1, 1), phones=()),
    ]
    contact = await grounds.add(contract="none", last_activity=date(2023, 3, 1), phones=())
    adapter = grounds.adapter
    assert isinstance(adapter, TrytonAdapter)
    first = date(2019, 3, 2)
    zone = ZoneInfo("America/New_York")
    dues = [
        DueRecords("party.party", "relationship_end", "delete", first, zone),
        DueRecords("party.party", "last_activity", "delete", date(2023, 3, 2), zone),
    ]
    spared = {"account": [task(Operation.ERASE, email(ended[1].emails[0]))]}
    counted = await adapter.count(dues, spared)
    assert [each.due for each in counted if isinstance(each, DueCount)] == [1, 1], "what is not known stays"
    swept = await adapter.sweep(dues, spared, nothing)
    assert [each.removed for each in swept if isinstance(each, SweepResult)] == [1, 1]
    dump = grounds.dump()
    assert [each.emails[0].lower() in dump for each in (*ended, contact)] == [False, True, False]
    assert all(each.emails[0].lower() in dump for each in kept)
    again = await adapter.count(dues, {})
    assert [each.due for each in again if isinstance(each, DueCount)] == [1, 0]


async def test_former_customer_who_signs_a_contract_during_a_retention_run_stays(crm: Crm) -> None:
    former = await crm.add(contract="ended", contract_ended_on=date(2019, 2, 28))

    async def signs(_: Any) -> None:
        again = "UPDATE party_party SET contract = 'active', write_date = now() WHERE code = $1"
        await crm.sql(again, former.code)

    adapter = crm.over(OnTheWay("model.party.party.write", signs), grounds=DECLARED).adapter
    assert isinstance(adapter, TrytonAdapter)
    due = DueRecords("party.party", "relationship_end", "delete", date(2019, 3, 2), ZoneInfo("America/New_York"))
    with pytest.raises(Unavailable):
        await adapter.sweep([due], {}, nothing)
    await adapter.sweep([due], {}, nothing)
    rows = await crm.sql("SELECT active, name FROM party_party WHERE code = $1", former.code)
    assert [(row["active"], row["name"]) for row in rows] == [(True, former.name)]


# Locates and exports a customer in a real Tryton: the subject completely, and no other.
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


async def test_shared_address_in_the_crm_is_reported_even_if_unstated(crm: Crm) -> None:
    both, own = "household@post.example", "lucia@post.example"
    lucia = await crm.add(emails=(own, both), phones=(Phone("+4915112345681", SINCE, MOVED),))
    await crm.add(emails=("Household@Post.Example",), phones=(Phone("+4915112345681", MOVED),))
    for stated in (email(own), account(lucia.code), email(both)):
        known = (stated, account(lucia.code)) if stated.value == both else (stated,)
        found = await crm.receipt(task(Operation.LOCATE, *known))
        assert {each.value for each in found.identities if each.shared} == {both}


async def test_a_customer_who_was_deactivated_is_found_and_restricted(crm: Crm) -> None:
    customer = await crm.add()
    await crm.sql("UPDATE party_party SET active = false WHERE code = $1", customer.code)
    await crm.sql("UPDATE party_contact_mechanism SET active = false WHERE value = $1", customer.emails[0])
    found = await crm.receipt(task(Operation.LOCATE, email(customer.emails[0])))
    assert found.outcome is TaskOutcome.LOCATED
    assert (await crm.receipt(task(Operation.RESTRICT, email(customer.emails[0])))).changed == 1
    assert await crm.seen_by_agent(customer) == (0, 0, 0)


async def test_wildcards_in_an_address_find_no_other(crm: Crm) -> None:
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
    matched = (Match(IdentityType.ACCOUNT_ID, customer.code),)
    [held] = [record.matched for record in export.records if record.category == "assignment"]
    others = {record.matched for record in export.records if record.category != "assignment"}
    assert others == {matched}
    last = MOVED - timedelta(microseconds=1)
    assert {*held} == {*matched, *(Match(ASSIGNED, "+4915112345674", at) for at in (SINCE, last))}
    party: dict[str, JsonValue] = {"customer_number": customer.code, "name": customer.name, **flags}
    assert tuple(replace(record, matched=()) for record in export.records) == (
        CopiedRecord("account", f"{SYSTEM}.party.party", party, not_provided=tuple(flags)),
        CopiedRecord(
            "contact",
            f"{SYSTEM}.party.contact_mechanism",
            {"kind": "email", "value": customer.emails[0], "in_use": True},
        ),
        CopiedRecord(
            "assignment",
            f"{SYSTEM}.number.assignment",
            {"number": "+4915112345674", "line": "personal", **period},
            portable=False,
        ),
        CopiedRecord("address", f"{SYSTEM}.party.address", address),
    )


async def test_search_that_ignores_its_filter_is_not_believed(crm: Crm, subtests: pytest.Subtests) -> None:
    customer, other = await crm.add_many(2)
    number, party = other.phones[0].number, await crm.party(other)
    found = {"id": party, "code": other.code}
    held = {"id": 1, "party": party, "type": "phone", "value": number, "value_compact": number}
    for searched in ("code", "value", "value_compact"):

        async def ignores(params: Any, searched: str = searched) -> httpx.Response | None:
            asked = isinstance(params[0], list) and bool(params[0]) and params[0][0][0] == searched
            rows = [found if searched == "code" else held]
            return httpx.Response(200, json={"id": 0, "result": rows}) if asked else None

        model = "party.party" if searched == "code" else "party.contact_mechanism"
        lying = crm.over(OnTheWay(f"model.{model}.search_read", ignores))
        by = account(customer.code) if searched == "code" else phone(customer.phones[0].number, SINCE)
        for operation in (Operation.LOCATE, Operation.EXPORT, Operation.ERASE):
            with subtests.test(searched, operation=operation.value), pytest.raises(WrongPersonMatch):
                await lying.one(task(operation, by))
    assert await crm.party(other) is not None


async def test_name_alone_is_not_searched_by(crm: Crm) -> None:
    assert isinstance(await crm.one(task(Operation.LOCATE, name("Ada Quarzfels"))), NotSearched)


async def test_a_wrong_login_is_refused(crm: Crm) -> None:
    with pytest.raises(Refused):
        await crm.over(login="unknown").one(task(Operation.LOCATE, email("a@post.example")))


# Restricting, correcting and leaving alone a customer in a real Tryton.
async def test_a_restricted_customer_is_hidden_from_an_agent_until_the_restriction_is_lifted(crm: Crm) -> None:
    customer = await crm.add()
    assert await crm.seen_by_agent(customer) == (1, 1, 1)
    restrict = task(Operation.RESTRICT, email(customer.emails[0]), ground="accuracy")
    done = await crm.one(restrict)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.changed, done.by_category) == (TaskOutcome.AMENDED, 1, 1, {"account": 1})
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


async def test_number_assignments_are_limited_to_provisioning_and_visible_customers(crm: Crm) -> None:
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


async def test_what_the_crm_accepts_and_does_not_do_is_found_out(crm: Crm, subtests: pytest.Subtests) -> None:
    async def says_yes(_: Any) -> httpx.Response:
        return httpx.Response(200, json={"id": 0, "result": None})

    customer, renamed = await crm.add(), [("name", None, "Ada Feldspat")]
    for operation, method in (
        (Operation.RESTRICT, "party.write"),
        (Operation.SUPPRESS, "party.write"),
        (Operation.RECTIFY, "party.write"),
        (Operation.ERASE, "contact_mechanism.delete"),
    ):
        with subtests.test(operation.value):
            lying = crm.over(OnTheWay(f"model.party.{method}", says_yes))
            changes = renamed if operation is Operation.RECTIFY else ()
            result = await lying.one(task(operation, email(customer.emails[0]), changes=changes))
            assert isinstance(result, DataStillPresent)


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
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.changed) == (TaskOutcome.AMENDED, 1, 1)
    assert (done.by_category, done.corrected) == ({"account": 1}, (1, 1, 1, 1, 1, 1, 0))
    export = await crm.receipt(task(Operation.EXPORT, account(customer.code)))
    held = [record.data for record in export.records]
    assert ("Ada Feldspat", customer.code) in {(data.get("name"), data.get("customer_number")) for data in held}
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


UNFIT = (
    ("name", "Another Name", "Ada Feldspat"),
    ("email", "not.hers@post.example", "ada@post.example"),
    ("phone", None, "not a number"),
    ("address.city", "Elsewhere", "Köln"),
)


async def test_correction_of_what_the_crm_does_not_hold_so_leaves_that_field_as_it_is(crm: Crm) -> None:
    customers = await crm.add_many(len(UNFIT))
    codes = [customer.code for customer in customers]
    shown = "SELECT code, name FROM party_party WHERE code = ANY($1) ORDER BY 1"
    before = await crm.sql(shown, codes)
    corrections = [
        task(Operation.RECTIFY, email(customer.emails[0]), changes=(("address.postal_code", None, "1"), unfit))
        for customer, unfit in zip(customers, UNFIT, strict=True)
    ]
    results = await crm.run(*corrections)
    corrected = [result.corrected if isinstance(result, Receipt) else type(result) for result in results]
    assert corrected == [(1, 0), (1, 0), CrmRefused, (1, 0)]
    assert not [customer.name for customer in customers if customer.name in str(results)]
    assert await crm.sql(shown, codes) == before
    for customer in customers:
        codes_now = await crm.sql("SELECT postal_code FROM party_address WHERE city = $1", customer.city)
        assert [row["postal_code"] for row in codes_now] == ["50667" if customer is customers[2] else "1"]
    assert "not a number" not in crm.tryton.child.log.read_text()


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
