"""The declared HTTP system, by the example of Zendesk as its documentation describes it."""

import gc
import re
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import Response
from fastapi.responses import JSONResponse

from shared.domain.errors import DataStillPresent, LimitExceeded, NotSupported, Refused, SignInRefused, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Limit, Operation, TaskOutcome
from shared.systems.contract import CopiedRecord, Pending, Receipt
from shared.systems.protocols import ExportableInParts
from shared.systems.states import ErasureRefused
from tests.contract.http_stands import ADA, declared, hubspot, stripe, task, zendesk
from tests.contract.one_resource import BEARER, DECLARATION, Ask, people
from tests.fakes.stripe_responder import REDACTED
from tests.fixtures.downstream import receipt
from tests.fixtures.engine import SetClock

BEN = "ben@example.com"


async def test_a_user_and_their_tickets_are_erased_for_good_and_not_only_softly() -> None:
    async with zendesk() as (engine, desk):
        user, other = desk.add_user(ADA), desk.add_user(BEN)
        tickets = [desk.add_ticket(user) for _ in range(250)]
        kept = desk.add_ticket(other)
        [result] = await engine.erase(task())
        assert receipt(result).by_category == {"requester": 1, "ticket": len(tickets)}
        assert (list(desk.users), desk.soft_users, desk.soft_tickets) == ([other], {}, {})
        assert desk.tickets.keys() == {kept}


async def test_a_person_takes_the_fewest_calls_and_tickets_of_several_share_theirs() -> None:
    async with zendesk() as (engine, desk):
        for number in range(5):
            user = desk.add_user(f"u{number}@example.com")
            for _ in range(20):
                desk.add_ticket(user)
        tasks = [task(email=f"u{number}@example.com") for number in range(5)]
        assert {receipt(each).outcome for each in await engine.erase(*tasks)} == {TaskOutcome.ERASED}
        bulk = [call for call in desk.calls if "many" in call]
        assert len(bulk) == 3, "100 tickets of five people are deleted twice and read once"


async def test_a_search_that_lags_behind_neither_hides_residue_nor_brings_the_dead_back() -> None:
    async with zendesk() as (engine, desk):
        desk.lag = timedelta(minutes=3)
        desk.add_user(ADA)
        engine.clock.pass_by(minutes=3)
        [result] = await engine.erase(task())
        assert receipt(result).found == 1
        assert not desk.users
        assert not desk.soft_users


async def test_a_system_that_says_yes_and_does_nothing_is_not_believed() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.lies = True
        [result] = await engine.erase(task(), patience=100)
        assert isinstance(result, DataStillPresent)


async def test_who_was_restored_between_two_looks_is_not_called_erased() -> None:
    async with zendesk() as (engine, desk):
        user, erasing = desk.add_user(ADA), task()

        async def restored(noted: object) -> None:
            if user in desk.soft_users:
                desk.restore(user)
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [first] = await engine.adapter.erase([erasing], restored)
        assert isinstance(first, Pending)
        assert receipt((await engine.erase(erasing))[0]).found == 1
        assert (desk.users, desk.soft_users) == ({}, {})


async def test_merged_users_address_is_followed_to_its_present_holder() -> None:
    async with zendesk() as (engine, desk):
        loser, winner, erasing = desk.add_user(ADA), desk.add_user("old@example.com"), task()
        first = True

        async def merged(noted: object) -> None:
            nonlocal first
            if first:
                desk.merge(loser, winner)
                first = False
            await engine.save_progress(noted)  # type: ignore[arg-type]

        await engine.adapter.erase([erasing], merged)
        [result] = await engine.erase(erasing)
        assert receipt(result).found == 2
        assert not desk.users


async def test_an_open_ticket_stops_the_erasure_before_anything_is_touched() -> None:
    async with zendesk() as (engine, desk):
        user = desk.add_user(ADA)
        desk.add_ticket(user, "open")
        desk.add_ticket(user)
        [result] = await engine.erase(task())
        assert isinstance(result, ErasureRefused)
        assert "open_ticket" in str(result)
        assert (len(desk.users), len(desk.tickets)) == (1, 2)


async def test_busy_is_waited_for_as_long_as_it_says_and_the_task_is_given_back() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.busy = [Response(status_code=429, headers={"Retry-After": "93"})]
        [result] = await engine.once([task()])
        assert isinstance(result, Pending)
        assert result.retry_in == timedelta(seconds=93)


async def test_busy_without_a_time_is_left_alone_for_a_while() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.busy = [Response(status_code=429, content="Too many", media_type="text/plain")]
        [result] = await engine.once([task()])
        assert isinstance(result, Pending)
        assert timedelta(seconds=10) <= result.retry_in <= timedelta(minutes=5)


async def test_unknown_state_of_a_job_counts_as_pending_until_the_timeout() -> None:
    async with zendesk() as (engine, desk):
        desk.job_states = ["reticulating"]
        desk.add_ticket(desk.add_user(ADA))
        [result] = await engine.erase(task())
        assert isinstance(result, Refused)
        assert "has not ended" in str(result)


async def test_failed_job_is_manual() -> None:
    async with zendesk() as (engine, desk):
        desk.job_states = ["working", "killed"]
        desk.add_ticket(desk.add_user(ADA))
        [result] = await engine.erase(task())
        assert isinstance(result, Refused)
        assert "failed" in str(result)


async def test_a_missing_right_is_named() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.busy = []

        async def forbidden(noted: object) -> None:
            desk.busy = [Response(status_code=403)]
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [result] = await engine.adapter.erase([task()], forbidden)
        assert isinstance(result, SignInRefused)
        assert "it needs admin" in str(result)


async def test_people_over_the_limit_need_two_approvers() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.add_user(ADA)
        [result] = await engine.erase(task())
        assert isinstance(result, LimitExceeded)
        assert len(desk.users) == 2


async def test_a_copy_holds_what_is_classified_and_says_by_what_each_record_was_found() -> None:
    async with zendesk() as (engine, desk):
        desk.add_ticket(desk.add_user(ADA, name="Ada", phone="+33612345678"))
        [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
        user, ticket = receipt(copied).records
        assert (user.data["name"], ticket.data["subject"]) == ("Ada", "No sound")
        assert "id" not in user.data
        assert {match.value for each in (user, ticket) for match in each.matched} == {ADA}


async def test_locate_yields_further_identities() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA, phone="+33 6 12 34 56 78")
        [located] = await engine.adapter.locate([task(Operation.LOCATE)], engine.save_progress)
        assert receipt(located).identities == (Identity(IdentityType.PHONE, "+33612345678", source="saas"),)


ACCOUNTS = """
auth = { value = "Bearer {HUBSPOT_TOKEN}" }
check = { get = "/me" }
[resource.user]
category = "contact"
find = { get = "/users", query = { email = "{email}" }, by = ["email"] }
owner = { email = "email" }
yields = { account = "account_id", next = "email" }
[resource.login]
category = "contact"
find = { get = "/logins", query = { account = "{account_id}" }, by = ["account_id"] }
owner = { account = "account_id" }
yields = { address = "email" }
"""


def followed(asked: httpx.Request, *, on: int) -> httpx.Response:
    """Answers a chain of identities: a1 leads to a2 and account 1, by which a2 signs in, for so many steps."""
    (value,) = asked.url.params.values()
    n = int(re.sub(r"\D", "", value))
    if asked.url.path.endswith("users"):
        found = [{"id": f"u{n}", "email": value, "account": f"{n}", "next": f"a{n + (n < on)}@example.com"}]
    else:
        found = [{"id": f"l{n}", "account": value, "address": f"a{n + 1}@example.com"}] if n < on else []
    return httpx.Response(200, json=found)


@pytest.mark.parametrize(("on", "leads"), [(1, {"1"}), (3, {"1", "2", "3"}), (60, None)])
async def test_yielded_identities_are_followed_or_need_review(tmp_path: Path, on: int, leads: set[str] | None) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS, encoding="utf-8")
    transport = httpx.MockTransport(partial(followed, on=on))
    for most, failure in ((1_000, NotSupported), (2, LimitExceeded)):
        asked = replace(task(Operation.LOCATE, "a1@example.com"), confirmed={Limit.MAX_PEOPLE: most})
        async with declared(tmp_path / "accounts.toml", transport, SetClock(), max_people=most) as each:
            [located] = await each.adapter.locate([asked], each.save_progress)
        if leads is None or (most == 2 and on > 1):
            assert isinstance(located, failure)
        else:
            assert {i.value for i in receipt(located).identities if i.type is IdentityType.ACCOUNT_ID} == leads


async def test_a_correction_is_read_again_and_a_lie_is_found_out() -> None:
    async with zendesk() as (engine, desk):
        user = desk.add_user(ADA, name="Eda")
        change = Change(field="name", current="Eda", asserted="Ada")
        [done] = await engine.adapter.amend([task(Operation.RECTIFY, ADA, change)], engine.save_progress)
        assert (receipt(done).changed, desk.users[user]["name"]) == (1, "Ada")
        desk.lies = True
        [lied] = await engine.adapter.amend(
            [task(Operation.RECTIFY, ADA, Change(field="name", asserted="Eve"))], engine.save_progress
        )
        assert isinstance(lied, DataStillPresent)


async def test_what_no_declaration_says_is_for_a_person() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        [result] = await engine.adapter.amend([task(Operation.RESTRICT)], engine.save_progress)
        assert isinstance(result, NotSupported)


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("7", timedelta(seconds=7)),
        ("Mon, 02 Mar 2026 09:02:00 GMT", timedelta(minutes=2)),
        ("99999999999999", timedelta(minutes=15)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(minutes=15)),
        ("0", timedelta(seconds=1)),
        ("Mon, 02 Mar 2020 09:02:00 GMT", timedelta(seconds=1)),
        ("soon", timedelta(minutes=1)),
        ("-5", timedelta(minutes=1)),
    ],
)
async def test_a_pause_is_kept_and_a_senseless_one_is_bounded(ask: Ask, header: str, after: timedelta) -> None:
    result = await ask(lambda _: httpx.Response(429, headers={"retry-after": header}))
    assert isinstance(result, Pending)
    assert (result.retry_in, result.busy) == (after, True)


# The declarations for HubSpot and Stripe, each against a system that behaves as its documentation says.
async def test_contact_is_deleted_by_id_so_that_no_address_is_blocklisted() -> None:
    async with hubspot() as (engine, crm):
        contact = crm.add_contact(ADA)
        for _ in range(230):
            crm.add_activity(contact)
        [result] = await engine.erase(task())
        assert receipt(result).by_category == {"contact": 1, "activity": 230}
        assert (crm.contacts, crm.activities, crm.blocklist) == ({}, {}, [])
        [unknown] = await engine.erase(task(email="ben@example.com"))
        assert receipt(unknown).outcome is TaskOutcome.NO_MATCH
        assert crm.blocklist == []


async def test_a_contact_that_wants_no_marketing_shows_it() -> None:
    async with hubspot() as (engine, crm):
        contact = crm.add_contact(ADA)
        [done] = await engine.adapter.amend([task(Operation.SUPPRESS)], engine.save_progress)
        assert receipt(done).changed == 1
        assert crm.contacts[contact]["properties"]["hs_email_optout"] == "true"


async def test_redaction_is_started_run_and_followed_to_its_end() -> None:
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
        kept = sorted((each.category, each.rule, each.count) for each in receipt(result).kept or ())
        assert kept == [("customer", "dispute", 1), ("payment", "dispute", 1)]
        assert receipt(planned).kept == receipt(result).kept
        assert not payments.jobs
        assert payments.customers[customer]["email"] == ADA


async def test_canceled_job_is_manual_and_a_retry_starts_another() -> None:
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


# A copy out of a declared system is handed over page by page: a person's records are never in memory together.
PAGES, RECORDS, BYTES = 30, 100, 10_000
"""30 MB of notes in all."""
NOTES = """
[resource.note]
category = "activity"
of = "person"
owner = { of = "person.id" }
fields = { id = "T", of = "T", text = "C" }
[[resource.note.find]]
get = "/notes/{person.id}"
records = "people"
pages = { kind = "cursor", size = 100, next = "next", parameter = "at" }
"""
_MOST = 24 * 2**20


async def test_many_records_of_one_person_are_read_in_flat_memory(tmp_path: Path) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/people"):
            return people({"id": 7, "email": ADA})
        page = int(request.url.params.get("at", 0))
        notes = [{"id": page * RECORDS + n, "of": 7, "text": f"{page}" * (BYTES // 2)} for n in range(RECORDS)]
        return people(*notes, next=str(page + 1) if page + 1 < PAGES else None)

    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + NOTES)
    given: list[int] = []

    async def hand_over(_: object, records: Sequence[CopiedRecord]) -> None:
        given.append(len(records))

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock(), max_rows=10_000) as engine:
        adapter = engine.adapter
        assert isinstance(adapter, ExportableInParts)
        gc.freeze()  # as a service does: else how much other tests have loaded decides when a page is collected
        gc.collect()  # the collector's count of what has lived long begins at nothing
        tracemalloc.start()
        [copied] = await adapter.export_in_parts([task(Operation.EXPORT)], engine.save_progress, hand_over)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gc.unfreeze()
    assert isinstance(copied, Receipt)
    assert (copied.outcome, copied.found, copied.parts) == (TaskOutcome.EXPORTED, PAGES * RECORDS + 1, len(given))
    assert sum(given) + len(copied.records) == copied.found
    assert most < _MOST, f"{most / 2**20:.0f} MiB"


# Oddities of vendors, each against the system that has it.
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
        assert isinstance(result, WrongPersonMatch)
        assert list(crm.contacts) == [winner]


async def test_who_is_merged_while_they_are_erased_is_seen_by_the_second_search() -> None:
    async with hubspot() as (engine, crm):
        loser, winner, erasing = crm.add_contact(ADA), crm.add_contact("ben@example.com"), task()

        async def merged(noted: object) -> None:
            if loser in crm.contacts:
                crm.merge(loser, winner)
            await engine.save_progress(noted)  # type: ignore[arg-type]

        [result] = await engine.adapter.erase([erasing], merged)
        assert isinstance(result, WrongPersonMatch), result
        assert list(crm.contacts) == [winner]


async def test_who_is_found_by_an_address_that_the_search_does_not_show_is_not_called_unknown() -> None:
    async with zendesk() as (engine, desk):
        desk.others[desk.add_user("ben@example.com")] = ADA
        [result] = await engine.erase(task())
        assert isinstance(result, WrongPersonMatch)
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


async def test_redaction_is_one_job_after_a_crash() -> None:
    async with stripe() as (engine, payments):
        payments.add_customer(ADA)
        erasing = task()
        [first] = await engine.once([erasing])
        assert isinstance(first, Pending)
        engine.progress.clear()  # it came down before the job was noted
        [result] = await engine.erase(erasing)
        assert isinstance(result, Receipt)
        assert len(payments.jobs) == 1
