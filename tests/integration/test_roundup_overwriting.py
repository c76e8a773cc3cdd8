"""Overwriting in a real Roundup: many records in one call, whose they are asked once more, repeatable after a crash."""

import asyncio
from collections.abc import Collection
from functools import partial

import httpx
import pytest

from shared.domain.errors import Refused, Unavailable
from shared.domain.operations import TaskOutcome
from tests.fixtures.downstream import receipt
from tests.fixtures.roundup import Customer, Line, Ticketing, route

NEWER = ("overwrite", "values")
"""Routes that an older tracker has not."""


class Interrupted(Exception):
    """The process died here."""


class DiesAfter(Line):
    """A connection over which the process dies when its n-th change was made, and before it hears of it."""

    def __init__(self, changes: int, lacks: Collection[str]) -> None:
        super().__init__(lacks=lacks)
        self._left = changes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass on all, and give back all but the last answer."""
        changes = route(request) in {"overwrite", "forget", "PATCH"}
        if changes and not self._left:
            raise Interrupted
        answer = await super().handle_async_request(request)
        if changes and answer.is_success:
            self._left -= 1
            if not self._left:
                await answer.aread()
                raise Interrupted
        return answer


@pytest.mark.parametrize(("changes", "lacks"), [(0, ()), (1, ()), (2, ()), (3, ()), (0, NEWER), (1, NEWER), (3, NEWER)])
async def test_a_repeat_after_a_crash_gives_the_receipt_that_the_first_attempt_would_have_given(
    ticketing: Ticketing, changes: int, lacks: Collection[str]
) -> None:
    undisturbed, customer = Customer(ticketing), Customer(ticketing)
    expected = await ticketing.receipt(undisturbed.erasure())
    first = customer.erasure()
    with pytest.raises(Interrupted):
        await ticketing.over(DiesAfter(changes, lacks)).run(first)
    second = ticketing.again(first)
    done = await ticketing.receipt(second)
    assert (done.outcome, done.by_category) == (expected.outcome, expected.by_category)
    assert await ticketing.one(ticketing.again(second)) == done
    assert ticketing.holds(*customer.values) == []


async def test_a_batch_of_subjects_takes_as_many_calls_as_one_and_each_has_their_own_counts(
    ticketing: Ticketing,
) -> None:
    customers, line = [Customer(ticketing) for _ in range(5)], Line()
    ticketing.ticket(customers[2].user, "Second", "more trouble")
    results = await ticketing.over(line).run(*(one.erasure() for one in customers))
    assert [receipt(result).by_category["ticket"] for result in results] == [1, 1, 2, 1, 1]
    assert ticketing.holds(*(value for one in customers for value in one.values)) == []
    once = dict.fromkeys(("others", "forget", "values"), 1)
    assert line.calls == {"people": 2, "records": 1, **once, "history": 2, "overwrite": 2, "POST": 1}


async def test_a_tracker_without_the_route_is_overwritten_record_by_record(ticketing: Ticketing) -> None:
    customers = [Customer(ticketing) for _ in range(2)]
    line = Line(lacks=NEWER)
    results = await ticketing.over(line).run(*(one.erasure() for one in customers))
    assert [receipt(result).outcome for result in results] == [TaskOutcome.ERASED] * 2
    assert line.calls["PATCH"] == sum(4 + 1 for _ in customers)
    assert ticketing.holds(*(value for one in customers for value in one.values)) == []


async def test_a_ticket_that_passes_to_somebody_else_after_the_search_is_not_touched_and_stops_its_task_alone(
    ticketing: Ticketing,
) -> None:
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


async def test_a_tracker_that_goes_away_in_between_is_tried_again_and_gives_the_same_counts(
    ticketing: Ticketing,
) -> None:
    customer = Customer(ticketing)

    def away(request: httpx.Request) -> None:
        if route(request) == "overwrite":
            raise httpx.ConnectError("away", request=request)

    first = customer.erasure()
    assert isinstance(await ticketing.over(Line(away)).one(first), Unavailable)
    done = await ticketing.receipt(ticketing.again(first))
    assert done.by_category == ticketing.notes[first.task_id]["found"]
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


async def test_of_several_changes_to_one_version_the_tracker_takes_one(ticketing: Ticketing) -> None:
    user = f"user/{ticketing.person('Ada', 'ada.versions@example.org')}"
    async with httpx.AsyncClient(base_url=ticketing.http.base_url, auth=ticketing.http.auth) as agents:
        agents.headers.update(ticketing.http.headers)
        for nth in range(3):
            etag = (await agents.get(user)).json()["data"]["@etag"]
            change = partial(agents.patch, user, headers={"If-Match": etag})
            answers = await asyncio.gather(*(change(json={"realname": f"Ada {nth}{n}"}) for n in range(4)))
            assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]
