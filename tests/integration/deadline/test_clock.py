"""A clock starts, its milestones are said in their time, and an answer is judged by the dates that are stored."""

from datetime import UTC, date, datetime

import pytest

from services.deadline.sweep import milestones
from shared.domain.operations import Operation
from shared.domain.rights import Outcome
from shared.fulfilment.fulfilments import Fulfilments
from tests.integration.deadline.conftest import Harness
from tests.integration.deadline.test_sweep import FIVE


async def test_a_received_request_has_its_dates_computed_and_put_on_record(deadline: Harness) -> None:
    row = await deadline.clock(await deadline.receives())
    assert (row["due_on"], row["statutory_due_on"]) == (date(2026, 4, 4), date(2026, 4, 7))
    assert row["next_milestone_at"] == datetime(2026, 3, 27, 23, tzinfo=UTC)
    assert await deadline.evidence("deadline.computed") == [
        {
            "due_on": "2026-04-04",
            "work_by": "2026-04-02",
            "statutory_due_on": "2026-04-07",
            "calc_version": row["calc_version"],
        }
    ]


async def test_the_due_date_is_the_one_that_intake_has_said(deadline: Harness) -> None:
    event = (await deadline.receives()).model_copy(update={"due_on": date(2026, 3, 31)})
    await deadline.pool.execute("DELETE FROM clock")
    await deadline.hears(event)
    row = await deadline.clock(event)
    assert (row["due_on"], row["due_at"]) == (date(2026, 3, 31), datetime(2026, 3, 31, 22, tzinfo=UTC))


async def test_each_milestone_is_said_when_it_comes(deadline: Harness) -> None:
    event, heard = await deadline.receives(), []
    for day in range(36):
        await deadline.sweeps(milestones, days=day)
        heard.append(len((await deadline.said()).get(event.request_id, [])))
    assert await deadline.said() == {event.request_id: FIVE}
    assert [heard.index(number) for number in range(1, 6)] == [23, 27, 29, 31, 34]
    warnings = ["extend_or_answer", "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]
    assert await deadline.tickets() == warnings


async def test_of_milestones_that_came_at_once_the_gravest_opens_a_ticket(deadline: Harness) -> None:
    await deadline.receives_many(5)
    await deadline.sweeps(days=50)
    assert await deadline.tickets() == ["overdue_statutory"] * 5


async def test_an_answer_stops_the_clock_and_cancels_a_warning_that_nobody_has_seen_yet(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=28)
    assert await deadline.tickets() == ["approaching_3d"]
    await deadline.closes(event, days=28)
    assert await deadline.sweeps(days=50) == 0
    assert await deadline.tickets() == []
    assert (await deadline.clock(event))["timeliness"] == "on_time"


@pytest.mark.parametrize(("days", "timeliness"), [(30, "on_time"), (31, "late_commitment"), (34, "breach")])
async def test_an_answer_is_judged_by_the_dates_that_were_stored(deadline: Harness, days: int, timeliness: str) -> None:
    event = await deadline.receives()
    await deadline.closes(event, days=days)
    await deadline.closes(event, days=90)  # closed again later: the first answer counts
    assert (await deadline.clock(event))["timeliness"] == timeliness
    stopped = await deadline.evidence("deadline.stopped")
    assert stopped == [{"timeliness": timeliness, "due_on": "2026-04-04"}]
    missed = await deadline.evidence("deadline.missed")
    assert missed == [{"timeliness": timeliness}] * (timeliness != "on_time")


async def test_a_request_found_after_weeks_in_a_mailbox_is_warned_of_at_once(deadline: Harness) -> None:
    deadline.at(days=31)
    event = await deadline.receives(occurred_at=deadline.now)
    await deadline.sweeps()
    assert (await deadline.said())[event.request_id] == FIVE[:4]


async def test_without_a_system_for_tickets_the_bus_is_told_all_the_same(deadline: Harness) -> None:
    nowhere = Fulfilments({Operation.ESCALATE: (), Operation.FLAG: ()})
    deadline = Harness(deadline.unit_of_work, nowhere, deadline.time)
    event = await deadline.receives()
    await deadline.sweeps(days=50)
    assert await deadline.said() == {event.request_id: FIVE}


@pytest.mark.parametrize(("days", "how"), [(3, "on_time"), (5, "late_commitment")])
@pytest.mark.parametrize("role", ["controller", "processor"])
async def test_what_was_forwarded_counts_as_the_processor_s_and_is_judged_as_such_whatever_it_was_taken_for(
    deadline: Harness, role: str, days: int, how: str
) -> None:
    event = await deadline.receives(role=role)
    await deadline.closes(event, days=days, outcome=Outcome.FORWARDED)
    row = await deadline.clock(event)
    assert (row["role"], row["timeliness"]) == ("processor", how)
    (stopped,) = await deadline.evidence("deadline.stopped")
    assert stopped["due_on"] == "2026-03-09"  # Thursday 5, two working days: Monday 9


@pytest.mark.parametrize(("days", "in_time"), [(1, True), (5, True), (6, False)])
async def test_whether_a_question_was_asked_in_time_is_kept_with_it(
    deadline: Harness, days: int, in_time: object
) -> None:
    await deadline.asks(await deadline.receives(), days, condition_recorded=False)  # the third working day is a Tuesday
    assert await deadline.pool.fetchval("SELECT in_time FROM question") is in_time
