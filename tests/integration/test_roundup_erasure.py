"""Erasure in a real Roundup: what is gone is gone from its whole database and all its files."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import httpx
import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import (
    DataStillPresent,
    DoneBefore,
    LimitExceeded,
    NotSupported,
    Refused,
    Unavailable,
    WrongPersonMatch,
)
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.systems.contract import Pending, Receipt, Task
from tests.fixtures.downstream import email, name, phone, receipt, task
from tests.fixtures.roundup import PRIVACY, Customer, Line, Lying, Ticketing, route


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


async def test_no_ticket_of_an_erased_subject_waits_in_the_queue(ticketing: Ticketing) -> None:
    customer, other = Customer(ticketing), Customer(ticketing)
    for each in (customer, other):
        ticketing.change("issue", each.ticket, status="open")
    await ticketing.receipt(customer.erasure())
    assert (ticketing.is_resolved(customer.ticket), ticketing.is_resolved(other.ticket)) == (True, False)


async def test_what_an_agent_had_deleted_is_erased_too(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    for classname, identity in (("issue", customer.ticket), ("user", customer.user)):
        ticketing.retire(classname, identity)
    await ticketing.receipt(customer.erasure())
    assert ticketing.holds(*customer.values) == []


async def test_saved_search_and_foreign_message_are_erased_without_the_ticket(ticketing: Ticketing) -> None:
    customer, other = Customer(ticketing), Customer(ticketing)
    message = ticketing.create("msg", content="I have the same trouble, says Ines' neighbour", author=customer.user)
    messages = [*ticketing.get("issue", other.ticket)["messages"], {"id": message}]
    ticketing.change("issue", other.ticket, messages=",".join(str(one["id"]) for one in messages))
    search = ticketing.create("query", name=f"Mine {customer.name}", klass="issue", private_for=customer.user)
    await ticketing.receipt(customer.erasure())
    assert ticketing.get("query", search)["name"] == "[erased]"
    assert ticketing.get("msg", message)["content"] == "[erased]"
    assert ticketing.get("issue", other.ticket)["title"] == f"{other.title}!"


@pytest.mark.parametrize("lacks", PRIVACY[:-2])
async def test_tracker_without_one_of_our_routes_is_manual(ticketing: Ticketing, lacks: str) -> None:
    customer = Customer(ticketing)
    operation = Operation.EXPORT if lacks == "changes" else Operation.ERASE
    with pytest.raises(NotSupported, match=r"interfaces\.py"):
        raise await failure(ticketing.over(Line(lacks=[lacks])), replace(customer.erasure(), operation=operation))


async def failure(ticketing: Ticketing, task: Task) -> BaseException:
    """Returns why the task is refused, alone or with its whole call."""
    try:
        result = await ticketing.one(task)
    except Refused as refused:
        return refused
    assert isinstance(result, Refused)
    return result


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (lambda: Lying("people", 2), "still shows 1 of user"),
        (lambda: Lying("overwrite", 1, {"left": []}), "4 records of ticketing still hold"),
        (lambda: Lying("overwrite", 2, {"left": []}), "1 records of ticketing still hold"),
        (lambda: Lying("forget", 1, {}), "the history of ticketing still has"),
    ],
    ids=["still finds them", "keeps the ticket", "keeps the user", "keeps the history"],
)
async def test_residue_in_the_tracker_is_found(ticketing: Ticketing, line: Callable[[], Lying], says: str) -> None:
    result = await ticketing.over(line()).one(Customer(ticketing).erasure())
    assert isinstance(result, DataStillPresent)
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


async def test_shared_address_erases_the_proved_subject_alone(ticketing: Ticketing) -> None:
    shared = f"family.{uuid7().hex}@example.org"
    ana = ticketing.person("Ana Family", shared, "+34600111222")
    luis = ticketing.person("Luis Family", shared, "+34600111333")
    proven = task(Operation.ERASE, email(shared), phone("+34600111222"), name("Ana Family"))
    assert isinstance(await ticketing.one(task(Operation.ERASE, email(shared))), WrongPersonMatch)
    done = await ticketing.receipt(proven)
    assert await ticketing.one(ticketing.again(proven)) == done
    assert isinstance(await ticketing.one(task(Operation.ERASE, *proven.identities)), WrongPersonMatch)
    assert ticketing.get("user", ana)["realname"] == "[erased]"
    assert ticketing.get("user", luis)["realname"] == "Luis Family"


async def test_a_subject_with_more_records_than_allowed_is_not_touched(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    limited, asked = ticketing.over(max_rows=4), customer.erasure()
    refused = await limited.one(asked)
    assert isinstance(refused, LimitExceeded)
    assert refused.exceeded is not None
    assert ticketing.get("user", customer.user)["realname"] == customer.name
    confirmed: dict[str, int] = {Limit.MAX_ROWS: refused.exceeded.found}
    copy = await limited.receipt(replace(asked, operation=Operation.EXPORT))
    assert copy.found - copy.by_category["history"] == refused.exceeded.found
    assert isinstance(await limited.one(replace(asked, confirmed=confirmed)), Receipt)
    assert ticketing.get("user", customer.user)["realname"] == "[erased]"


async def test_a_plan_counts_what_the_erasure_counts(ticketing: Ticketing) -> None:
    erasure = Customer(ticketing).erasure()
    plan = await ticketing.receipt(replace(task(Operation.PLAN), identities=erasure.identities))
    assert plan.by_category == (await ticketing.receipt(erasure)).by_category


# Overwriting in a real Roundup: many records in one call, whose they are asked once more, repeatable after a crash.
class Interrupted(Exception):
    """The process died here."""


class DiesAfter(Line):
    """A connection whose process dies after its n-th change, before the answer."""

    def __init__(self, changes: int) -> None:
        super().__init__()
        self._left = changes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass on all, and give back all but the last answer."""
        changes = route(request) in {"overwrite", "forget"}
        if changes and not self._left:
            raise Interrupted
        answer = await super().handle_async_request(request)
        if changes and answer.is_success:
            self._left -= 1
            if not self._left:
                await answer.aread()
                raise Interrupted
        return answer


async def test_repeat_after_a_crash_keeps_counts(ticketing: Ticketing, subtests: pytest.Subtests) -> None:
    expected = await ticketing.receipt(Customer(ticketing).erasure())
    customers = [Customer(ticketing) for _ in range(4)]
    for changes, customer in enumerate(customers):
        with subtests.test(changes=changes):
            first = customer.erasure()
            with pytest.raises(Interrupted):
                await ticketing.over(DiesAfter(changes)).run(first)
            second = ticketing.again(first)
            done = await ticketing.receipt(second)
            assert (done.outcome, done.by_category) == (expected.outcome, expected.by_category)
            assert await ticketing.one(ticketing.again(second)) == done
    assert ticketing.holds(*(value for customer in customers for value in customer.values)) == []


async def test_batch_needs_as_many_calls_as_one_subject(ticketing: Ticketing) -> None:
    customers, line = [Customer(ticketing) for _ in range(5)], Line()
    ticketing.ticket(customers[2].user, "Second", "more trouble")
    results = await ticketing.over(line).run(*(one.erasure() for one in customers))
    assert [receipt(result).by_category["ticket"] for result in results] == [1, 1, 2, 1, 1]
    assert ticketing.holds(*(value for one in customers for value in one.values)) == []
    once = dict.fromkeys(("others", "forget", "values"), 1)
    assert line.calls == {**dict.fromkeys(("people", "records", "history", "overwrite"), 2), **once, "POST": 1}


async def test_reassigned_ticket_is_not_touched_and_stops_its_task_alone(ticketing: Ticketing) -> None:
    customer, undisturbed = Customer(ticketing), Customer(ticketing)
    heir = ticketing.person("Rightful Heir", f"heir.of.{customer.address}")

    def bequeath(request: httpx.Request) -> None:
        if route(request) == "overwrite":
            ticketing.change("issue", customer.ticket, requester=heir)

    stopped, done = await ticketing.over(Line(bequeath)).run(customer.erasure(), undisturbed.erasure())
    assert isinstance(stopped, Refused)
    assert "issue passed on" in str(stopped)
    assert receipt(done).outcome is TaskOutcome.ERASED
    assert ticketing.get("issue", customer.ticket)["title"] == f"{customer.title}!"
    assert ticketing.get("user", customer.user)["realname"] == customer.name
    assert ticketing.holds(*undisturbed.values) == []


async def test_what_the_tracker_refuses_stays_whole_and_stops_its_task_alone(ticketing: Ticketing) -> None:
    customer, undisturbed = Customer(ticketing), Customer(ticketing)
    ticketing.create("user", username=f"erased-{customer.user}", address=f"squatter.{customer.user}@example.org")
    ticketing.retire("user", customer.user)
    stopped, done = await ticketing.run(customer.erasure(), undisturbed.erasure())
    assert isinstance(stopped, Refused)
    assert "user refused" in str(stopped)
    assert receipt(done).outcome is TaskOutcome.ERASED
    assert ticketing.get("user", customer.user)["address"] == customer.address
    in_use = [one["id"] for one in ticketing.http.get("user").json()["data"]["collection"]]
    assert customer.user not in in_use
    assert ticketing.holds(*undisturbed.values) == []


async def test_tracker_outage_between_calls_keeps_the_counts(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)

    def away(request: httpx.Request) -> None:
        if route(request) == "overwrite":
            raise httpx.ConnectError("away", request=request)

    first = customer.erasure()
    assert isinstance(await ticketing.over(Line(away)).one(first), Unavailable)
    done = await ticketing.receipt(ticketing.again(first))
    assert done.by_category == (await ticketing.receipt(Customer(ticketing).erasure())).by_category
    assert ticketing.holds(*customer.values) == []


async def test_two_requests_of_one_subject_in_one_batch_are_both_answered(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    one, other = map(receipt, await ticketing.run(customer.erasure(), customer.erasure()))
    assert one.by_category == other.by_category
    assert ticketing.holds(*customer.values) == []


async def test_a_file_that_the_index_learns_of_only_now_is_erased_with_everything_else(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    letter = ticketing.create(
        "file", name=customer.file, type="text/plain; charset=utf-8", content=f"a letter of {customer.name}"
    )
    ticketing.create("issue", title=customer.title, requester=customer.user, files=letter)
    assert (await ticketing.receipt(customer.erasure())).outcome is TaskOutcome.ERASED
    assert ticketing.holds(*customer.values) == []


def arriving(ticketing: Ticketing, customer: Customer, came: list[str], **settings: object) -> Ticketing:
    """Returns the tracker, in which a saved search of the customer arrives once their user was overwritten."""

    def comes(request: httpx.Request) -> None:
        if route(request) == "forget" and not came:
            search = {"name": f"Mine {customer.name}", "klass": "issue", "private_for": customer.user}
            came.append(ticketing.create("query", **search))

    return ticketing.over(Line(comes), **settings)


async def test_record_that_arrives_during_an_erasure_is_erased_or_kept_by_its_hold(ticketing: Ticketing) -> None:
    for held in (frozenset[str](), frozenset({"saved_search"})):
        customer, came = Customer(ticketing), list[str]()
        growing, asked = arriving(ticketing, customer, came), replace(customer.erasure(), held_categories=held)
        result = await growing.one(asked)
        if isinstance(result, Pending):
            result = await growing.one(ticketing.again(asked))
        kept = [(each.rule, each.category, each.count) for each in receipt(result).kept or ()]
        assert kept == ([(LEGAL_HOLD, "saved_search", 1)] if held else [])
        assert ticketing.get("query", came[0])["name"] == (f"Mine {customer.name}" if held else "[erased]")


async def test_records_that_arrive_during_an_erasure_count_toward_its_limit(ticketing: Ticketing) -> None:
    customer, came = Customer(ticketing), list[str]()
    result = await arriving(ticketing, customer, came, max_rows=5).one(customer.erasure())
    assert isinstance(result, LimitExceeded), result
    assert result.done_before == DoneBefore(found=5, changed=5)
    assert ticketing.get("query", came[0])["name"] == f"Mine {customer.name}"


async def test_of_several_changes_to_one_version_the_tracker_takes_one(ticketing: Ticketing) -> None:
    user = f"user/{ticketing.person('Ada', 'ada.versions@example.org')}"
    async with httpx.AsyncClient(base_url=ticketing.http.base_url, auth=ticketing.http.auth) as agents:
        agents.headers.update(ticketing.http.headers)
        for nth in range(3):
            etag = (await agents.get(user)).json()["data"]["@etag"]
            change = partial(agents.patch, user, headers={"If-Match": etag})
            answers = await asyncio.gather(*(change(json={"realname": f"Ada {nth}{n}"}) for n in range(4)))
            assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
