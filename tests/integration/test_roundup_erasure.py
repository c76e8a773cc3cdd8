"""Erasure in a real Roundup: what is gone is gone from its whole database and all its files."""

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import BlastRadius, ForeignHit, ResidueFound
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from tests.fixtures.downstream import email, name, phone, task
from tests.fixtures.roundup import PRIVACY, Customer, Line, Lying, Ticketing


async def test_nothing_of_an_erased_subject_is_left_in_the_database_or_the_files(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    assert ticketing.holds(*customer.values)
    done = await ticketing.receipt(customer.erasure())
    assert done.outcome is TaskOutcome.ERASED
    counts = dict(done.by_category)
    assert counts.pop("history") > 0
    assert counts == {"requester": 1, "ticket": 1, "message": 2, "file": 1}
    assert (done.changed, done.remaining) == (done.found, 0)
    assert ticketing.holds(*customer.values) == []


@pytest.mark.parametrize("lacks", [(), PRIVACY], ids=["together", "by plain REST"])
async def test_no_ticket_of_an_erased_subject_waits_in_the_queue(ticketing: Ticketing, lacks: Collection[str]) -> None:
    customer, other = Customer(ticketing), Customer(ticketing)
    for each in (customer, other):
        ticketing.change("issue", each.ticket, status="open")
    await ticketing.over(Line(lacks=lacks)).one(customer.erasure())
    assert ticketing.get("issue", customer.ticket)["title"] == "[erased]"
    assert (ticketing.is_resolved(customer.ticket), ticketing.is_resolved(other.ticket)) == (True, False)


async def test_what_an_agent_had_deleted_is_erased_too(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    for classname, identity in (("issue", customer.ticket), ("user", customer.user)):
        ticketing.retire(classname, identity)
    await ticketing.receipt(customer.erasure())
    assert ticketing.holds(*customer.values) == []


async def test_a_saved_search_and_a_message_on_somebody_elses_ticket_are_erased_and_the_ticket_is_not(
    ticketing: Ticketing,
) -> None:
    customer, other = Customer(ticketing), Customer(ticketing)
    message = ticketing.create("msg", content="I have the same trouble, says Ines' neighbour", author=customer.user)
    messages = [*ticketing.get("issue", other.ticket)["messages"], {"id": message}]
    ticketing.change("issue", other.ticket, messages=",".join(str(one["id"]) for one in messages))
    search = ticketing.create("query", name=f"Mine {customer.name}", klass="issue", private_for=customer.user)
    await ticketing.receipt(customer.erasure())
    assert ticketing.get("query", search)["name"] == "[erased]"
    assert ticketing.get("msg", message)["content"] == "[erased]"
    assert ticketing.get("issue", other.ticket)["title"] == f"{other.title}!"


async def test_a_tracker_that_cannot_remove_its_history_is_told_as_residue(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    result = await ticketing.over(Line(lacks=PRIVACY)).one(customer.erasure())
    assert isinstance(result, ResidueFound)
    assert "history" in str(result)
    assert ticketing.comments(customer.ticket) == ["[erased]"] * 2
    assert ticketing.holds(customer.former)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (lambda: Lying("people", 2), "1 users are still found and 0 records"),
        (lambda: Lying("overwrite", 1, {"left": []}), "0 users are still found and 4 records"),
        (lambda: Lying("overwrite", 2, {"left": []}), "1 users are still found and 1 records"),
        (lambda: Lying("forget", 1, {}), "the history of the tracker still has"),
    ],
    ids=["still finds them", "keeps the ticket", "keeps the user", "keeps the history"],
)
async def test_a_tracker_that_says_yes_and_keeps_something_is_found_out(
    ticketing: Ticketing, line: Callable[[], Lying], says: str
) -> None:
    result = await ticketing.over(line()).one(Customer(ticketing).erasure())
    assert isinstance(result, ResidueFound)
    assert says in str(result)


async def test_a_longer_address_that_contains_the_subjects_is_left_alone(ticketing: Ticketing) -> None:
    tag = uuid7().hex[-12:]
    others = [ticketing.person(f"Other {n}", f"x{tag}-1@example.org{n}") for n in (".mx", ".ar")]
    others.append(ticketing.person("Other", f"not-x{tag}-1@example.org"))
    subject = ticketing.person("Subject", f"x{tag}-1@example.org")
    done = await ticketing.receipt(task(Operation.ERASE, email(f"x{tag}-1@example.org")))
    assert done.by_category["requester"] == 1
    assert ticketing.get("user", subject)["realname"] == "[erased]"
    assert [str(ticketing.get("user", one)["realname"])[:5] for one in others] == ["Other"] * 3


async def test_of_two_people_with_one_address_only_the_proven_one_is_erased_even_on_a_repeat(
    ticketing: Ticketing,
) -> None:
    shared = f"family.{uuid7().hex}@example.org"
    ana = ticketing.person("Ana Family", shared, "+34600111222")
    luis = ticketing.person("Luis Family", shared, "+34600111333")
    proven = task(Operation.ERASE, email(shared), phone("+34600111222"), name("Ana Family"))
    assert isinstance(await ticketing.one(task(Operation.ERASE, email(shared))), ForeignHit)
    done = await ticketing.receipt(proven)
    assert await ticketing.one(ticketing.again(proven)) == done
    assert isinstance(await ticketing.one(task(Operation.ERASE, *proven.identities)), ForeignHit)
    assert ticketing.get("user", ana)["realname"] == "[erased]"
    assert ticketing.get("user", luis)["realname"] == "Luis Family"


async def test_a_subject_with_more_records_than_allowed_is_not_touched(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    limited, asked = ticketing.over(max_rows=4), customer.erasure()
    refused = await limited.one(asked)
    assert isinstance(refused, BlastRadius)
    assert refused.exceeded is not None
    assert ticketing.get("user", customer.user)["realname"] == customer.name
    confirmed: dict[str, int] = {Limit.MAX_ROWS: refused.exceeded.found}
    again = replace(asked, operation=Operation.EXPORT)
    assert isinstance(await limited.one(again), BlastRadius)
    assert (await limited.receipt(replace(again, confirmed=confirmed))).found == refused.exceeded.found
    assert isinstance(await limited.one(replace(asked, confirmed=confirmed)), Receipt)
    assert ticketing.get("user", customer.user)["realname"] == "[erased]"


async def test_an_unknown_subject_is_no_match(ticketing: Ticketing) -> None:
    done = await ticketing.receipt(task(Operation.ERASE, email("nobody@example.org")))
    assert (done.outcome, done.found) == (TaskOutcome.NO_MATCH, 0)


async def test_a_plan_counts_what_the_erasure_counts(ticketing: Ticketing) -> None:
    erasure = Customer(ticketing).erasure()
    plan = await ticketing.receipt(replace(task(Operation.PLAN), identities=erasure.identities))
    assert plan.by_category == (await ticketing.receipt(erasure)).by_category
