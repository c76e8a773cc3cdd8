"""What else the platform does in a real Roundup: find, hand out, amend, escalate, and say when it is away."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.local.roundup import Roundup
from shared.domain.errors import BlastRadius, ForeignHit, Refused, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome, Unsearched
from shared.downstreams.contract import NotSearched, Receipt
from shared.downstreams.roundup import RoundupAdapter
from tests.fixtures.roundup import Harness, Notes, adapter_for, email, name, phone, task

FORBIDDEN = 403
OK = 200


def unique(prefix: str) -> str:
    """An address that nobody else has."""
    return f"{prefix}.{uuid7().hex}@example.org"


def a_number() -> str:
    """A number that nobody else has."""
    return f"+3461{int(uuid7().hex[-12:], 16) % 10**7:07d}"


async def test_a_subject_is_found_by_any_spelling_of_address_and_number_and_yields_the_rest(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    address, second, number = unique("Marta.Soler"), unique("marta"), a_number()
    written = f"00{number[1:3]} {number[3:6]} {number[6:]}"
    harness.person("Marta Soler", address.upper(), written, alternate_addresses=f"{unique('old')}\n{second.upper()}")
    tasks = [task(Operation.LOCATE, one) for one in (email(address), email(second), phone(number))]
    for receipt in await ticketing.locate(tasks, notes.save_progress):
        assert isinstance(receipt, Receipt)
        assert (receipt.outcome, receipt.found) == (TaskOutcome.LOCATED, 1)
        kinds = {identity.type for identity in receipt.identities}
        assert {IdentityType.EMAIL, IdentityType.NAME} <= kinds
        assert all(identity.source == "ticketing" for identity in receipt.identities)


async def test_a_number_that_passed_on_proves_nothing(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    number = a_number()
    harness.person("New Holder", unique("new"), number)
    (result,) = await ticketing.locate(
        [task(Operation.LOCATE, email(unique("old")), phone(number))], notes.save_progress
    )
    assert isinstance(result, ForeignHit)


async def test_a_number_that_was_the_subjects_once_is_not_searched_for(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    number = a_number()
    harness.person("New Holder", unique("new"), number)
    former = Identity(IdentityType.PHONE, number, datetime(2020, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC))
    (receipt,) = await ticketing.locate([task(Operation.LOCATE, former)], notes.save_progress)
    assert isinstance(receipt, Receipt)
    assert receipt.outcome is TaskOutcome.NO_MATCH


async def test_more_users_than_one_subject_may_be_stop_the_task(harness: Harness, notes: Notes) -> None:
    addresses = [unique(f"many{n}") for n in range(3)]
    for address in addresses:
        harness.person("Many Faces", address)
    adapter = adapter_for(harness.roundup, max_people=2)
    (result,) = await adapter.locate([task(Operation.LOCATE, *map(email, addresses))], notes.save_progress)
    await adapter.close()
    assert isinstance(result, BlastRadius)


async def test_an_access_package_holds_account_tickets_messages_and_files(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    address, number = unique("Pau.Vidal"), a_number()
    user = harness.person("Pau Vidal", address, number)
    retired = harness.ticket(user, "An old case", "it was solved")
    harness.retire("issue", retired)
    harness.ticket(user, "Roaming", "no data in Lisbon", "bill.pdf")
    (receipt,) = await ticketing.export([task(Operation.EXPORT, email(address))], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert receipt.by_category == {"account": 1, "file": 1, "message": 4, "ticket": 2}
    by_category = {record.category: record for record in reversed(receipt.records)}
    assert by_category["account"].data["address"] == address
    assert by_category["ticket"].data["title"] == "An old case"
    content = by_category["file"].data["content_base64"]
    assert isinstance(content, str)
    assert b64decode(content) == b"contents of bill.pdf"
    messages = [record for record in receipt.records if record.category == "message"]
    assert {(record.data["author"], record.portable) for record in messages} == {("you", True), ("service desk", False)}
    assert "no data in Lisbon" in [record.data["content"] for record in messages]


async def test_a_restricted_subject_is_hidden_from_ordinary_agents_until_it_is_lifted(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    address = unique("restricted")
    user = harness.person("Rita Quiet", address)
    ticket = harness.ticket(user, "Please wait", "do not touch", "contract.txt")
    (message, *_), (file,) = harness.get("issue", ticket)["messages"], harness.get("issue", ticket)["files"]
    parts = [("user", user), ("issue", ticket), ("msg", message["id"]), ("file", file["id"])]
    assert [harness.seen_by_agent(*part) for part in parts] == [OK] * 4
    restriction = task(Operation.RESTRICT, email(address), details={"ground": "accuracy"})
    receipts = [
        *await ticketing.amend([restriction], notes.save_progress),
        *await ticketing.amend([restriction], notes.save_progress),
    ]
    assert (
        receipts[0]
        == receipts[1]
        == Receipt(restriction.task_id, TaskOutcome.AMENDED, found=1, changed=1, by_category={"account": 1})
    )
    assert [harness.seen_by_agent(*part) for part in parts] == [FORBIDDEN] * 4
    listed = harness.http.get("issue", auth=(harness.roundup.agent, harness.roundup.agent_password)).json()
    assert ticket not in [item["id"] for item in listed["data"]["collection"]]
    await ticketing.amend([task(Operation.LIFT, email(address))], notes.save_progress)
    assert [harness.seen_by_agent(*part) for part in parts] == [OK] * 4


async def test_an_objection_stops_marketing(harness: Harness, ticketing: RoundupAdapter, notes: Notes) -> None:
    address = unique("spam")
    user = harness.person("No Spam", address)
    (receipt,) = await ticketing.amend([task(Operation.SUPPRESS, email(address))], notes.save_progress)
    assert isinstance(receipt, Receipt)
    assert receipt.outcome is TaskOutcome.AMENDED
    assert harness.get("user", user)["marketing_opt_out"]


async def test_a_rectified_address_can_be_repeated_although_the_old_one_finds_nobody(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    wrong, right = unique("wrong"), unique("right")
    user = harness.person("Joan Mas", wrong)
    changes = Change(field="email", current=wrong, asserted=right), Change(field="name", asserted="Joana Mas")
    first = replace(task(Operation.RECTIFY, email(wrong)), changes=changes)
    (receipt,) = await ticketing.amend([first], notes.save_progress)
    repeat = replace(first, progress=notes[first.task_id])
    (repeated,) = await ticketing.amend([repeat], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert repeated == receipt
    assert (harness.get("user", user)["address"], harness.get("user", user)["realname"]) == (right, "Joana Mas")


async def test_a_field_that_ticketing_does_not_hold_is_refused(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    address = unique("street")
    harness.person("Some Body", address)
    change = Change(field="street", current="a", asserted="b")
    street = replace(task(Operation.RECTIFY, email(address)), changes=(change,))
    (result,) = await ticketing.amend([street], notes.save_progress)
    assert isinstance(result, Refused)


async def test_a_request_has_one_ticket_that_is_commented_on_once_for_each_task(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    request = uuid7()
    approaching, overdue = (
        task(Operation.ESCALATE, details={"level": level, "due_on": "2026-12-24", "right": "erasure"}, request=request)
        for level in ("approaching", "overdue")
    )
    results = [
        result
        for each in (approaching, approaching, overdue, overdue)
        for result in await ticketing.escalate([each], notes.save_progress)
    ]
    references = {result.reference for result in results if isinstance(result, Receipt)}
    assert [result.outcome for result in results if isinstance(result, Receipt)] == [TaskOutcome.ESCALATED] * 4
    (ticket,) = references
    issue = harness.get("issue", str(ticket))
    assert str(request) in str(issue["title"])
    comments = [harness.get("msg", str(one["id"]))["content"] for one in issue["messages"]]
    assert [str(comment).partition(":")[0] for comment in comments] == ["approaching", "overdue"]


async def test_a_change_by_somebody_else_in_between_is_not_overwritten_blindly_but_tried_again(
    harness: Harness, notes: Notes
) -> None:
    address = unique("busy")
    user = harness.person("Busy Body", address)

    class Meanwhile(httpx.AsyncHTTPTransport):
        """A connection on which somebody else changes the user just before us."""

        changes = 0

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PATCH" and not self.changes:
                self.changes += 1
                harness.change("user", user, organisation="Somebody else's change")
            return await super().handle_async_request(request)

    adapter = adapter_for(harness.roundup, Meanwhile())
    (receipt,) = await adapter.amend([task(Operation.RESTRICT, email(address))], notes.save_progress)
    await adapter.close()
    assert isinstance(receipt, Receipt), receipt
    assert harness.get("user", user)["organisation"] == "Somebody else's change"
    assert harness.get("user", user)["restricted"]


@pytest.mark.parametrize("route", ["people", "records", "values", "overwrite", "history", "forget"])
def test_the_privacy_routes_are_closed_to_ordinary_agents(harness: Harness, route: str) -> None:
    body = {"addresses": [], "phones": [], "people": [], "records": {"user": ["1"]}}
    agent = (harness.roundup.agent, harness.roundup.agent_password)
    answer = harness.http.post(f"{harness.roundup.url}rest/privacy/{route}", json=body, auth=agent)
    assert answer.status_code == FORBIDDEN


async def test_by_a_name_alone_nobody_is_searched_for(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    harness.person("Common Name", unique("common"))
    named = task(Operation.LOCATE, name("Common Name"))
    assert await ticketing.locate([named], notes.save_progress) == [
        NotSearched(named.task_id, Unsearched.NOTHING_TO_SEARCH_BY)
    ]


async def test_a_wrong_password_is_refused_and_not_retried(harness: Harness, notes: Notes) -> None:
    adapter = adapter_for(harness.roundup, user="nobody-like-this")
    with pytest.raises(Refused, match="role Privacy"):
        await adapter.locate([task(Operation.LOCATE, email(unique("x")))], notes.save_progress)
    await adapter.close()


async def test_a_tracker_that_is_away_is_unavailable_and_keeps_its_records_when_it_comes_back(
    run_folder: Path, notes: Notes
) -> None:
    tracker = Roundup(run_folder / "roundup-restarted")
    tracker.load([{"person": {"username": "c1", "realname": "Kept", "address": "kept@example.org"}}])
    tracker.start()
    adapter = adapter_for(tracker)
    search = task(Operation.LOCATE, email("kept@example.org"))
    tracker.child.kill()
    with pytest.raises(Unavailable):
        await adapter.locate([search], notes.save_progress)
    tracker.start()
    (receipt,) = await adapter.locate([search], notes.save_progress)
    await adapter.close()
    tracker.stop()
    assert isinstance(receipt, Receipt)
    assert receipt.found == 1
