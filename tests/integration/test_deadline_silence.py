"""Who does not answer a question is reminded twice and told at last."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from services.deadline import silence
from shared.events import RequestExtended
from shared.transaction import Transactions
from tests.fixtures.deadline_work import HandClock, clock, hear, office, pool, received, stop
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

__all__ = ["clock", "office", "pool"]


async def test_two_reminders_and_the_last_notice_come_each_once_at_the_start_of_their_day(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(office)
    look = silences(office).look
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
    office: Transactions, pool: asyncpg.Pool, clock: HandClock, back_at: datetime, expected: list[tuple[str, int]]
) -> None:
    await one_asked(office)
    clock.at = back_at
    await silences(office).look()
    await silences(office).look()
    assert days(await notices(pool)) == expected


async def test_who_answers_in_time_hears_nothing_more(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(office)
    clock.at = datetime(2026, 3, 14, tzinfo=UTC)
    await silences(office).look()
    async with office.begin() as tx:
        await answered([reply(sent, clock.at)], tx)
    clock.at = LAST + timedelta(days=10)
    await silences(office).look()
    assert days(await notices(pool)) == [("reminder", 7)]


async def test_a_request_that_was_closed_or_withdrawn_is_not_asked_again(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(office)
    late, _ = await one_asked(office)
    async with office.begin() as tx:
        await stop([given_up(event, ASKED + timedelta(days=1)), given_up(late, ASKED + timedelta(days=1))], tx)
    await ask(office, question(late, ASKED + timedelta(days=2)))  # heard after the closure
    clock.at = LAST + timedelta(days=10)
    await silences(office).look()
    assert await notices(pool) == []


async def test_dates_that_move_move_the_last_notice_and_repeat_no_reminder(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sent = await one_asked(office)
    clock.at = datetime(2026, 3, 21, tzinfo=UTC)
    await silences(office).look()
    extension = RequestExtended(
        request_id=event.request_id,
        occurred_at=clock.at,
        right=event.right,
        reason="VOLUME",
        due_on=date(2026, 6, 4),
        told_at=clock.at,
    )
    async with office.begin() as tx:
        await extend([extension], tx)
    clock.at = LAST + timedelta(days=1)
    await silences(office).look()
    before = days(await notices(pool))
    clock.at = datetime(2026, 6, 2, 4, tzinfo=UTC)  # two working days before Thursday 4 June
    await silences(office).look()
    (*_, last) = await notices(pool)
    assert before == [("reminder", 14)]
    assert (last.notice, last.question_id) == ("last_notice", sent.question_id)


async def test_what_was_told_at_last_is_not_told_again_when_the_dates_move_later(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(office)
    clock.at = LAST
    await silences(office).look()
    await ask(office, question(event, LAST + timedelta(hours=1), "clarification"))
    clock.at = LAST + timedelta(hours=2)
    await silences(office).look()
    assert days(await notices(pool)) == [("last_notice", 26)]


async def test_several_instances_share_the_work_and_tell_each_notice_once(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(40)]
    await hear(office, *events)
    await ask(office, *(question(event) for event in events))
    clock.at = LAST
    await asyncio.gather(*(silences(office, batch=7).look() for _ in range(3)))
    await silences(office).look()  # what each left in the hands of the others
    found = await notices(pool)
    assert len(found) == len({event.request_id for event in found}) == 40


async def test_a_look_reads_what_is_due_and_not_what_is_open(office: Transactions, pool: asyncpg.Pool) -> None:
    events = [received() for _ in range(300)]
    await hear(office, *events)
    await ask(office, *(question(event) for event in events))
    await pool.execute("VACUUM ANALYZE question")
    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {silence.COME}", ASKED, 1_000)
    assert "question_next_notice" in (plan if isinstance(plan, str) else json.dumps(plan))
