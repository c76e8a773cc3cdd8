"""Who does not answer a question is reminded twice and told at last."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from services.deadline import silence
from services.deadline.silence import Silences
from shared.domain.events import RequestExtended
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from tests.fixtures.deadline_work import POLICY, HandClock, clock, harness, hear, pool, received, stop
from tests.fixtures.silent_questions import (
    ASKED,
    LAST,
    answered,
    ask,
    days,
    extend,
    given_up,
    notices,
    on_record,
    one_asked,
    question,
    reply,
    silences,
)

__all__ = ["clock", "harness", "pool"]


async def test_two_reminders_and_the_last_notice_come_each_once_at_the_start_of_their_day(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(harness)
    look = silences(harness).look
    counts = []
    for start in (datetime(2026, 3, 13, 4, tzinfo=UTC), datetime(2026, 3, 20, 4, tzinfo=UTC), LAST):
        for clock.at in (start - timedelta(microseconds=1), start, start + timedelta(hours=5)):
            await look()
            counts.append(len(await notices(pool)))
    clock.at = LAST + timedelta(days=100)
    await look()

    found = await notices(pool)
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert days(found) == [("reminder", 7), ("reminder", 14), ("last_notice", 26)]
    assert {(event.question_id, event.question) for event in found} == {(sent.question_id, "identity")}
    assert [entry["notice"] for entry in await on_record(pool, "deadline.question_unanswered")] == [
        "reminder",
        "reminder",
        "last_notice",
    ]


@pytest.mark.parametrize(
    ("back_at", "expected"),
    [
        (datetime(2026, 3, 25, tzinfo=UTC), [("reminder", 18)]),
        (datetime(2026, 4, 20, tzinfo=UTC), [("last_notice", 44)]),
    ],
)
async def test_after_downtime_only_the_latest_that_matters_is_told(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock, back_at: datetime, expected: list[tuple[str, int]]
) -> None:
    await one_asked(harness)
    clock.at = back_at
    await silences(harness).look()
    await silences(harness).look()
    assert days(await notices(pool)) == expected


async def test_who_answers_in_time_hears_nothing_more(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(harness)
    clock.at = datetime(2026, 3, 14, tzinfo=UTC)
    await silences(harness).look()
    async with harness.begin() as tx:
        await answered([reply(sent, clock.at)], tx)
    clock.at = LAST + timedelta(days=10)
    await silences(harness).look()
    assert days(await notices(pool)) == [("reminder", 7)]


async def test_a_request_that_was_closed_or_withdrawn_is_not_asked_again(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(harness)
    late, _ = await one_asked(harness)
    async with harness.begin() as tx:
        await stop([given_up(event, ASKED + timedelta(days=1)), given_up(late, ASKED + timedelta(days=1))], tx)
    await ask(harness, question(late, ASKED + timedelta(days=2)))  # heard after the closure
    clock.at = LAST + timedelta(days=10)
    await silences(harness).look()
    assert await notices(pool) == []


async def test_dates_that_move_move_the_last_notice_and_repeat_no_reminder(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sent = await one_asked(harness)
    clock.at = datetime(2026, 3, 21, tzinfo=UTC)
    await silences(harness).look()
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
    clock.at = LAST + timedelta(days=1)
    await silences(harness).look()
    before = days(await notices(pool))
    clock.at = datetime(2026, 6, 2, 4, tzinfo=UTC)  # two working days before Thursday 4 June
    await silences(harness).look()
    (*_, last) = await notices(pool)
    assert before == [("reminder", 14)]
    assert (last.notice, last.question_id) == ("last_notice", sent.question_id)


async def test_what_was_told_at_last_is_not_told_again_when_the_dates_move_later(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(harness)
    clock.at = LAST
    await silences(harness).look()
    await ask(harness, question(event, LAST + timedelta(hours=1), "clarification"))
    clock.at = LAST + timedelta(hours=2)
    await silences(harness).look()
    assert days(await notices(pool)) == [("last_notice", 26)]


async def test_several_instances_share_the_work_and_tell_each_notice_once(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(40)]
    await hear(harness, *events)
    await ask(harness, *(question(event) for event in events))
    clock.at = LAST
    await asyncio.gather(*(silences(harness, batch=7).look() for _ in range(3)))
    await silences(harness).look()  # what each left in the hands of the others
    found = await notices(pool)
    assert len(found) == len({event.request_id for event in found}) == 40


async def test_catching_up_beats_and_heeds_the_stop_signal(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [received() for _ in range(3)]
    await hear(harness, *events)
    await ask(harness, *(question(event) for event in events))
    clock.at = LAST
    stopping, heartbeats = asyncio.Event(), Heartbeats()
    beats = 0

    def beat(_loop: str) -> None:
        nonlocal beats
        beats += 1
        if beats == 2:
            stopping.set()

    monkeypatch.setattr(heartbeats, "beat", beat)
    await Silences(harness, POLICY, 1, stopping, heartbeats).look()
    assert (beats, len(await notices(pool))) == (2, 2)


async def test_a_look_reads_what_is_due_and_not_what_is_open(harness: UnitOfWorkFactory, pool: asyncpg.Pool) -> None:
    events = [received() for _ in range(300)]
    await hear(harness, *events)
    await ask(harness, *(question(event) for event in events))
    await pool.execute("VACUUM ANALYZE question")
    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {silence.COME}", ASKED, 1_000)
    assert "question_next_notice" in (plan if isinstance(plan, str) else json.dumps(plan))
