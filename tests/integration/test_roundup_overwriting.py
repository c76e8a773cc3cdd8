"""Overwriting in a real Roundup: many records in one call, whose they are asked once more, repeatable after a crash."""

from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from shared.domain.errors import Refused, Unavailable
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.roundup import RoundupAdapter
from tests.fixtures.roundup import Customer, Harness, Notes, adapter_for, again

Before = Callable[[httpx.Request], None]


class Interrupted(Exception):
    """The process died here."""


def route(request: httpx.Request) -> str:
    """What a call asks for: the name of a privacy route, or the method."""
    return request.url.path.rpartition("/")[2] if "/rest/privacy/" in request.url.path else request.method


class Line(httpx.AsyncHTTPTransport):
    """A connection to the tracker that counts calls, and may act before one; ``older``: it has not the new routes."""

    def __init__(self, before: Before = lambda _: None, *, older: bool = False) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._before, self._older = before, older

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass on."""
        self.calls[route(request)] += 1
        if self._older and route(request) in {"overwrite", "values"}:
            return httpx.Response(404, request=request)
        self._before(request)
        return await super().handle_async_request(request)


class DiesAfter(Line):
    """A connection over which the process dies when its n-th change was made, and before it hears of it."""

    def __init__(self, changes: int, *, older: bool = False) -> None:
        super().__init__(older=older)
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


@pytest.mark.parametrize(
    ("changes", "older"), [(0, False), (1, False), (2, False), (3, False), (0, True), (1, True), (3, True)]
)
async def test_a_repeat_after_a_crash_gives_the_receipt_that_the_first_attempt_would_have_given(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes, changes: int, *, older: bool
) -> None:
    undisturbed, customer = Customer(harness), Customer(harness)
    (expected,) = await ticketing.erase([undisturbed.erasure()], notes.save_progress)
    dying = adapter_for(harness.roundup, DiesAfter(changes, older=older))
    first = customer.erasure()
    with pytest.raises(Interrupted):
        await dying.erase([first], notes.save_progress)
    await dying.close()
    second = again(first, notes)
    (receipt,) = await ticketing.erase([second], notes.save_progress)
    (repeated,) = await ticketing.erase([again(second, notes)], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert isinstance(expected, Receipt)
    assert (receipt.outcome, receipt.by_category) == (expected.outcome, expected.by_category)
    assert repeated == receipt
    assert harness.holds(*customer.values) == []


async def test_a_batch_of_subjects_takes_as_many_calls_as_one(harness: Harness, notes: Notes) -> None:
    line = Line()
    adapter = adapter_for(harness.roundup, line)
    results = await adapter.erase([Customer(harness).erasure() for _ in range(5)], notes.save_progress)
    await adapter.close()
    assert [result.outcome for result in results if isinstance(result, Receipt)] == [TaskOutcome.ERASED] * 5
    assert line.calls == {"people": 2, "records": 1, "history": 2, "overwrite": 2, "forget": 1, "values": 1}


async def test_a_tracker_without_the_route_is_overwritten_record_by_record(harness: Harness, notes: Notes) -> None:
    customers = [Customer(harness) for _ in range(2)]
    line = Line(older=True)
    adapter = adapter_for(harness.roundup, line)
    results = await adapter.erase([one.erasure() for one in customers], notes.save_progress)
    await adapter.close()
    assert [result.outcome for result in results if isinstance(result, Receipt)] == [TaskOutcome.ERASED] * 2
    assert line.calls["PATCH"] == sum(4 + 1 for _ in customers)
    assert harness.holds(*(value for one in customers for value in one.values)) == []


async def test_a_ticket_that_passes_to_somebody_else_after_the_search_is_not_touched_and_stops_its_task_alone(
    harness: Harness, notes: Notes
) -> None:
    customer, undisturbed = Customer(harness), Customer(harness)
    heir = harness.person("Rightful Heir", f"heir.of.{customer.address}")

    def bequeath(request: httpx.Request) -> None:
        if route(request) == "overwrite":
            harness.change("issue", customer.ticket, requester=heir)

    adapter = adapter_for(harness.roundup, Line(bequeath))
    stopped, receipt = await adapter.erase([customer.erasure(), undisturbed.erasure()], notes.save_progress)
    await adapter.close()
    assert isinstance(stopped, Refused)
    assert "issue passed on" in str(stopped)
    assert isinstance(receipt, Receipt), receipt
    assert harness.get("issue", customer.ticket)["title"] == f"{customer.title}!"
    assert harness.get("user", customer.user)["realname"] == customer.name
    assert harness.holds(*undisturbed.values) == []


async def test_what_the_tracker_refuses_stays_whole_and_stops_its_task_alone(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer, undisturbed = Customer(harness), Customer(harness)
    harness.create("user", username=f"erased-{customer.user}", address=f"squatter.{customer.user}@example.org")
    harness.retire("user", customer.user)
    stopped, receipt = await ticketing.erase([customer.erasure(), undisturbed.erasure()], notes.save_progress)
    assert isinstance(stopped, Refused)
    assert "user refused" in str(stopped)
    assert isinstance(receipt, Receipt), receipt
    assert harness.get("user", customer.user)["address"] == customer.address
    in_use = [one["id"] for one in harness.http.get("user").json()["data"]["collection"]]
    assert customer.user not in in_use
    assert harness.holds(*undisturbed.values) == []


async def test_a_tracker_that_goes_away_in_between_is_tried_again_and_gives_the_same_counts(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer = Customer(harness)

    def away(request: httpx.Request) -> None:
        if route(request) == "overwrite":
            raise httpx.ConnectError("away", request=request)

    adapter = adapter_for(harness.roundup, Line(away))
    first = customer.erasure()
    (failure,) = await adapter.erase([first], notes.save_progress)
    await adapter.close()
    (receipt,) = await ticketing.erase([again(first, notes)], notes.save_progress)
    assert isinstance(failure, Unavailable)
    assert isinstance(receipt, Receipt), receipt
    assert receipt.by_category == notes[first.task_id]["found"]
    assert harness.holds(*customer.values) == []


async def test_two_requests_of_one_subject_in_one_batch_are_both_answered(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer = Customer(harness)
    one, other = await ticketing.erase([customer.erasure(), customer.erasure()], notes.save_progress)
    assert isinstance(one, Receipt), one
    assert isinstance(other, Receipt), other
    assert one.by_category == other.by_category
    assert harness.holds(*customer.values) == []


async def test_a_file_that_the_index_learns_of_only_now_is_erased_with_everything_else(
    harness: Harness, ticketing: RoundupAdapter, notes: Notes
) -> None:
    customer = Customer(harness)
    letter = harness.create(
        "file", name=customer.file, type="text/plain; charset=utf-8", content=f"a letter of {customer.name}"
    )
    harness.create("issue", title=customer.title, requester=customer.user, files=letter)
    (receipt,) = await ticketing.erase([customer.erasure()], notes.save_progress)
    assert isinstance(receipt, Receipt), receipt
    assert receipt.outcome is TaskOutcome.ERASED
    assert harness.holds(*customer.values) == []
