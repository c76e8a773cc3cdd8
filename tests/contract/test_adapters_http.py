"""What is declared of an HTTP system, by the example of Zendesk: a system that behaves as its documentation says."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from fastapi import Response

from shared.domain.errors import BlastRadius, NotSupported, Refused, ResidueFound, SignInRefused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Limit, Operation, TaskOutcome
from shared.downstreams.contract import Pending
from shared.downstreams.refusals import ErasureRefused
from tests.contract.http_stands import ADA, declared, task, zendesk
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
        assert len(bulk) == 3, "100 tickets of five people are deleted twice and looked at once"


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
        assert isinstance(result, ResidueFound)


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


async def test_a_merged_users_address_is_followed_to_whoever_has_it_now() -> None:
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


async def test_a_state_of_a_job_that_nobody_has_heard_of_is_waited_for_until_its_time_is_over() -> None:
    async with zendesk() as (engine, desk):
        desk.job_states = ["reticulating"]
        desk.add_ticket(desk.add_user(ADA))
        [result] = await engine.erase(task())
        assert isinstance(result, Refused)
        assert "has not ended" in str(result)


async def test_a_job_that_failed_is_a_persons() -> None:
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


async def test_more_people_than_one_request_may_touch_are_left_to_two_persons() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        desk.add_user(ADA)
        [result] = await engine.erase(task())
        assert isinstance(result, BlastRadius)
        assert len(desk.users) == 2


async def test_a_copy_holds_what_is_classified_and_says_by_what_each_record_was_found() -> None:
    async with zendesk() as (engine, desk):
        desk.add_ticket(desk.add_user(ADA, name="Ada", phone="+33612345678"))
        [copied] = await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress)
        user, ticket = receipt(copied).records
        assert (user.data["name"], ticket.data["subject"]) == ("Ada", "No sound")
        assert "id" not in user.data
        assert {match.value for each in (user, ticket) for match in each.matched} == {ADA}


async def test_a_locate_yields_what_else_somebody_is_known_by() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA, phone="+33 6 12 34 56 78")
        [located] = await engine.adapter.locate([task(Operation.LOCATE)], engine.save_progress)
        assert receipt(located).identities == (Identity(IdentityType.PHONE, "+33612345678", source="saas"),)


ACCOUNTS = """
auth = { kind = "bearer", token_env = "HUBSPOT_TOKEN" }
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
    """Whoever is known by a1 has a2 as well, and the account 1, by which a2 signs in, and so on for so many steps."""
    (value,) = asked.url.params.values()
    n = int(re.sub(r"\D", "", value))
    if asked.url.path.endswith("users"):
        found = [{"id": f"u{n}", "email": value, "account": f"{n}", "next": f"a{n + (n < on)}@example.com"}]
    else:
        found = [{"id": f"l{n}", "account": value, "address": f"a{n + 1}@example.com"}] if n < on else []
    return httpx.Response(200, json=found)


@pytest.mark.parametrize(("on", "leads"), [(1, {"1"}), (3, {"1", "2", "3"}), (60, None)])
async def test_what_records_tell_of_somebody_is_followed_to_its_end_or_left_to_a_person(
    tmp_path: Path, on: int, leads: set[str] | None
) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS, encoding="utf-8")
    transport = httpx.MockTransport(partial(followed, on=on))
    for most, failure in ((1_000, NotSupported), (2, BlastRadius)):
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
        assert isinstance(lied, ResidueFound)


async def test_what_no_declaration_says_is_for_a_person() -> None:
    async with zendesk() as (engine, desk):
        desk.add_user(ADA)
        [result] = await engine.adapter.amend([task(Operation.RESTRICT)], engine.save_progress)
        assert isinstance(result, NotSupported)
