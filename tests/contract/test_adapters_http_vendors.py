"""The declarations for HubSpot and Stripe, each against a system that behaves as its documentation says."""

from dataclasses import replace

from shared.domain.errors import Refused
from shared.domain.operations import Operation, TaskOutcome
from tests.contract.http_stands import ADA, hubspot, stripe, task
from tests.fakes.stripe_responder import REDACTED
from tests.fixtures.downstream import receipt


async def test_a_contact_goes_by_id_alone_so_that_nobody_is_put_on_a_blocklist() -> None:
    async with hubspot() as (engine, crm):
        contact = crm.add_contact(ADA)
        for _ in range(230):
            crm.add_activity(contact)
        [result] = await engine.erase(task())
        assert receipt(result).by_category == {"contact": 1, "activity": 230}
        assert (crm.contacts, crm.activities, crm.blocklist) == ({}, {}, [])
        [nobody] = await engine.erase(task(email="ben@example.com"))
        assert receipt(nobody).outcome is TaskOutcome.NO_MATCH
        assert crm.blocklist == []


async def test_a_contact_that_wants_no_marketing_shows_it() -> None:
    async with hubspot() as (engine, crm):
        contact = crm.add_contact(ADA)
        [done] = await engine.adapter.amend([task(Operation.SUPPRESS)], engine.save_progress)
        assert receipt(done).changed == 1
        assert crm.contacts[contact]["properties"]["hs_email_optout"] == "true"


async def test_a_redaction_is_begun_told_to_run_and_followed_to_its_end() -> None:
    async with stripe() as (engine, payments):
        customer = payments.add_customer(ADA)
        charges = [payments.add_charge(customer) for _ in range(25)]
        [result] = await engine.erase(task())
        assert receipt(result).by_category == {"customer": 1, "payment": len(charges)}
        assert payments.customers[customer]["email"] == REDACTED
        assert {each["billing_details"]["email"] for each in payments.charges.values()} == {REDACTED}
        assert max(len(job["objects"]) for job in payments.jobs.values()) <= 10


async def test_a_customer_in_capitals_is_found_by_the_search() -> None:
    async with stripe() as (engine, payments):
        customer = payments.add_customer("Ada@Example.com")
        engine.clock.pass_by(minutes=1)
        assert receipt((await engine.erase(task()))[0]).found == 1
        assert payments.customers[customer]["email"] == REDACTED


async def test_new_states_of_a_job_and_another_job_in_the_way_are_waited_for() -> None:
    async with stripe() as (engine, payments):
        payments.states, payments.locked = ("created", "validated"), 1
        payments.add_customer(ADA)
        assert receipt((await engine.erase(task()))[0]).found == 1


async def test_a_disputed_charge_stays_with_its_customer_as_long_as_that_is_so() -> None:
    async with stripe() as (engine, payments):
        customer = payments.add_customer(ADA)
        payments.add_charge(customer, disputed=True)
        erasing = replace(task(), at=engine.clock.now())
        [planned] = await engine.adapter.plan([replace(erasing, operation=Operation.PLAN)], engine.save_progress)
        assert receipt(planned).states == {"disputed": True}, "others keep by it as well"
        [result] = await engine.erase(erasing)
        kept = [(each.category, each.rule, each.count) for each in receipt(result).kept or ()]
        assert kept == [("customer", "dispute", 1), ("payment", "dispute", 1)]
        assert receipt(planned).kept == receipt(result).kept
        assert not payments.jobs
        assert payments.customers[customer]["email"] == ADA


async def test_a_job_that_was_canceled_is_a_persons_and_a_retry_begins_another() -> None:
    async with stripe() as (engine, payments):
        payments.add_customer(ADA)
        payments.end = "canceled"
        erasing = task()
        [result] = await engine.erase(erasing)
        assert isinstance(result, Refused)
        payments.end = "succeeded"
        payments.keys.clear()
        [again] = await engine.erase(erasing)
        assert receipt(again).found == 1
