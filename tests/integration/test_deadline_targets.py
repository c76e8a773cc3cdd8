"""The staff's targets on a real database: what is missed is told once, to the bus and to the role that is named."""

import asyncio
import json
import time
from collections import Counter
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from services.deadline import handlers, watch
from services.deadline.settings import DeadlineSettings
from services.deadline.sweep import Sweep
from shared.domain.events import (
    AnyEvent,
    FulfilmentCompleted,
    QuestionSent,
    RequestExtended,
    RequestReceived,
    RequestVerified,
    TargetMissed,
)
from shared.domain.operations import Operation
from shared.domain.rights import Outcome
from shared.domain.topics import ServiceName
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from tests.fixtures.deadline_work import (
    ARRIVED,
    POLICY,
    HandClock,
    clock,
    closed,
    harness,
    hear,
    pool,
    received,
    stop,
    sweep_all,
    sweep_of,
    tickets,
)

__all__ = ["clock", "harness", "pool"]
asked, extend = partial(handlers.asked, policy=POLICY), partial(handlers.extend, policy=POLICY)
ALL = ["triage", "question_sent", "collection", "review"]


def abreast() -> Heartbeats:
    """The pulse of a service that has heard everything."""
    heartbeats = Heartbeats()
    heartbeats.consumed(loop_of(ServiceName.DEADLINE), time.monotonic())
    return heartbeats


async def judge_all(harness: UnitOfWorkFactory, batch: int = 1_000) -> int:
    sweep, looked_at = sweep_of(harness, batch), 0
    while found := await sweep.judge(abreast()):
        looked_at += found
    return looked_at


async def missed(pool: asyncpg.Pool) -> dict[UUID, list[str]]:
    said: dict[UUID, list[str]] = {}
    for row in await pool.fetch("SELECT value FROM outbox ORDER BY position"):
        event = TypeAdapter(AnyEvent).validate_json(row["value"])
        if isinstance(event, TargetMissed):
            said.setdefault(event.request_id, []).append(event.target)
    return said


def verified(event: RequestReceived) -> RequestVerified:
    return RequestVerified(
        request_id=event.request_id, occurred_at=ARRIVED, right=event.right, subject=event.subject, due_on=event.due_on
    )


def collected(event: RequestReceived) -> FulfilmentCompleted:
    return FulfilmentCompleted(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=event.right,
        operation=Operation.EXPORT,
        outcome=Outcome.FULFILLED,
        tasks=(),
    )


def question(event: RequestReceived) -> QuestionSent:
    return QuestionSent(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=event.right,
        question_id=uuid7(),
        question="identity",
        asked_at=ARRIVED,
        condition_recorded=True,
    )


async def test_each_target_is_told_when_it_has_passed_and_its_role_with_it(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, told = received(), []
    before = PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) or 0
    await hear(harness, event)
    for day in range(25):
        clock.at = ARRIVED + timedelta(days=day)
        await judge_all(harness)
        told.append(len((await missed(pool)).get(event.request_id, [])))
    assert [told.index(number) for number in range(1, 5)] == [5, 6, 11, 21]
    assert await missed(pool) == {event.request_id: ALL}
    details = await pool.fetch("SELECT details FROM fulfilment ORDER BY opened_at")
    assert [(row[0]["level"], row[0]["escalate_to"]) for row in details] == [
        ("target_triage", ["team_lead"]),
        ("target_question_sent", ["team_lead"]),
        ("target_collection", ["system_owner"]),
        ("target_review", ["dpo"]),
    ]
    record = await pool.fetchval("SELECT detail FROM evidence.entry WHERE action = 'deadline.target_missed' LIMIT 1")
    assert json.loads(record) == {"target": "triage", "target_on": "2026-03-09", "escalate_to": "team_lead"}
    assert PEOPLE.get_sample_value("dsr_targets_missed_total", {"target": "review"}) == before + 1


async def test_after_weeks_of_downtime_all_that_was_missed_is_told_once_and_each_role_the_latest(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(5)]
    await hear(harness, *events)
    clock.at = ARRIVED + timedelta(days=22)
    assert await judge_all(harness) == 5
    assert await judge_all(harness) == 0
    assert await missed(pool) == {event.request_id: ALL for event in events}
    each = ["target_question_sent", "target_collection", "target_review"]
    assert Counter(await tickets(pool)) == Counter(each * 5)


async def test_two_instances_at_once_tell_each_target_once(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(500)]
    await hear(harness, *events)
    clock.at = ARRIVED + timedelta(days=22)
    looked_at = await asyncio.gather(*(judge_all(harness, batch=50) for _ in range(2)))
    assert sum(looked_at) == 500
    assert await missed(pool) == {event.request_id: ALL for event in events}


async def test_a_step_that_was_taken_meets_its_targets(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    proven, in_question, done, nothing = (received() for _ in range(4))
    async with harness.begin() as tx:  # the end of the work is heard first: it came on another topic
        await handlers.collected([collected(done)], tx)
    await hear(harness, proven, in_question, done, nothing)
    async with harness.begin() as tx:
        await handlers.verified([verified(proven), verified(done)], tx)
        await handlers.verified([verified(proven)], tx)
        await asked([question(in_question)], tx)
    clock.at = ARRIVED + timedelta(days=22)
    await judge_all(harness)
    assert await missed(pool) == {
        proven.request_id: ["collection", "review"],
        in_question.request_id: ["collection", "review"],
        done.request_id: ["review"],
        nothing.request_id: ALL,
    }


async def test_an_answered_request_misses_nothing_and_a_warning_that_nobody_has_seen_is_cancelled(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    in_time, late = received(), received()
    await hear(harness, in_time, late)
    async with harness.begin() as tx:
        await stop([closed(in_time, ARRIVED)], tx)
    clock.at = ARRIVED + timedelta(days=5)
    await judge_all(harness)
    assert await tickets(pool) == ["target_triage"]
    async with harness.begin() as tx:
        await stop([closed(late, clock.at)], tx)
    clock.at = ARRIVED + timedelta(days=22)
    assert await judge_all(harness) == 0
    assert await missed(pool) == {late.request_id: ["triage"]}
    assert await tickets(pool) == []


async def test_what_was_told_stays_told_when_the_dates_are_computed_anew(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=11)
    await judge_all(harness)
    await pool.execute("UPDATE clock SET calc_version = 'rules-1/policy-before/holidays-1'")
    extension = RequestExtended(
        request_id=event.request_id,
        occurred_at=clock.at,
        right=event.right,
        reason="VOLUME",
        due_on=date(2026, 6, 4),
        told_at=clock.at,
    )
    async with harness.begin() as tx:
        await extend([extension], tx)
    assert await judge_all(harness) == 1  # looked at again, and nothing of it told again
    assert await missed(pool) == {event.request_id: ALL[:3]}
    clock.at = ARRIVED + timedelta(days=22)
    await judge_all(harness)
    assert await missed(pool) == {event.request_id: ALL}


async def test_an_extended_request_is_not_to_be_extended_again(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    await pool.execute("UPDATE clock SET extended = true")
    clock.at = ARRIVED + timedelta(days=23)
    await sweep_all(sweep_of(harness))
    assert await tickets(pool) == []


async def test_nothing_is_judged_beyond_what_was_heard(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await hear(harness, received())
    clock.at = ARRIVED + timedelta(days=5)
    never, behind = Heartbeats(), Heartbeats()
    behind.consumed(loop_of(ServiceName.DEADLINE), time.monotonic() - timedelta(days=2).total_seconds())
    assert [await sweep_of(harness).judge(heartbeats) for heartbeats in (never, behind, abreast())] == [0, 0, 1]
    assert list((await missed(pool)).values()) == [["triage"]]


async def test_a_request_that_is_found_late_is_judged_once_its_steps_may_have_been_heard(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    clock.at = ARRIVED + timedelta(days=8)
    event = received(occurred_at=clock.at)
    await hear(harness, event)
    assert await judge_all(harness) == 0
    clock.at += timedelta(minutes=30)
    assert await judge_all(harness) == 1
    assert await missed(pool) == {event.request_id: ALL[:2]}


async def test_an_overdue_request_gets_no_ticket_for_a_target(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=50)
    await judge_all(harness)
    assert await missed(pool) == {event.request_id: ALL}
    assert await tickets(pool) == []


async def test_a_look_at_many_open_requests_reads_only_those_whose_target_has_come(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await hear(harness, *(received() for _ in range(3_000)))
    await hear(harness, received(received_at=ARRIVED - timedelta(days=6)))
    await pool.execute("VACUUM ANALYZE clock")
    clock.at = ARRIVED + timedelta(hours=1)
    plan = await pool.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {watch.COME}", clock.at, 1_000)
    text = plan if isinstance(plan, str) else json.dumps(plan)
    assert "clock_next_target" in text
    assert "Rows Removed by Filter" not in text
    assert await judge_all(harness) == 1


@pytest.mark.parametrize("batch", [1, 3])
async def test_a_batch_of_targets_is_never_larger_than_the_settings_say(
    harness: UnitOfWorkFactory, clock: HandClock, batch: int
) -> None:
    await hear(harness, *(received() for _ in range(4)))
    clock.at = ARRIVED + timedelta(days=22)
    sweep = Sweep(harness, POLICY, DeadlineSettings(batch=batch))
    assert await sweep.judge(abreast()) == batch
