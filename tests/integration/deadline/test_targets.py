"""The staff's targets: what is missed is said once, on the bus and to the role that is named."""

import time
from collections import Counter
from datetime import date, timedelta

from services.deadline.sweep import milestones, targets
from shared.domain.events import FulfilmentCompleted
from shared.domain.topics import ServiceName
from shared.messaging.progress import loop_of
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from tests.fixtures.events import a
from tests.integration.deadline.conftest import Harness
from tests.integration.deadline.test_sweep import FOUR


async def test_each_target_is_said_when_it_has_passed_and_its_role_with_it(deadline: Harness) -> None:
    before = PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) or 0
    event, heard = await deadline.receives(), []
    for day in range(25):
        await deadline.sweeps(targets, days=day)
        heard.append(len((await deadline.said()).get(event.request_id, [])))
    assert [heard.index(number) for number in range(1, 5)] == [5, 6, 11, 21]
    assert await deadline.said() == {event.request_id: FOUR}
    assert [(each["level"], each["escalate_to"]) for each in await deadline.details()] == [
        ("target_triage", ["team_lead"]),
        ("target_question_sent", ["team_lead"]),
        ("target_collection", ["system_owner"]),
        ("target_review", ["dpo"]),
    ]
    first = {"target": "triage", "target_on": "2026-03-09", "escalate_to": "team_lead"}
    assert (await deadline.evidence("deadline.target_missed"))[0] == first
    assert PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) == before + 1


async def test_of_targets_that_were_missed_at_once_each_role_gets_the_latest(deadline: Harness) -> None:
    await deadline.receives_many(5)
    await deadline.sweeps(targets, days=22)
    each = ["target_question_sent", "target_collection", "target_review"]
    assert Counter(await deadline.tickets()) == Counter(each * 5)


async def test_a_step_that_was_taken_meets_its_targets(deadline: Harness) -> None:
    proven, in_question, nothing = await deadline.receives_many(3)
    done = await deadline.receives()
    await deadline.pool.execute("DELETE FROM clock WHERE request_id = $1", done.request_id)
    await deadline.hears(a(FulfilmentCompleted, done))  # the end of the work is heard first: it came on another topic
    await deadline.hears(done)
    await deadline.verifies(proven, done)
    await deadline.verifies(proven)
    await deadline.asks(in_question, 0)
    await deadline.sweeps(targets, days=22)
    assert await deadline.said() == {
        proven.request_id: ["collection", "review"],
        in_question.request_id: ["collection", "review"],
        done.request_id: ["review"],
        nothing.request_id: FOUR,
    }


async def test_an_answered_request_misses_nothing_and_a_warning_that_nobody_has_seen_is_cancelled(
    deadline: Harness,
) -> None:
    in_time, late = await deadline.receives_many(2)
    await deadline.closes(in_time)
    await deadline.sweeps(targets, days=5)
    assert await deadline.tickets() == ["target_triage"]
    await deadline.closes(late, days=5)
    assert await deadline.sweeps(targets, days=22) == 0
    assert await deadline.said() == {late.request_id: ["triage"]}
    assert await deadline.tickets() == []


async def test_what_was_said_stays_said_when_the_dates_are_computed_anew(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(targets, days=11)
    await deadline.pool.execute("UPDATE clock SET calc_version = 'rules-1/policy-before/holidays-1'")
    await deadline.extends(event, date(2026, 6, 4))
    assert await deadline.sweeps(targets) == 1  # looked at again, and nothing of it said again
    assert await deadline.said() == {event.request_id: FOUR[:3]}
    await deadline.sweeps(targets, days=22)
    assert await deadline.said() == {event.request_id: FOUR}


async def test_an_extended_request_is_not_to_be_extended_again(deadline: Harness) -> None:
    await deadline.receives()
    await deadline.pool.execute("UPDATE clock SET extended = true")
    await deadline.sweeps(milestones, days=23)
    assert await deadline.tickets() == []


async def test_nothing_is_judged_beyond_what_was_heard(deadline: Harness) -> None:
    event = await deadline.receives()
    deadline.at(days=5)
    never, behind, current = Heartbeats(), Heartbeats(), None
    behind.consumed(loop_of(ServiceName.DEADLINE), time.monotonic() - timedelta(days=2).total_seconds())
    looked_at = [await deadline.sweep(heartbeats=each).tick(targets) for each in (never, behind, current)]
    assert looked_at == [0, 0, 1]
    assert await deadline.said() == {event.request_id: ["triage"]}


async def test_a_request_that_is_found_late_is_judged_once_its_steps_may_have_been_heard(deadline: Harness) -> None:
    deadline.at(days=8)
    event = await deadline.receives(occurred_at=deadline.now)
    assert await deadline.sweeps(targets) == 0
    assert await deadline.sweeps(targets, days=8, minutes=30) == 1
    assert await deadline.said() == {event.request_id: FOUR[:2]}


async def test_an_overdue_request_gets_no_ticket_for_a_target(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(targets, days=50)
    assert await deadline.said() == {event.request_id: FOUR}
    assert await deadline.tickets() == []


async def test_a_request_that_was_reopened_has_no_targets(deadline: Harness) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event)
    await deadline.closes(event, days=27)
    deadline.at(days=40)
    await deadline.reopens(event, question, deadline.now, date(2026, 5, 14))
    assert await deadline.sweeps(targets, days=60) == 0
