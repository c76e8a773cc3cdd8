"""What is owed of a request that was answered in part keeps its due date, in figures, warnings and judgement."""

from datetime import timedelta
from typing import Any

from services.deadline import notifications, statistics
from shared.domain.events import PartAnswered
from shared.domain.rights import Outcome
from tests.fixtures.events import a
from tests.fixtures.told import told
from tests.integration.deadline.conftest import ARRIVED, POLICY, Harness

OWED: dict[str, Any] = {"outcome": Outcome.PARTIALLY_FULFILLED, "outstanding": ("cdr", "tickets")}


async def figures(deadline: Harness) -> tuple[float | None, ...]:
    """How many are open, and overdue by both clocks; how many lines of the daily alert are about a request."""
    async with deadline.pool.acquire() as connection:
        await statistics.count(connection, deadline.now, POLICY)
    ages = [told("dsr_requests_open", right="access", age=age) or 0 for age in statistics.AGES]
    late = [told("dsr_requests_overdue", right="access", clock=clock) for clock in ("commitment", "statutory")]
    async with deadline.unit_of_work.begin() as tx:
        digest = await notifications.digest(tx, deadline.now.date(), POLICY)
        alert = await notifications.daily_alert(tx, deadline.now.date(), POLICY)
    assert digest["lines"][-1].startswith(f"all: {sum(ages):.0f} open")
    return (sum(ages), *late, len((alert or {"lines": []})["lines"]))


async def test_a_part_that_is_owed_is_open_and_overdue_until_it_is_done(deadline: Harness) -> None:
    request, other = await deadline.receives_many(2)
    await deadline.closes(request, days=3, **OWED)
    await deadline.closes(other, days=3)
    deadline.at(days=4)
    assert await figures(deadline) == (1, 0, 0, 0)
    await deadline.sweeps(days=40)
    assert (await deadline.said())[request.request_id] == [
        *("approaching 7", "approaching 3", "approaching 1", "overdue commitment", "overdue statutory")
    ]
    assert other.request_id not in await deadline.said()
    assert await figures(deadline) == (1, 1, 1, 1)

    done = {"occurred_at": ARRIVED + timedelta(days=41)}
    await deadline.hears(a(PartAnswered, request, outstanding=("cdr",), **done))
    assert await figures(deadline) == (1, 1, 1, 1)
    await deadline.hears(a(PartAnswered, request, outstanding=(), **done))
    assert await figures(deadline) == (0, 0, 0, 0)
    row = await deadline.clock(request)
    assert (row["timeliness"], row["next_milestone_at"], row["outstanding"]) == ("breach", None, "")
    assert (await deadline.evidence("deadline.part_answered"))[-1] == {"outstanding": [], "timeliness": "breach"}


async def test_a_part_that_is_done_in_time_leaves_the_answer_in_time(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.closes(request, days=3, **OWED)
    await deadline.hears(a(PartAnswered, request, outstanding=(), occurred_at=ARRIVED + timedelta(days=9)))
    assert (await deadline.clock(request))["timeliness"] == "on_time"
    await deadline.sweeps(days=40)
    assert await deadline.said() == {}


async def test_a_package_that_is_made_anew_is_watched_as_the_first_was(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.closes(request, days=3)
    await deadline.hears(a(PartAnswered, request, outstanding=("cdr",), occurred_at=ARRIVED + timedelta(days=9)))
    deadline.at(days=9)
    assert await figures(deadline) == (1, 0, 0, 0)
    await deadline.sweeps(days=40)
    assert (await deadline.said())[request.request_id][-1] == "overdue statutory"
    await deadline.hears(a(PartAnswered, request, outstanding=(), occurred_at=ARRIVED + timedelta(days=41)))
    assert await figures(deadline) == (0, 0, 0, 0)
    assert (await deadline.clock(request))["timeliness"] == "breach"
