"""What vendors do to whoever erases there: each nastiness by itself, against the system that has it."""

from datetime import timedelta

from fastapi import Response
from fastapi.responses import JSONResponse

from shared.domain.errors import ForeignHit, SignInRefused
from shared.downstreams.contract import Pending, Receipt
from tests.contract.http_stands import ADA, hubspot, stripe, task, zendesk


async def test_an_index_that_is_behind_shows_the_dead_and_they_are_not_erased_again_and_again() -> None:
    async with hubspot() as (engine, crm):
        crm.add_contact(ADA)
        crm.lag = timedelta(minutes=2)
        [result] = await engine.erase(task())
        assert isinstance(result, Receipt), result
        assert (result.found, crm.contacts) == (1, {})


async def test_who_is_one_of_two_merged_people_is_neither_erased_nor_called_unknown() -> None:
    async with hubspot() as (engine, crm):
        loser, winner = crm.add_contact(ADA), crm.add_contact("ben@example.com")
        crm.merge(loser, winner)
        [result] = await engine.erase(task())
        assert isinstance(result, ForeignHit)
        assert list(crm.contacts) == [winner]


async def test_who_is_merged_while_they_are_erased_is_seen_by_the_second_search() -> None:
    async with hubspot() as (engine, crm):
        loser, winner, erasing = crm.add_contact(ADA), crm.add_contact("ben@example.com"), task()

        async def merged(noted: object) -> None:
            if loser in crm.contacts:
                crm.merge(loser, winner)
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [result] = await engine.adapter.erase([erasing], merged)
        assert isinstance(result, ForeignHit), result
        assert list(crm.contacts) == [winner]


async def test_who_is_found_by_an_address_that_the_search_does_not_show_is_not_called_unknown() -> None:
    async with zendesk() as (engine, desk):
        desk.others[desk.add_user("ben@example.com")] = ADA
        [result] = await engine.erase(task())
        assert isinstance(result, ForeignHit)
        assert len(desk.users) == 1


async def test_busy_without_a_word_for_how_long_stops_all_calls_for_a_minute_and_nothing_is_lost() -> None:
    async with hubspot() as (engine, crm):
        contact, erasing = crm.add_contact(ADA), task()
        for _ in range(3):
            crm.add_activity(contact)

        async def busy(noted: object) -> None:
            crm.busy = [Response(status_code=429)]
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [pending] = await engine.adapter.erase([erasing], busy)
        assert isinstance(pending, Pending)
        assert pending.retry_in == timedelta(minutes=1)
        crm.busy = []
        engine.clock.pass_by(seconds=60)
        [result] = await engine.erase(erasing)
        assert isinstance(result, Receipt)
        assert (result.found, crm.contacts, crm.activities) == (4, {}, {})


async def test_a_scope_that_is_missing_is_named_and_the_others_records_stay() -> None:
    async with hubspot() as (engine, crm):
        crm.add_contact(ADA)

        async def scope(noted: object) -> None:
            crm.busy = [JSONResponse({"category": "MISSING_SCOPES"}, 403)]
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [result] = await engine.adapter.erase([task()], scope)
        assert isinstance(result, SignInRefused)
        assert "crm.objects.contacts.write" in str(result)
        assert len(crm.contacts) == 1


async def test_a_hundred_tickets_that_an_index_has_behind_are_each_looked_at_by_their_id() -> None:
    async with zendesk() as (engine, desk):
        user = desk.add_user(ADA)
        for _ in range(101):
            desk.add_ticket(user)
        [result] = await engine.erase(task())
        assert isinstance(result, Receipt)
        assert sum(call.endswith("/tickets/show_many") for call in desk.calls) == 2


async def test_a_redaction_that_nobody_began_twice_is_one_job_after_a_crash() -> None:
    async with stripe() as (engine, payments):
        payments.add_customer(ADA)
        erasing = task()
        [first] = await engine.once([erasing])
        assert isinstance(first, Pending)
        engine.progress.clear()  # it came down before the job was noted
        [result] = await engine.erase(erasing)
        assert isinstance(result, Receipt)
        assert len(payments.jobs) == 1
