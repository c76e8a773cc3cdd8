"""Each source of the poll: one event per fact, in batches, shared by instances, at bounded cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import notifications, repository, statistics
from shared.domain.events import (
    FulfilmentCompleted,
    LetterReturned,
    PartAnswered,
    QuestionSent,
    RequestExtended,
    RequestReceived,
)
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import calc_version
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.progress import loop_of
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from shared.storage.postgres import UNAVAILABLE
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.metrics import metric
from tests.integration.deadline.conftest import (
    ARRIVED,
    POLICY,
    Harness,
    deferrals,
    milestones,
    questions,
    targets,
)
from tests.integration.deadline.test_deferrals import erasure, kept

# 300 timers like the one that is there, due sixty days later.
FILL = """
INSERT INTO timer SELECT (jsonb_populate_record(t, jsonb_build_object('ref', 'system ' || n, 'request_id',
    CASE kind WHEN 'retention' THEN request_id ELSE gen_random_uuid() END, 'due_at', t.due_at + interval '60 d'))).*
FROM timer t, generate_series(1, 300) n
"""


async def asked(deadline: Harness, number: int) -> list[RequestReceived]:
    requests = await deadline.receives_many(number)
    at = ARRIVED + timedelta(days=1)
    await deadline.consume(*(a(QuestionSent, each, question_id=uuid7(), asked_at=at) for each in requests))
    return requests


async def deferred(deadline: Harness, number: int) -> list[RequestReceived]:
    return [await erasure(deadline, kept(until=date(2026, 4, 23))) for _ in range(number)]


@dataclass(frozen=True)
class Case:
    """A kind of timer; how it comes to be; when the first is due; and what is said of each then, and after weeks."""

    kinds: tuple[str, ...]
    prepare: Callable[[Harness, int], Awaitable[list[RequestReceived]]]
    first_at: datetime
    said_first: list[str]
    said: list[str]


FIVE = ["approaching 7", "approaching 3", "approaching 1", "overdue commitment", "overdue statutory"]
FOUR = ["triage", "question_sent", "collection", "review"]
LATE = ARRIVED + timedelta(days=50)
RELEASED = ["billing 2026-04-24"]
CASES = [
    Case(milestones, Harness.receives_many, datetime(2026, 3, 27, 23, tzinfo=UTC), FIVE[:1], FIVE),
    Case(targets, Harness.receives_many, datetime(2026, 3, 9, 23, 5, tzinfo=UTC), FOUR[:1], FOUR),
    Case(questions, asked, datetime(2026, 3, 13, 6, tzinfo=UTC), ["reminder 7"], ["last_notice 26"]),
    Case(deferrals, deferred, datetime(2026, 4, 24, 6, tzinfo=UTC), RELEASED, RELEASED),
]
every_source = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kinds[0])


@every_source
async def test_after_weeks_of_downtime_everything_is_said_once_a_batch_at_a_time(deadline: Harness, case: Case) -> None:
    requests = await case.prepare(deadline, 5)
    deadline.at(LATE)
    await deadline.only(case.kinds)
    sweep = deadline.sweep(batch=2)
    assert [await sweep.look() for _ in range(4)] == [2, 2, 1, 0]
    assert await deadline.said() == {request.request_id: case.said for request in requests}


@every_source
async def test_a_clock_that_jumps_back_says_nothing_again(deadline: Harness, case: Case) -> None:
    (request,) = await case.prepare(deadline, 1)
    for now in (case.first_at, ARRIVED, case.first_at, case.first_at + timedelta(minutes=1)):
        await deadline.sweeps(case.kinds, at=now)
    assert await deadline.said() == {request.request_id: case.said_first}


@every_source
async def test_two_concurrent_instances_share_the_rows(
    deadline: Harness, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = await case.prepare(deadline, 60)
    deadline.at(LATE)
    await deadline.only(case.kinds)
    both = asyncio.Barrier(2)
    due_timers = repository.due_timers
    waited = set[asyncio.Task[Any] | None]()

    async def meet(*given: Any) -> Any:
        found = await due_timers(*given)
        if asyncio.current_task() not in waited:  # each has timers in hand while the other takes its own
            waited.add(asyncio.current_task())
            await both.wait()
        return found

    monkeypatch.setattr(repository, "due_timers", meet)

    async def instance() -> int:
        sweep, looked_at = deadline.sweep(batch=5), 0
        while found := await sweep.look():
            looked_at += found
        return looked_at

    async with asyncio.timeout(60):
        looked_at = await asyncio.gather(instance(), instance())
    assert min(looked_at) > 0
    assert sum(looked_at) == 60
    assert await deadline.said() == {request.request_id: case.said for request in requests}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction may stand still for a fifth of a second."""
    monkeypatch.setenv("DSR_POSTGRES_IDLE_SECONDS", "0.2")


@pytest.mark.usefixtures("brief")
@every_source
async def test_rows_of_a_frozen_instance_are_published_by_another_alone(
    deadline: Harness, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    (request,) = await case.prepare(deadline, 1)
    deadline.at(LATE)
    await deadline.only(case.kinds)
    frozen, wakes = asyncio.Event(), asyncio.Event()
    due_timers = repository.due_timers

    async def freeze(*given: Any) -> Any:
        found = await due_timers(*given)
        if not frozen.is_set():
            frozen.set()
            await wakes.wait()
        return found

    monkeypatch.setattr(repository, "due_timers", freeze)

    async def another() -> int:
        with suppress(*UNAVAILABLE):  # on a busy machine it stands still as long itself, and looks again
            return await deadline.sweeps(case.kinds)
        return 0

    sleeper = asyncio.create_task(deadline.sweep().look())
    await frozen.wait()
    await eventually(another)
    wakes.set()
    with pytest.raises(UNAVAILABLE):
        await sleeper
    assert await deadline.said() == {request.request_id: case.said}


@every_source
async def test_a_sweep_that_breaks_off_has_said_nothing_and_the_next_says_all(deadline: Harness, case: Case) -> None:
    (request,) = await case.prepare(deadline, 1)
    deadline.at(LATE)
    await deadline.pool.execute("ALTER TABLE outbox RENAME TO outbox_away")
    await deadline.only(case.kinds)
    with pytest.raises(asyncpg.UndefinedTableError):
        await deadline.sweep().look()
    await deadline.pool.execute("ALTER TABLE outbox_away RENAME TO outbox")
    await deadline.sweeps(case.kinds)
    assert await deadline.said() == {request.request_id: case.said}


@every_source
async def test_a_sweep_reads_what_is_due_and_not_what_is_open(deadline: Harness, case: Case) -> None:
    await case.prepare(deadline, 1)
    await deadline.only(case.kinds)
    await deadline.pool.execute(FILL)
    await deadline.pool.execute("VACUUM ANALYZE timer")
    plan = await deadline.plan(repository.DUE, case.first_at, case.first_at, 1_000)
    assert "timer_due" in plan
    assert "Seq Scan on timer" not in plan
    assert "Rows Removed by Filter" not in plan
    assert await deadline.sweeps(case.kinds, at=case.first_at) == 1


async def test_catching_up_beats_and_heeds_the_stop_signal(deadline: Harness) -> None:
    await asked(deadline, 3)
    deadline.at(days=22)
    assert await deadline.runs(2, batch=1) == ["timers"] * 2
    assert len(await deadline.said()) == 2


# The staff's targets: what is missed is said once, on the bus and to the role that is named.
async def test_each_target_is_said_when_it_has_passed_and_its_role_with_it(deadline: Harness) -> None:
    before = PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) or 0
    event, counts = await deadline.receives(), []
    for day in range(25):
        await deadline.sweeps(targets, days=day)
        counts.append(len((await deadline.said()).get(event.request_id, [])))
    assert [counts.index(number) for number in range(1, 5)] == [5, 6, 11, 21]
    assert await deadline.said() == {event.request_id: FOUR}
    assert [(each["level"], each["escalate_to"]) for each in await deadline.details()] == [
        ("target_triage", ["team_lead"]),
        ("target_question_sent", ["team_lead"]),
        ("target_collection", ["system_owner"]),
        ("target_review", ["dpo"]),
    ]
    first = {"step": "triage", "due_on": "2026-03-09", "days": 0, "escalate_to": ["team_lead"]}
    assert (await deadline.evidence("deadline.target_missed"))[0] == first
    assert PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) == before + 1


async def test_a_step_that_was_taken_meets_its_targets(deadline: Harness) -> None:
    proven, in_question, nothing = await deadline.receives_many(3)
    done = await deadline.receives()
    await deadline.consume(a(FulfilmentCompleted, done))
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


async def test_answered_request_misses_no_target_and_its_unseen_warning_is_cancelled(deadline: Harness) -> None:
    in_time, late = await deadline.receives_many(2)
    await deadline.closes(in_time)
    await deadline.sweeps(targets, days=5)
    assert await deadline.tickets() == ["target_triage"]
    await deadline.closes(late, days=5)
    assert await deadline.sweeps(targets, days=22) == 0
    assert await deadline.said() == {late.request_id: ["triage"]}
    assert await deadline.tickets() == []


async def test_published_milestones_stay_after_a_recalculation(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(targets, days=11)
    await deadline.pool.execute("UPDATE clock SET calc_version = 'rules-1/policy-before/holidays-1'")
    await deadline.extends(event, date(2026, 6, 4))
    assert await deadline.sweeps(targets) == 0
    assert await deadline.said() == {event.request_id: FOUR[:3]}
    await deadline.sweeps(targets, days=22)
    assert await deadline.said() == {event.request_id: FOUR}


async def test_an_extended_request_is_not_to_be_extended_again(deadline: Harness) -> None:
    await deadline.receives()
    await deadline.pool.execute("UPDATE clock SET promised_on = due_on")
    await deadline.sweeps(milestones, days=23)
    assert await deadline.tickets() == []


async def test_nothing_is_judged_beyond_consumed_events(deadline: Harness) -> None:
    event = await deadline.receives()
    deadline.at(days=5)
    never, behind, current = Heartbeats(), Heartbeats(), None
    behind.consumed(loop_of(ServiceName.DEADLINE), time.monotonic() - timedelta(days=2).total_seconds())
    await deadline.only(targets)
    looked_at = [await deadline.sweep(heartbeats=each).look() for each in (never, behind, current)]
    assert looked_at == [0, 0, 1]
    assert await deadline.said() == {event.request_id: ["triage"]}


async def test_late_request_is_judged_once_its_events_may_have_been_consumed(deadline: Harness) -> None:
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


# A clock starts, its milestones are said in their time, and an answer is judged by the dates that are stored.
async def test_a_received_request_has_its_dates_computed_and_put_on_record(deadline: Harness) -> None:
    row = await deadline.clock(await deadline.receives())
    assert (row["due_on"], row["statutory_due_on"]) == (date(2026, 4, 4), date(2026, 4, 7))
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
    await deadline.consume(event)
    row = await deadline.clock(event)
    assert (row["due_on"], row["due_at"]) == (date(2026, 3, 31), datetime(2026, 3, 31, 22, tzinfo=UTC))


async def test_of_concurrent_milestones_the_gravest_opens_a_ticket(deadline: Harness) -> None:
    await deadline.receives_many(5)
    await deadline.sweeps(days=50)
    assert await deadline.tickets() == ["overdue_statutory"] * 5


async def test_answer_stops_the_clock_and_cancels_an_unseen_warning(deadline: Harness) -> None:
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


async def test_milestone_is_published_without_a_ticketing_system(deadline: Harness) -> None:
    nowhere = Fulfilments({Operation.ESCALATE: (), Operation.FLAG: ()})
    deadline = Harness(deadline.unit_of_work, nowhere, deadline.time)
    event = await deadline.receives()
    await deadline.sweeps(days=50)
    assert await deadline.said() == {event.request_id: FIVE}


@pytest.mark.parametrize(("days", "how"), [(3, "on_time"), (5, "late_commitment")])
@pytest.mark.parametrize("role", ["controller", "processor"])
async def test_forwarded_request_is_judged_as_a_processors(deadline: Harness, role: str, days: int, how: str) -> None:
    event = await deadline.receives(role=role)
    await deadline.closes(event, days=days, outcome=Outcome.FORWARDED)
    row = await deadline.clock(event)
    assert (row["role"], row["timeliness"]) == ("processor", how)
    (stopped,) = await deadline.evidence("deadline.stopped")
    assert stopped["due_on"] == "2026-03-09"  # Thursday 5, two working days: Monday 9


@pytest.mark.parametrize(("days", "in_time"), [(1, True), (5, True), (6, False)])
async def test_question_keeps_whether_it_was_asked_in_time(deadline: Harness, days: int, in_time: object) -> None:
    await deadline.asks(await deadline.receives(), days, condition_recorded=False)  # the third working day is a Tuesday
    assert await deadline.pool.fetchval("SELECT in_time FROM question") is in_time


# What is owed of a request that was answered in part keeps its due date, in figures, warnings and judgement.
OWED: dict[str, Any] = {"outcome": Outcome.PARTIALLY_FULFILLED, "outstanding": ("cdr", "tickets")}


async def figures(deadline: Harness) -> tuple[float | None, ...]:
    """Returns the counts of open and overdue requests by both clocks, and of lines of the daily alert."""
    async with deadline.pool.acquire() as connection:
        await statistics.count(connection, deadline.now, POLICY)
    ages = [metric("dsr_requests_open", right="access", age=age) or 0 for age in statistics.AGES]
    late = [metric("dsr_requests_overdue", right="access", clock=clock) for clock in ("commitment", "statutory")]
    await deadline.pool.execute("DELETE FROM task")
    await deadline.pool.execute("DELETE FROM fulfilment")
    async with deadline.unit_of_work.begin() as tx:
        await notifications.open_digest(deadline.fulfilments, tx, POLICY)
    (ticket,) = await deadline.details()
    assert ticket["lines"][len(Right)].startswith(f"all: {sum(ages):.0f} open")
    return (sum(ages), *late, len(ticket["lines"]) - len(Right) - 1)


async def test_a_part_that_is_owed_is_open_and_overdue_until_it_is_done(deadline: Harness) -> None:
    request, other, in_time = await deadline.receives_many(3)
    await deadline.closes(request, in_time, days=3, **OWED)
    await deadline.closes(other, days=3)
    await deadline.consume(a(PartAnswered, in_time, outstanding=(), occurred_at=ARRIVED + timedelta(days=4)))
    deadline.at(days=4)
    assert await figures(deadline) == (1, 0, 0, 0)
    await deadline.sweeps(days=40)
    assert (await deadline.said())[request.request_id] == [
        *("approaching 7", "approaching 3", "approaching 1", "overdue commitment", "overdue statutory")
    ]
    assert list(await deadline.said()) == [request.request_id]
    assert (await deadline.clock(in_time))["timeliness"] == "on_time"
    assert await figures(deadline) == (1, 1, 1, 1)

    done = {"occurred_at": ARRIVED + timedelta(days=41)}
    await deadline.consume(a(PartAnswered, request, outstanding=("cdr",), **done))
    assert await figures(deadline) == (1, 1, 1, 1)
    await deadline.consume(a(PartAnswered, request, outstanding=(), **done))
    assert await figures(deadline) == (0, 0, 0, 0)
    row = await deadline.clock(request)
    assert (row["timeliness"], row["outstanding"]) == ("breach", "")
    assert not await deadline.pool.fetch(
        "SELECT FROM timer WHERE kind = 'milestone' AND request_id = $1", request.request_id
    )
    assert (await deadline.evidence("deadline.part_answered"))[-1] == {"outstanding": [], "timeliness": "breach"}


async def test_rebuilt_package_is_watched_like_the_first(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.closes(request, days=3)
    await deadline.consume(a(PartAnswered, request, outstanding=("cdr",), occurred_at=ARRIVED + timedelta(days=9)))
    deadline.at(days=9)
    assert await figures(deadline) == (1, 0, 0, 0)
    await deadline.sweeps(days=40)
    assert (await deadline.said())[request.request_id][-1] == "overdue statutory"
    await deadline.consume(a(PartAnswered, request, outstanding=(), occurred_at=ARRIVED + timedelta(days=41)))
    assert await figures(deadline) == (0, 0, 0, 0)
    assert (await deadline.clock(request))["timeliness"] == "breach"


# How a stored date moves, by an event alone, and that what it was stays on record.
FOUND = ARRIVED - timedelta(days=20)  # 13 February: one month is the shorter of the two
FIRST = (date(2026, 4, 4), date(2026, 4, 7))


async def dates(deadline: Harness, request: RequestReceived) -> tuple[date, date]:
    row = await deadline.clock(request)
    return row["due_on"], row["statutory_due_on"]


async def before(deadline: Harness) -> list[tuple[str, date]]:
    entries = await deadline.evidence("deadline.recomputed")
    return [(each["cause"], date.fromisoformat(each["before"]["due_on"])) for each in entries]


async def test_an_answered_question_moves_the_statutory_limit_alone_and_what_it_was_stays(deadline: Harness) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event)
    assert await dates(deadline, event) == FIRST
    await deadline.answers(question, ARRIVED + timedelta(days=11))
    assert await dates(deadline, event) == (FIRST[0], date(2026, 4, 15))  # ten days from 5 April
    assert await before(deadline) == [("question_answered", FIRST[0])]
    sent = {"question": "identity", "not_counted": None}
    assert await deadline.evidence("deadline.question_sent") == [sent]
    (recomputed,) = await deadline.evidence("deadline.recomputed")
    assert (recomputed["cause"], recomputed["before"]["statutory_due_on"]) == ("question_answered", "2026-04-07")


@pytest.mark.parametrize(
    ("after", "recorded", "reason"), [(6, True, "asked_too_late"), (1, False, "condition_not_recorded")]
)
async def test_uncounted_question_moves_no_date(deadline: Harness, after: int, recorded: object, reason: str) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event, after, condition_recorded=recorded)
    await deadline.answers(question, ARRIVED + timedelta(days=20))
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == []
    assert (await deadline.evidence("deadline.question_sent"))[0]["not_counted"] == reason


async def test_while_a_question_is_open_only_the_commitment_can_be_overdue(deadline: Harness) -> None:
    event = await deadline.receives()
    question = await deadline.asks(event)
    await deadline.sweeps(days=60)
    assert (await deadline.said())[event.request_id][-1] == "overdue commitment"
    await deadline.answers(question, deadline.now)
    await deadline.sweeps(days=100)
    assert (await deadline.said())[event.request_id][-2:] == ["overdue commitment", "overdue statutory"]


async def test_answer_during_an_open_question_counts_the_days_of_the_question(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.asks(event)
    await deadline.closes(event, days=40)
    assert (await deadline.clock(event))["timeliness"] == "late_commitment"


async def test_extension_moves_both_clocks_and_restarts_the_warnings(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.sweeps(days=28)
    await deadline.extends(event, date(2026, 6, 4))
    assert await dates(deadline, event) == (date(2026, 6, 4), date(2026, 6, 5))
    await deadline.sweeps(at=datetime(2026, 6, 20, tzinfo=UTC))
    assert (await deadline.said())[event.request_id] == [*FIVE[:2], *FIVE]


async def test_undelivered_or_late_extension_moves_nothing(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.consume(a(LetterReturned, event, what="extension", question_id=None))
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == [("extended", FIRST[0]), ("extension_returned", date(2026, 6, 4))]
    await deadline.consume(a(RequestExtended, event, due_on=date(2026, 6, 4), notified_at=ARRIVED + timedelta(days=40)))
    assert await dates(deadline, event) == FIRST
    assert await deadline.evidence("deadline.extension_too_late") == [{}]
    await deadline.extends(event, date(2026, 6, 4))
    assert (await deadline.clock(event))["promised_on"]


async def test_a_clock_that_has_stopped_moves_no_more(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.closes(event)
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.redates(event, date(2026, 3, 13), received_at=FOUND)
    assert await dates(deadline, event) == FIRST
    assert await before(deadline) == []


async def test_a_corrected_receipt_moves_every_date_and_what_they_were_stays(deadline: Harness) -> None:
    event, day, zones = await deadline.receives(), date(2026, 3, 13), ("Europe/Paris", "America/New_York")
    await deadline.redates(event, day, received_at=FOUND, zones=zones, calendar="FR")
    now = await deadline.clock(event)
    assert (now["due_on"], now["statutory_due_on"], now["work_by"]) == (day, day, day)
    assert (now["received_at"], now["zones"], now["calendar"]) == (FOUND, ",".join(zones), "FR")
    assert now["due_at"] == now["statutory_due_at"] == datetime(2026, 3, 13, 23, tzinfo=UTC)
    assert await before(deadline) == [("receipt_corrected", FIRST[0])]
    (entry,) = await deadline.evidence("deadline.recomputed")
    assert entry["cause"] == "receipt_corrected"
    assert entry["before"] == {
        "received_at": ARRIVED.isoformat(),
        "due_on": "2026-04-04",
        "work_by": "2026-04-02",
        "statutory_due_on": "2026-04-07",
    }
    assert entry["after"]["due_on"] == "2026-03-13"


async def test_a_changed_policy_moves_the_law_s_limit_and_keeps_the_day_that_was_promised(deadline: Harness) -> None:
    event, promised = await deadline.receives(), date(2026, 4, 2)
    await deadline.pool.execute(
        "UPDATE clock SET statutory_due_on = '2026-04-09', calc_version = 'rules-0', due_on = '2026-04-02'"
    )
    for _ in range(2):  # the second finds nothing to move
        await deadline.redates(event, promised, cause="policy_changed")
        now = await deadline.clock(event)
        assert (now["due_on"], now["statutory_due_on"]) == (promised, FIRST[1])
        assert (now["work_by"], now["due_at"]) == (promised, datetime(2026, 4, 2, 22, tzinfo=UTC))
        assert now["calc_version"] == calc_version(POLICY)
        assert await before(deadline) == [("policy_changed", promised)]


async def test_an_extended_clock_stays_extended_when_its_receipt_is_corrected(deadline: Harness) -> None:
    event, day = await deadline.receives(), date(2026, 5, 13)
    await deadline.extends(event, date(2026, 6, 4))
    await deadline.redates(event, day, received_at=FOUND)
    assert (await deadline.clock(event))["promised_on"]
    assert await dates(deadline, event) == (day, day)


async def test_the_tasks_of_the_clock_itself_move_with_it(deadline: Harness) -> None:
    event = await deadline.receives()
    await deadline.verifies(event)
    await deadline.sweeps(minutes=15)
    await deadline.redates(event, date(2026, 3, 13), received_at=FOUND)
    due_on = await deadline.pool.fetchval("SELECT due_on FROM task WHERE operation = $1", Operation.FLAG)
    assert due_on == date(2026, 3, 13)


@pytest.mark.parametrize(
    ("said", "first", "due_at"),
    [  # Friday 13, two working days: Tuesday 17
        ({"role": "processor"}, date(2026, 3, 9), datetime(2026, 2, 17, 23, tzinfo=UTC)),
        ({"right": Right.OBJECTION, "scope": "direct_marketing"}, date(2026, 3, 7), FOUND + timedelta(hours=48)),
    ],
)
async def test_a_shorter_limit_of_our_own_counts_from_the_corrected_receipt(
    deadline: Harness, said: dict[str, object], first: date, due_at: datetime
) -> None:
    event = await deadline.receives(**said)
    row: asyncpg.Record = await deadline.clock(event)
    assert (row["due_on"], row["role"], row["scope"]) == (first, event.role, event.scope)
    await deadline.redates(event, (due_at - timedelta(hours=1)).date(), received_at=FOUND)
    assert (await deadline.clock(event))["due_at"] == due_at


# A silent requester is reminded twice, and then gets a last notice.
LAST = datetime(2026, 4, 1, 6, tzinfo=UTC)  # midnight in Denver
ALL = ["reminder 7", "reminder 14", "last_notice 26"]  # asked on 6 March: on the 13th, the 20th, and 1 April


@pytest.fixture
async def question_asked(deadline: Harness) -> tuple[RequestReceived, QuestionSent]:
    """A request, and the question of who asks, a day after."""
    request = await deadline.receives()
    return request, await deadline.asks(request)


Asked = tuple[RequestReceived, QuestionSent]


async def test_two_reminders_and_the_last_notice_come_on_their_days(deadline: Harness, question_asked: Asked) -> None:
    request, _ = question_asked
    counts = []
    for start in (datetime(2026, 3, 13, 6, tzinfo=UTC), datetime(2026, 3, 20, 6, tzinfo=UTC), LAST):
        for now in (start - timedelta(microseconds=1), start, start + timedelta(hours=5)):
            await deadline.sweeps(questions, at=now)
            counts.append(len((await deadline.said()).get(request.request_id, [])))
    await deadline.sweeps(questions, at=LAST + timedelta(days=100))
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert await deadline.said() == {request.request_id: ALL}
    assert await deadline.evidence("deadline.question_unanswered") == [
        {"question": "identity", "step": step, "due_on": day, "days": days}
        for step, day, days in (
            ("reminder", "2026-03-13", 7),
            ("reminder", "2026-03-20", 14),
            ("last_notice", "2026-04-01", 26),
        )
    ]


async def test_timely_answer_ends_the_reminders(deadline: Harness, question_asked: Asked) -> None:
    request, question = question_asked
    await deadline.sweeps(questions, at=datetime(2026, 3, 14, tzinfo=UTC))
    await deadline.answers(question, deadline.now)
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {request.request_id: ["reminder 7"]}


async def test_closed_or_withdrawn_request_gets_no_reminder(deadline: Harness, question_asked: Asked) -> None:
    late = await deadline.receives()
    await deadline.asks(late)
    await deadline.closes(question_asked[0], late, days=2, outcome=Outcome.UNIDENTIFIED)
    await deadline.asks(late, 3)  # consumed after the closure
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {}


async def test_moved_dates_move_the_last_notice_without_reminders(deadline: Harness, question_asked: Asked) -> None:
    request, _ = question_asked
    await deadline.sweeps(questions, at=datetime(2026, 3, 21, tzinfo=UTC))
    await deadline.extends(request, date(2026, 6, 4))
    await deadline.sweeps(questions, at=LAST + timedelta(days=1))
    assert await deadline.said() == {request.request_id: ["reminder 14"]}
    await deadline.sweeps(questions, at=datetime(2026, 6, 2, 6, tzinfo=UTC))  # two working days before Thursday 4 June
    assert await deadline.said() == {request.request_id: ["reminder 14", "last_notice 88"]}


async def test_last_notice_is_not_repeated_when_dates_move_later(deadline: Harness, question_asked: Asked) -> None:
    request, _ = question_asked
    await deadline.sweeps(questions, at=LAST)
    await deadline.asks(request, question="clarification", asked_at=LAST + timedelta(hours=1))
    await deadline.sweeps(questions, at=LAST + timedelta(hours=2))
    assert await deadline.said() == {request.request_id: ["last_notice 26"]}


async def test_reopened_request_runs_to_its_new_day_and_keeps_history(deadline: Harness, question_asked: Asked) -> None:
    request, question = question_asked
    answered_at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    await deadline.closes(request, responded_at=LAST, outcome=Outcome.UNIDENTIFIED)
    deadline.at(answered_at)
    await deadline.reopens(request, question, answered_at, date(2026, 5, 19))

    row = await deadline.clock(request)
    assert (row["responded_at"], row["outcome"], row["timeliness"]) == (None, None, None)
    assert (row["due_on"], row["work_by"]) == (date(2026, 5, 19), date(2026, 5, 19))
    assert row["statutory_due_on"] == date(2026, 5, 20)  # 45 days from 5 April
    assert ("reopened", date(2026, 4, 4)) in await before(deadline)
    assert await deadline.pool.fetchval("SELECT answered_at FROM question") == answered_at

    deadline.at(datetime(2026, 6, 1, tzinfo=UTC))
    await deadline.sweeps((*milestones, *questions))
    assert await deadline.said() == {request.request_id: FIVE}
    await deadline.closes(request, responded_at=datetime(2026, 5, 20, 6, tzinfo=UTC))
    assert (await deadline.clock(request))["timeliness"] == "late_commitment"


async def test_the_law_is_never_said_to_end_before_the_commitment_of_a_reopened_request(deadline: Harness) -> None:
    request = await deadline.receives()
    question = await deadline.asks(request, 10)  # asked too late to stop the statutory clock
    deadline.at(datetime(2026, 4, 20, 12, tzinfo=UTC))
    await deadline.closes(request, responded_at=LAST, outcome=Outcome.UNIDENTIFIED)
    await deadline.reopens(request, question, deadline.now, date(2026, 5, 10))
    assert (await deadline.clock(request))["statutory_due_on"] == date(2026, 5, 10)
    again = await deadline.asks(request, question="clarification", asked_at=deadline.now)
    await deadline.answers(again, deadline.now + timedelta(days=1))
    row = await deadline.clock(request)
    assert (row["due_on"], row["statutory_due_on"]) == (date(2026, 5, 10), date(2026, 5, 10))


async def test_returned_question_counts_once_it_is_asked_again(deadline: Harness, question_asked: Asked) -> None:
    request, question = question_asked
    before = (await deadline.clock(request))["statutory_due_on"]
    await deadline.consume(a(LetterReturned, request, what="question", question_id=question.question_id))
    assert not (await deadline.clock(request))["pausing"]
    await deadline.sweeps(questions, at=LAST + timedelta(days=10))
    assert await deadline.said() == {}
    again = ARRIVED + timedelta(days=2)
    await deadline.consume(a(QuestionSent, request, question_id=question.question_id, asked_at=again))
    assert (await deadline.clock(request))["pausing"]
    assert (await deadline.clock(request))["statutory_due_on"] == before


async def test_the_clock_of_an_answer_that_came_back_runs_on_until_the_subject_has_it(deadline: Harness) -> None:
    request = await deadline.receives()
    await deadline.closes(request, days=3)
    await deadline.consume(a(LetterReturned, request, what="answer", question_id=None))
    clock = await deadline.clock(request)
    assert (clock["responded_at"], clock["outcome"], clock["timeliness"]) == (None, None, None)
    await deadline.sweeps(milestones, days=40)
    assert "overdue statutory" in (await deadline.said())[request.request_id]
    await deadline.closes(request, days=41)
    assert (await deadline.clock(request))["timeliness"] == "breach"
