"""What an answer that comes after the closure does to a clock."""

from datetime import UTC, date, datetime, timedelta

import asyncpg

from shared.messaging.unit_of_work import UnitOfWorkFactory
from tests.fixtures.deadline_work import (
    ARRIVED,
    HandClock,
    clock,
    harness,
    hear,
    pool,
    received,
    stop,
    sweep_all,
    sweep_of,
    told,
)
from tests.fixtures.silent_questions import (
    LAST,
    answered,
    ask,
    given_up,
    notices,
    on_record,
    one_asked,
    question,
    reopen,
    reply,
    resumed,
    silences,
)

__all__ = ["clock", "harness", "pool"]


async def test_a_reopened_request_runs_until_its_new_day_and_what_its_dates_were_stays(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sent = await one_asked(harness)
    answered_at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    async with harness.begin() as tx:
        await stop([given_up(event, LAST)], tx)
    clock.at = answered_at
    async with harness.begin() as tx:
        await reopen([resumed(event, sent, answered_at, date(2026, 5, 19))], tx)

    row = await pool.fetchrow("SELECT * FROM clock")
    before = await pool.fetch("SELECT * FROM clock_before WHERE cause = 'reopened'")
    assert row is not None
    assert (row["responded_at"], row["outcome"], row["timeliness"]) == (None, None, None)
    assert (row["due_on"], row["work_by"]) == (date(2026, 5, 19), date(2026, 5, 19))
    assert row["statutory_due_on"] == date(2026, 5, 20)  # 45 days from 5 April
    assert [each["due_on"] for each in before] == [date(2026, 4, 4)]
    assert await pool.fetchval("SELECT answered_at FROM question") == answered_at
    assert await on_record(pool, "deadline.reopened") == [{"due_on": "2026-05-19"}]

    clock.at = datetime(2026, 6, 1, tzinfo=UTC)
    await sweep_all(sweep_of(harness))
    await silences(harness).look()
    assert (await told(pool))[event.request_id] == [
        "approaching 7",
        "approaching 3",
        "approaching 1",
        "overdue commitment",
        "overdue statutory",
    ]
    assert await notices(pool) == []
    async with harness.begin() as tx:
        await stop([given_up(event, datetime(2026, 5, 20, 4, tzinfo=UTC))], tx)
    assert await pool.fetchval("SELECT timeliness FROM clock") == "late_commitment"


async def test_the_law_is_never_said_to_end_before_the_commitment_of_a_reopened_request(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    sent = question(event, ARRIVED + timedelta(days=10))  # asked too late to stop the statutory clock
    await ask(harness, sent)
    clock.at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    async with harness.begin() as tx:
        await stop([given_up(event, LAST)], tx)
        await reopen([resumed(event, sent, clock.at, date(2026, 5, 10))], tx)
    assert await pool.fetchval("SELECT statutory_due_on FROM clock") == date(2026, 5, 10)
    again = question(event, clock.at, "clarification")
    await ask(harness, again)
    async with harness.begin() as tx:
        await answered([reply(again, clock.at + timedelta(days=1))], tx)
    assert await pool.fetchval("SELECT (due_on, statutory_due_on) FROM clock") == (
        date(2026, 5, 10),
        date(2026, 5, 10),
    )
