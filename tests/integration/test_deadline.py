"""The deadline service on a real database: a milestone is told once, to the bus and to a person, until the answer."""

import asyncio
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import clocks, company
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWorkFactory
from tests.fixtures.deadline_work import (
    ARRIVED,
    FIVE,
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
    told,
)

__all__ = ["clock", "harness", "pool"]


async def test_a_received_request_has_its_dates_computed_and_put_on_record(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    row = await pool.fetchrow("SELECT * FROM clock WHERE request_id = $1", event.request_id)
    assert row is not None
    assert (row["due_on"], row["statutory_due_on"]) == (date(2026, 4, 4), date(2026, 4, 7))
    assert row["next_milestone_at"] == datetime(2026, 3, 27, 23, tzinfo=UTC)
    assert row["calc_version"].startswith("rules-1/policy-")
    detail = await pool.fetchval("SELECT detail FROM evidence.entry WHERE request_id = $1", event.request_id)
    assert json.loads(detail) == {
        "due_on": "2026-04-04",
        "work_by": "2026-04-02",
        "statutory_due_on": "2026-04-07",
        "calc_version": row["calc_version"],
    }


async def test_each_milestone_is_told_when_it_comes(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sweep, heard = received(), sweep_of(harness), []
    await hear(harness, event)
    for day in range(36):
        clock.at = ARRIVED + timedelta(days=day)
        await sweep_all(sweep)
        heard.append(len((await told(pool)).get(event.request_id, [])))
    assert (await told(pool))[event.request_id] == FIVE
    assert [heard.index(number) for number in range(1, 6)] == [23, 27, 29, 31, 34]
    warnings = ["extend_or_answer", "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]
    assert await tickets(pool) == warnings


async def test_after_weeks_of_downtime_all_that_was_missed_is_told_once_and_one_ticket_is_opened(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(5)]
    await hear(harness, *events)
    clock.at = ARRIVED + timedelta(days=50)
    assert await sweep_all(sweep_of(harness)) == 5
    assert await sweep_all(sweep_of(harness)) == 0
    assert await told(pool) == {event.request_id: FIVE for event in events}
    assert await tickets(pool) == ["overdue_statutory"] * 5


async def test_a_clock_that_jumps_back_tells_nothing_again(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    for days in (28, 10, 28, 29):
        clock.at = ARRIVED + timedelta(days=days)
        await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == FIVE[:3]


async def test_two_instances_at_once_tell_each_milestone_once(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(1_500)]
    await hear(harness, *events)
    clock.at = ARRIVED + timedelta(days=50)
    looked_at = await asyncio.gather(*(sweep_all(sweep_of(harness, batch=100)) for _ in range(2)))
    assert min(looked_at) > 0
    assert sum(looked_at) == 1_500
    assert await told(pool) == {event.request_id: FIVE for event in events}
    assert Counter(await tickets(pool)) == {"overdue_statutory": 1_500}


async def test_a_sweep_that_breaks_off_has_told_nothing_and_the_next_tells_all(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=50)
    await pool.execute("ALTER TABLE outbox RENAME TO outbox_away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await sweep_of(harness).tick()
    await pool.execute("ALTER TABLE outbox_away RENAME TO outbox")
    await sweep_all(sweep_of(harness))
    assert await told(pool) == {event.request_id: FIVE}


async def test_a_batch_is_never_larger_than_the_settings_say(harness: UnitOfWorkFactory, clock: HandClock) -> None:
    await hear(harness, *(received() for _ in range(25)))
    clock.at = ARRIVED + timedelta(days=50)
    sweep = sweep_of(harness, batch=10)
    assert [await sweep.tick() for _ in range(4)] == [10, 10, 5, 0]


async def test_an_answer_stops_the_clock_and_cancels_a_warning_that_nobody_has_seen_yet(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=28)
    await sweep_all(sweep_of(harness))
    assert await tickets(pool) == ["approaching_3d"]
    async with harness.begin() as tx:
        await stop([closed(event, clock.at)], tx)
    clock.at = ARRIVED + timedelta(days=50)
    assert await sweep_all(sweep_of(harness)) == 0
    assert await tickets(pool) == []
    assert await pool.fetchval("SELECT timeliness FROM clock") == "on_time"


@pytest.mark.parametrize(("days", "timeliness"), [(30, "on_time"), (31, "late_commitment"), (34, "breach")])
async def test_an_answer_is_judged_by_the_dates_that_were_stored(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, days: int, timeliness: str
) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await stop([closed(event, ARRIVED + timedelta(days=days))], tx)
    async with harness.begin() as tx:  # closed again later: the first answer counts
        await stop([closed(event, ARRIVED + timedelta(days=90))], tx)
    assert await pool.fetchval("SELECT timeliness FROM clock") == timeliness
    stopped = await pool.fetch("SELECT detail FROM evidence.entry WHERE action = 'deadline.stopped'")
    assert [json.loads(row["detail"]) for row in stopped] == [{"timeliness": timeliness, "due_on": "2026-04-04"}]
    missed = await pool.fetch("SELECT detail FROM evidence.entry WHERE action = 'deadline.missed'")
    assert [json.loads(row["detail"]) for row in missed] == [{"timeliness": timeliness}] * (timeliness != "on_time")


async def test_an_objection_to_direct_marketing_is_due_after_48_hours(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received(right=Right.OBJECTION, scope="direct_marketing")
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(hours=48)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == ["approaching 1", "overdue commitment"]


async def test_a_request_found_after_weeks_in_a_mailbox_is_warned_of_at_once(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    clock.at = ARRIVED + timedelta(days=31)
    event = received(occurred_at=clock.at)
    await hear(harness, event)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == FIVE[:4]


async def test_without_a_system_for_tickets_the_bus_is_told_all_the_same(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    alone = UnitOfWorkFactory(
        pool, ServiceName.DEADLINE, clock, harness.vault, {Operation.ESCALATE: (), Operation.FLAG: ()}
    )
    event = received()
    await hear(alone, event)
    clock.at = ARRIVED + timedelta(days=50)
    await sweep_all(sweep_of(alone))
    assert await told(pool) == {event.request_id: FIVE}


async def test_a_warning_that_reached_the_privacy_team_is_put_on_record(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    done = Completed(
        uuid7(), uuid7(), uuid7(), Right.ACCESS, Operation.ESCALATE, {"level": "overdue_commitment"}, reports=()
    )
    async with harness.begin() as tx:
        await company.escalated([done], tx)
    detail = await pool.fetchval("SELECT detail FROM evidence.entry WHERE request_id = $1", done.request_id)
    assert json.loads(detail) == {"level": "overdue_commitment", "systems": []}


async def test_a_sweep_over_many_open_requests_reads_only_those_that_are_due(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await hear(harness, *(received() for _ in range(3_000)))
    await hear(harness, received(received_at=ARRIVED - timedelta(days=24)))
    await pool.execute("VACUUM ANALYZE clock")
    clock.at = ARRIVED + timedelta(hours=1)
    plan = await pool.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {clocks.COME}", clock.at, 1_000)
    text = plan if isinstance(plan, str) else json.dumps(plan)
    assert "clock_next_milestone" in text
    assert "Seq Scan" not in text
    assert "Rows Removed by Filter" not in text
    assert await sweep_all(sweep_of(harness)) == 1
