"""What a rule keeps of a customer in a real Tryton stays, reduced to that, and nothing else (Art. 17(1)(a), (3))."""

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.domain.errors import GroundUnknown, SystemRefused
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.sweepable import Counted, Due, Swept
from shared.downstreams.tryton.adapter import TrytonAdapter
from tests.fixtures.analytics import nothing
from tests.fixtures.downstream import email, receipt, task
from tests.fixtures.policy import signed_policy
from tests.fixtures.tryton import SYSTEM, Crm, account

DECLARED = {"invoice_open": "invoice_open", "disputed": "disputed", "last_activity": "last_activity"}
LEAP_DAY = date(2024, 2, 29)


@pytest.fixture
def grounds(crm: Crm) -> Crm:
    """The CRM, whose fields say why a customer's data must stay; today is 2 March 2026."""
    return crm.over(grounds=DECLARED)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"contract": "active"}, "active_contract"),
        ({"contract": "ended", "contract_ended_on": date(2010, 1, 1), "invoice_open": "yes"}, "open_invoice"),
        ({"contract": "none", "disputed": "yes"}, "dispute"),
    ],
)
async def test_what_is_in_use_stays_without_what_nobody_needs(grounds: Crm, facts: dict[str, Any], rule: str) -> None:
    second = "second@post.example"
    customer = await grounds.add(**facts)
    customer = await grounds.add(emails=(*customer.emails[:0], f"{rule}@post.example", second), **facts)
    plan = receipt(await grounds.one(task(Operation.PLAN, email(customer.emails[0]))))
    done = receipt(await grounds.one(task(Operation.ERASE, email(customer.emails[0]))))
    assert (done.outcome, done.ground, done.until, done.found, done.changed) == (TaskOutcome.RETAINED, rule, None, 6, 1)
    assert (plan.outcome, plan.remaining, plan.kept) == (TaskOutcome.PLANNED, done.remaining, done.kept)
    state = signed_policy().rules[rule].lasts_while
    assert plan.states == dict.fromkeys(grounds.adapter.tells, False) | {state: True}  # type: ignore[attr-defined]
    [row] = await grounds.sql("SELECT name, restricted FROM party_party WHERE code = $1", customer.code)
    assert (row["name"], row["restricted"]) == (customer.name, False)
    assert await grounds.sql("SELECT id FROM party_contact_mechanism WHERE value_compact = $1", second) == []


async def test_of_an_ended_relationship_name_and_address_stay_restricted_for_seven_years(grounds: Crm) -> None:
    customer = await grounds.add(contract="ended", contract_ended_on=LEAP_DAY)
    erase = task(Operation.ERASE, email(customer.emails[0]))
    done = receipt(await grounds.one(erase))
    assert (done.outcome, done.ground, done.until) == (TaskOutcome.RETAINED, "invoices_84m", date(2031, 2, 28))
    assert {each.category: each.count for each in done.kept or ()} == {"account": 1, "address": 1}
    assert (done.found, done.changed, done.remaining) == (5, 3, 2)
    assert await grounds.seen_by_agent(customer) == (0, 0, 0)
    dump = grounds.dump()
    assert customer.emails[0].lower() not in dump
    assert customer.phones[0].number not in dump
    assert customer.street.lower() in dump
    assert await grounds.one(grounds.again(erase)) == done, "a repeat gives the first receipt"


async def test_once_the_seven_years_are_over_all_of_it_goes(grounds: Crm) -> None:
    customer = await grounds.add(contract="ended", contract_ended_on=date(2019, 3, 1))
    erase = task(Operation.ERASE, account(customer.code, SYSTEM), email(customer.emails[0]))
    assert receipt(await grounds.one(erase)).outcome is TaskOutcome.ERASED
    assert customer.name.lower() not in grounds.dump()
    assert not await grounds.sql("SELECT id FROM party_party WHERE contract_ended_on = '2019-03-01'")


@pytest.mark.parametrize(
    "facts", [{"contract": None}, {"contract": "ended"}, {"contract": "active", "invoice_open": None}]
)
async def test_what_the_crm_does_not_tell_is_a_persons_matter_and_nothing_goes(
    grounds: Crm, facts: dict[str, Any]
) -> None:
    customer = await grounds.add(**facts)
    for operation in (Operation.PLAN, Operation.ERASE):
        assert isinstance(await grounds.one(task(operation, email(customer.emails[0]))), GroundUnknown)
    assert customer.emails[0].lower() in grounds.dump()


async def test_a_field_that_the_crm_has_not_stops_every_erasure_there(crm: Crm) -> None:
    customer = await crm.add()
    wrong = crm.over(grounds={"contract": "kontrakt"})
    with pytest.raises(SystemRefused, match="kontrakt"):
        await wrong.one(task(Operation.PLAN, email(customer.emails[0])))
    assert not crm.adapter.may_refuse  # type: ignore[attr-defined]
    assert wrong.adapter.may_refuse  # type: ignore[attr-defined]


async def test_what_these_fields_say_is_in_the_copy_that_the_person_gets(grounds: Crm) -> None:
    customer = await grounds.add(contract="active", last_activity=date(2026, 2, 1))
    shown = receipt(await grounds.one(task(Operation.EXPORT, email(customer.emails[0])))).records
    [facts] = [record for record in shown if "contract" in record.data]
    assert facts.data == {"contract": "active", "invoice_open": "no", "disputed": "no", "last_activity": "2026-02-01"}
    assert not facts.portable
    assert facts.matched


async def test_where_nobody_declares_grounds_everything_goes(crm: Crm) -> None:
    customer = await crm.add(contract="active")
    erase = task(Operation.ERASE, email(customer.emails[0]))
    done = await crm.one(erase)
    assert isinstance(done, Receipt)
    assert done.outcome is TaskOutcome.ERASED


async def test_by_night_former_customers_and_contacts_kept_for_marketing_alone_go_and_nobody_else(grounds: Crm) -> None:
    """Today is 2 March 2026; who has, or had, a number of ours is no contact for marketing alone."""
    old, young = date(2019, 2, 28), date(2019, 3, 2)
    ended = await grounds.add_many(2, contract="ended", contract_ended_on=old)
    kept = [
        await grounds.add(contract="ended", contract_ended_on=young),
        await grounds.add(contract="ended", contract_ended_on=old, invoice_open="yes"),
        await grounds.add(contract="ended", contract_ended_on=old, disputed=None),
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
        Due("party.party", "relationship_end", "delete", first, zone),
        Due("party.party", "last_activity", "delete", date(2023, 3, 2), zone),
    ]
    spared = {"account": [task(Operation.ERASE, email(ended[1].emails[0]))]}
    counted = await adapter.count(dues, spared)
    assert [each.due for each in counted if isinstance(each, Counted)] == [2, 1], "what is not known is past, and stays"
    assert await adapter.sweep(dues, spared, nothing) == [Swept(1, 1), Swept(1, 0)]
    dump = grounds.dump()
    assert [each.emails[0].lower() in dump for each in (*ended, contact)] == [False, True, False]
    assert all(each.emails[0].lower() in dump for each in kept)
    again = await adapter.count(dues, {})
    assert [each.due for each in again if isinstance(each, Counted)] == [2, 0]
