"""Erasure in a real Roundup: what is gone is gone from its whole database and all its files."""

from collections.abc import Mapping, Sequence

import httpx
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import BlastRadius, ForeignHit, ResidueFound
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.roundup import RoundupAdapter
from tests.fixtures.roundup import Customer, Harness, Notes, adapter_for, again, email, name, phone, task


async def test_nothing_of_an_erased_subject_is_left_in_the_database_or_the_files(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer = Customer(harness)
    assert harness.holds(*customer.values)
    (receipt,) = await ticketing.erase([customer.erasure()], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert receipt.outcome is TaskOutcome.ERASED
    assert {key: receipt.by_category[key] for key in ("account", "ticket", "message", "file")} == {
        "account": 1,
        "ticket": 1,
        "message": 2,
        "file": 1,
    }
    assert receipt.by_category["history"] > 0
    assert (receipt.changed, receipt.remaining) == (receipt.found, 0)
    assert harness.holds(*customer.values) == []


async def test_what_an_agent_had_deleted_is_erased_too(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer = Customer(harness)
    for classname, identity in (("issue", customer.ticket), ("user", customer.user)):
        harness.retire(classname, identity)
    (receipt,) = await ticketing.erase([customer.erasure()], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert harness.holds(*customer.values) == []


async def test_a_saved_search_and_a_message_on_somebody_elses_ticket_are_erased_and_the_ticket_is_not(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer, other = Customer(harness), Customer(harness)
    save_progress = harness.create("msg", content="I have the same trouble, says Ines' neighbour", author=customer.user)
    messages = [*harness.get("issue", other.ticket)["messages"], {"id": save_progress}]
    harness.change("issue", other.ticket, messages=",".join(str(one["id"]) for one in messages))
    search = harness.create("query", name=f"Mine {customer.name}", klass="issue", private_for=customer.user)
    (receipt,) = await ticketing.erase([customer.erasure()], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert harness.get("query", search)["name"] == "[erased]"
    assert harness.get("msg", save_progress)["content"] == "[erased]"
    assert harness.get("issue", other.ticket)["title"] == f"{other.title}!"


async def test_a_tracker_that_cannot_remove_its_history_is_told_as_residue(harness: Harness, notes: Notes) -> None:
    customer = Customer(harness)

    class Foreign(httpx.AsyncHTTPTransport):
        """A tracker that was never given our routes."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "/rest/privacy/" in request.url.path:
                return httpx.Response(404, request=request)
            return await super().handle_async_request(request)

    adapter = adapter_for(harness.roundup, Foreign())
    (result,) = await adapter.erase([customer.erasure()], notes.save_progress)
    await adapter.close()
    assert isinstance(result, ResidueFound)
    assert "history" in str(result)
    assert harness.get("msg", _first(harness, customer))["content"] == "[erased]"
    assert harness.holds(customer.former)


async def test_a_longer_address_that_contains_the_subjects_is_left_alone(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    tag = uuid7().hex[-12:]
    others = [harness.person(f"Other {n}", f"x{tag}-1@example.org{n}") for n in (".mx", ".ar")]
    others.append(harness.person("Other", f"not-x{tag}-1@example.org"))
    subject = harness.person("Subject", f"x{tag}-1@example.org")
    (receipt,) = await ticketing.erase([task(Operation.ERASE, email(f"x{tag}-1@example.org"))], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert receipt.by_category["account"] == 1
    assert harness.get("user", subject)["realname"] == "[erased]"
    assert [str(harness.get("user", one)["realname"])[:5] for one in others] == ["Other"] * 3


async def test_of_two_people_with_one_address_only_the_proven_one_is_erased_even_on_a_repeat(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    shared = f"family.{uuid7().hex}@example.org"
    ana = harness.person("Ana Family", shared, "+34600111222")
    luis = harness.person("Luis Family", shared, "+34600111333")
    ambiguous = task(Operation.ERASE, email(shared))
    proven = task(Operation.ERASE, email(shared), phone("+34600111222"), name("Ana Family"))
    (nobody,) = await ticketing.erase([ambiguous], notes.save_progress)
    assert isinstance(nobody, ForeignHit)
    (receipt,) = await ticketing.erase([proven], notes.save_progress)
    (repeated,) = await ticketing.erase([again(proven, notes)], notes.save_progress)
    (later,) = await ticketing.erase([task(Operation.ERASE, *proven.identities)], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert repeated == receipt
    assert isinstance(later, ForeignHit)
    assert harness.get("user", ana)["realname"] == "[erased]"
    assert harness.get("user", luis)["realname"] == "Luis Family"


async def test_a_subject_with_more_records_than_allowed_is_not_touched(harness: Harness, notes: Notes) -> None:
    customer = Customer(harness)
    adapter = adapter_for(harness.roundup, max_rows=4)
    (result,) = await adapter.erase([customer.erasure()], notes.save_progress)
    await adapter.close()
    assert isinstance(result, BlastRadius)
    assert harness.get("user", customer.user)["realname"] == customer.name


async def test_an_unknown_subject_is_no_match(ticketing: RoundupAdapter, notes: Notes) -> None:
    (receipt,) = await ticketing.erase([task(Operation.ERASE, email("nobody@example.org"))], notes.save_progress)
    assert isinstance(receipt, Receipt)
    assert (receipt.outcome, receipt.found) == (TaskOutcome.NO_MATCH, 0)


async def test_many_subjects_are_erased_in_one_call_each_with_their_own_counts(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customers = [Customer(harness) for _ in range(6)]
    harness.ticket(customers[2].user, "Second", "more trouble")
    receipts: Sequence[object] = await ticketing.erase([one.erasure() for one in customers], notes.save_progress)
    tickets = [receipt.by_category["ticket"] if isinstance(receipt, Receipt) else receipt for receipt in receipts]
    assert tickets == [1, 1, 2, 1, 1, 1]
    assert harness.holds(*(value for one in customers for value in one.values)) == []


def _first(harness: Harness, customer: Customer) -> str:
    messages: Sequence[Mapping[str, JsonValue]] = harness.get("issue", customer.ticket)["messages"]
    return str(messages[0]["id"])
