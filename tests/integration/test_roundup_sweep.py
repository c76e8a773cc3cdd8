"""Tickets that were resolved long ago go by night, with all that hangs on them and their history, for everybody."""

from datetime import date
from zoneinfo import ZoneInfo

import httpx

from shared.domain.errors import NotSupported
from shared.domain.operations import Operation
from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.sweepable import Counted, Due, Swept
from tests.fixtures.analytics import nothing
from tests.fixtures.downstream import email, task
from tests.fixtures.roundup import Customer, Line, Ticketing, route

DUE = Due("issue", "resolved", "delete", date(2020, 3, 2), ZoneInfo("America/New_York"))
OLD, YOUNG = "2020-03-02.04:59:59", "2020-03-02.05:00:00"
"""The last second that is past, and the first that is kept, in UTC."""


def swept(ticketing: Ticketing, line: Line | None = None) -> RoundupAdapter:
    adapter = ticketing.over(line or Line(), resolved_on="resolved_on").adapter
    assert isinstance(adapter, RoundupAdapter)
    return adapter


async def test_tickets_that_are_past_go_whole_and_no_other(ticketing: Ticketing) -> None:
    gone, kept, held, opened = (Customer(ticketing) for _ in range(4))
    for each, moment in ((gone, OLD), (kept, YOUNG), (held, OLD), (opened, OLD)):
        ticketing.change("issue", each.ticket, status="4", resolved_on=moment)
    ticketing.change("issue", opened.ticket, status="2")
    ticketing.retire("issue", gone.ticket)
    adapter = swept(ticketing)
    spared = {"ticket": [task(Operation.ERASE, email(held.address))]}
    [counted] = await adapter.count([DUE], spared)
    assert isinstance(counted, Counted)
    assert counted.due == 1
    assert await adapter.sweep([DUE], spared, nothing) == [Swept(1, 1)]
    assert ticketing.holds(gone.title, gone.text, gone.file) == []
    for each in (kept, held, opened):
        assert each.text in ticketing.comments(each.ticket)[0]
    assert ticketing.get("user", gone.user)["address"] == gone.address, "who asked nothing is still a customer"
    assert await adapter.sweep([DUE], spared, nothing) == [Swept(0, 1)]
    assert await adapter.sweep([DUE], {}, nothing) == [Swept(1, 0)]


async def test_a_ticket_that_is_opened_again_before_it_goes_stays(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4", resolved_on=OLD)

    def reopened(request: httpx.Request) -> None:
        if route(request) == "expire":
            ticketing.change("issue", customer.ticket, status="2")

    assert await swept(ticketing, Line(reopened)).sweep([DUE], {}, nothing) == [Swept(0, 0)]
    assert customer.text in ticketing.comments(customer.ticket)[0]


async def test_when_a_ticket_was_resolved_is_noted_and_opening_it_again_takes_that_back(ticketing: Ticketing) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4")
    resolved = ticketing.get("issue", customer.ticket)["resolved_on"]
    ticketing.change("issue", customer.ticket, status="4", title="still resolved")
    assert ticketing.get("issue", customer.ticket)["resolved_on"] == resolved
    ticketing.change("issue", customer.ticket, status="2")
    assert ticketing.get("issue", customer.ticket)["resolved_on"] is None
    assert resolved


async def test_a_tracker_that_cannot_remove_a_ticket_with_its_history_is_missed_and_not_half_done(
    ticketing: Ticketing,
) -> None:
    customer = Customer(ticketing)
    ticketing.change("issue", customer.ticket, status="4", resolved_on=OLD)
    for lacking in (["past"], ["expire"]):
        [result] = await swept(ticketing, Line(lacks=lacking)).sweep([DUE], {}, nothing)
        assert isinstance(result, NotSupported)
    assert customer.text in ticketing.comments(customer.ticket)[0]
    assert ticketing.adapter.dated == (), "nothing ends in a tracker of which nobody says where that stands"  # type: ignore[attr-defined]
