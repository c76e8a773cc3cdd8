"""The daily page on a real database: once a day, while a request is nearly due or overdue, and by reference alone."""

import asyncio
import json
from datetime import datetime, timedelta

import asyncpg

from services.deadline import daily_page
from shared.messaging.unit_of_work import UnitOfWorkFactory
from tests.fixtures.deadline_work import (
    ARRIVED,
    HandClock,
    clock,
    closed,
    harness,
    hear,
    pool,
    received,
    stop,
    sweep_of,
)

__all__ = ["clock", "harness", "pool"]


async def pages(pool: asyncpg.Pool) -> list[list[str]]:
    rows = await pool.fetch("SELECT details FROM fulfilment WHERE due_on = opened_at::date ORDER BY opened_at")
    assert all(row[0]["escalate_to"] == ["dpo", "executive"] for row in rows)
    return [row[0]["lines"] for row in rows]


def morning(days: int) -> datetime:
    """Eight in the morning in New York, so many days after the receipt."""
    return ARRIVED.replace(hour=13) + timedelta(days=days)


async def test_the_daily_page_is_sent_once_a_day_while_a_request_is_nearly_due_or_overdue(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, later = received(), received(received_at=ARRIVED + timedelta(days=9))
    await hear(harness, event, later)
    sent: list[list[bool]] = []
    for day in (26, 27, 28, 33):
        clock.at = morning(day)
        sent.append([await sweep_of(harness).page() for _ in range(2)])
    assert sent == [[False, False], [True, False], [True, False], [True, False]]
    assert await pages(pool) == [
        *[[f"{event.request_id}: due on 2026-04-04"]] * 2,
        [f"{event.request_id}: was due on 2026-04-04"],
    ]
    async with harness.begin() as tx:
        await stop([closed(event, clock.at)], tx)
    clock.at = morning(34)
    assert not await sweep_of(harness).page()


async def test_the_daily_page_waits_for_its_hour_and_two_instances_send_one(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await hear(harness, received())
    clock.at = morning(28).replace(hour=10)
    assert not await sweep_of(harness).page()
    clock.at = morning(28)
    sent = await asyncio.gather(*(sweep_of(harness).page() for _ in range(4)))
    assert sorted(sent) == [False, False, False, True]
    assert len(await pages(pool)) == 1


async def test_the_daily_page_lists_the_longest_due_and_counts_the_others(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    longest = received(received_at=ARRIVED - timedelta(days=3))
    await hear(harness, *(received() for _ in range(daily_page.LISTED + 6)), longest)
    clock.at = morning(28)
    assert await sweep_of(harness).page()
    (lines,) = await pages(pool)
    assert len(lines) == daily_page.LISTED + 1
    assert lines[0] == f"{longest.request_id}: was due on 2026-04-01"
    assert lines[-1] == "and 7 more"


async def test_the_daily_page_reads_what_is_nearly_due_and_not_what_is_open(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    await hear(harness, *(received() for _ in range(3_000)))
    await pool.execute("VACUUM ANALYZE clock")
    given = (["access"], ARRIVED, ARRIVED.date())
    for query, values in ((daily_page.NEAREST, (*given, ARRIVED, 100)), (daily_page.NUMBER, given)):
        plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *values)
        assert "Seq Scan" not in (plan if isinstance(plan, str) else json.dumps(plan))
