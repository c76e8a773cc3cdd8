"""Deferred erasures in the deadline service: released once when their day is over, after downtime too, never before."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import deferrals, statistics
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, RequestReceived, RetryDecided, TaskReport
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Outcome, Right
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import disclosure, metrics
from tests.fixtures.deadline_work import ARRIVED, POLICY, HandClock, clock, closed, harness, hear, pool, received, stop

__all__ = ["clock", "harness", "pool"]

ZONE = ZoneInfo(POLICY.commitment.controller_zone)
UNTIL = date(2026, 9, 30)
OVER = deferrals.over(UNTIL, ZONE)


def kept(system: str = "billing", until: date | None = UNTIL) -> TaskReport:
    return TaskReport(
        task_id=uuid7(),
        system=system,
        operation=Operation.ERASE,
        outcome=TaskOutcome.RETAINED,
        found=3,
        remaining=3,
        ground="tax_law",
        until=until,
    )


def erased(system: str = "billing") -> TaskReport:
    return TaskReport(
        task_id=uuid7(), system=system, operation=Operation.ERASE, outcome=TaskOutcome.ERASED, found=3, changed=3
    )


def completed(request_id: UUID, *tasks: TaskReport, deferred: bool = False) -> FulfilmentCompleted:
    return FulfilmentCompleted(
        request_id=request_id,
        occurred_at=ARRIVED,
        right=Right.ERASURE,
        operation=Operation.ERASE,
        outcome=Outcome.PARTIALLY_FULFILLED,
        tasks=tasks,
        deferred=deferred,
    )


async def tell(harness: UnitOfWorkFactory, *events: FulfilmentCompleted | FulfilmentBlocked) -> None:
    async with harness.begin() as tx:
        await deferrals.hear(events, tx, policy=POLICY)


async def answered(harness: UnitOfWorkFactory, event: RequestReceived) -> None:
    async with harness.begin() as tx:
        await stop([closed(event, ARRIVED + timedelta(days=1))], tx)


async def asked(harness: UnitOfWorkFactory, *tasks: TaskReport) -> RequestReceived:
    """An erasure that was answered although these tasks kept something."""
    event = received(right=Right.ERASURE)
    await hear(harness, event)
    await tell(harness, completed(event.request_id, *tasks))
    await answered(harness, event)
    return event


async def release(harness: UnitOfWorkFactory) -> int:
    async with harness.begin() as tx:
        return await deferrals.release(tx, ZONE, 100)


async def ended(pool: asyncpg.Pool) -> list[tuple[UUID, UUID, list[str], str]]:
    """Every retention that was said to have ended: request, subject, systems and the day on which it is due."""
    said = [json.loads(row["value"]) for row in await pool.fetch("SELECT value FROM outbox ORDER BY position")]
    return [
        (UUID(each["request_id"]), UUID(each["subject"]), each["systems"], each["due_on"])
        for each in said
        if each["type"] == "dsr.deadline.retention_ended.v1"
    ]


async def states(pool: asyncpg.Pool) -> dict[str, str]:
    return {row[0]: row[1] for row in await pool.fetch("SELECT system, state FROM deferral ORDER BY system")}


async def details(pool: asyncpg.Pool, action: str) -> Sequence[dict[str, object]]:
    rows = await pool.fetch("SELECT detail FROM evidence.entry WHERE action = $1 ORDER BY seq", action)
    return [json.loads(row["detail"]) for row in rows]


@pytest.mark.parametrize(
    ("until", "zone", "instant"),
    [
        (date(2026, 9, 30), "Europe/Berlin", datetime(2026, 9, 30, 22, tzinfo=UTC)),
        (date(2026, 12, 31), "America/New_York", datetime(2027, 1, 1, 5, tzinfo=UTC)),
        (date(2028, 2, 28), "UTC", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_day_is_kept_to_its_end_where_the_controller_is(until: date, zone: str, instant: datetime) -> None:
    assert deferrals.over(until, ZoneInfo(zone)) == instant


async def test_what_was_kept_is_released_once_when_its_day_is_over_and_not_a_moment_before(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = await asked(harness, kept("billing"), kept("archive"), erased("crm"))
    clock.at = OVER - timedelta(microseconds=1)
    assert await release(harness) == 0
    clock.at = OVER
    assert sum(await asyncio.gather(*(release(harness) for _ in range(3)))) == 2
    assert await release(harness) == 0
    told = await ended(pool)
    assert sorted(system for *_, systems, _ in told for system in systems) == ["archive", "billing"]
    assert {(request, subject, due) for request, subject, _, due in told} == {
        (event.request_id, event.subject, "2026-10-01")
    }
    assert await details(pool, "erasure.deferred") == [
        {"system": system, "ground": "tax_law", "until": "2026-09-30", "state": "scheduled"}
        for system in ("billing", "archive")
    ]


async def test_after_three_days_of_downtime_it_is_released_once_and_marked_late(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    await asked(harness, kept())
    clock.at = OVER + timedelta(days=3)
    assert [await release(harness), await release(harness)] == [1, 0]
    assert await details(pool, "erasure.due") == [{"systems": ["billing"], "due_on": "2026-10-01", "late": True}]


async def test_nothing_is_released_before_the_request_is_answered(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received(right=Right.ERASURE)
    await tell(harness, completed(event.request_id, kept(until=date(2026, 3, 1))))  # heard before the request itself
    await hear(harness, event)
    assert await release(harness) == 0
    await answered(harness, event)
    assert await release(harness) == 1
    assert len(await ended(pool)) == 1


async def test_what_was_kept_beside_a_failure_is_known_although_a_person_closes_the_request(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event, report = received(right=Right.ERASURE), kept()
    await hear(harness, event)
    failed = TaskReport(task_id=uuid7(), system="crm", operation=Operation.ERASE, outcome=None, failure="refused")
    blocked = FulfilmentBlocked(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=Right.ERASURE,
        operation=Operation.ERASE,
        tasks=(report, failed),
    )
    await tell(harness, blocked)
    await tell(harness, completed(event.request_id, report, erased("crm")))
    await answered(harness, event)
    assert await states(pool) == {"billing": "scheduled"}
    assert len(await details(pool, "erasure.deferred")) == 1


async def test_what_is_erased_later_is_done_and_what_is_kept_again_is_scheduled_anew(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = await asked(harness, first := kept("billing"), kept("archive"))
    clock.at = OVER
    await release(harness)
    later = kept("archive", UNTIL + timedelta(days=365))
    await tell(harness, completed(event.request_id, erased("billing"), later, deferred=True))
    assert await states(pool) == {"archive": "scheduled", "billing": "done"}
    await tell(harness, completed(event.request_id, first))  # an old report says nothing new
    assert await states(pool) == {"archive": "scheduled", "billing": "done"}
    assert await details(pool, "erasure.executed") == [{"system": "billing", "outcome": "erased"}]
    clock.at = OVER + timedelta(days=365)
    assert await release(harness) == 1


async def test_a_system_that_always_names_a_day_that_is_over_is_asked_once_and_then_held(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    clock.at = OVER
    event = await asked(harness, kept())
    assert await release(harness) == 1
    await tell(harness, completed(event.request_id, kept(), deferred=True))
    assert await release(harness) == 0
    assert await states(pool) == {"billing": "held"}


async def test_what_is_held_waits_for_a_person_and_for_the_answer(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received(right=Right.ERASURE)
    await hear(harness, event)
    await tell(harness, completed(event.request_id, kept(until=None)))
    decided = RetryDecided(request_id=event.request_id, occurred_at=ARRIVED, right=Right.ERASURE, subject=event.subject)
    async with harness.begin() as tx:
        await deferrals.let_go([decided], tx)
    await answered(harness, event)
    clock.at = ARRIVED + timedelta(days=9_000)
    assert await release(harness) == 0
    assert await states(pool) == {"billing": "held"}
    async with harness.begin() as tx:
        await deferrals.let_go([decided], tx)
    assert await release(harness) == 1


@pytest.mark.parametrize("heard_first", [True, False])
async def test_a_withdrawn_request_erases_nothing_later(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, *, heard_first: bool
) -> None:
    event = received(right=Right.ERASURE)
    await hear(harness, event)
    withdrawn = closed(event, ARRIVED).model_copy(update={"outcome": Outcome.WITHDRAWN})
    if heard_first:
        await tell(harness, completed(event.request_id, kept()))
    async with harness.begin() as tx:
        await stop([withdrawn], tx)
    if not heard_first:
        await tell(harness, completed(event.request_id, kept()))
    assert await states(pool) == {}


async def test_deferred_erasures_are_counted_by_system_and_state_and_hidden_where_they_are_few(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    now = clock.at
    today = now.astimezone(ZONE).date()
    for days, number in {31: 5, 29: 1, -1: 2, -2: 3}.items():
        for _ in range(number):
            await asked(harness, kept(until=today + timedelta(days=days)))
    await asked(harness, kept("archive", until=None))
    event = await asked(harness, kept("archive"))
    await tell(harness, completed(event.request_id, erased("archive")))
    async with pool.acquire() as connection:
        await statistics.count(connection, now, POLICY)
    exact = {
        (system, state): metrics.PEOPLE.get_sample_value("dsr_erasures_deferred", {"system": system, "state": state})
        for system in ("billing", "archive")
        for state in statistics.DEFERRED_STATES
    }
    assert {place: number for place, number in exact.items() if number} == {
        ("billing", "scheduled"): 5,
        ("billing", "due_in_30_days"): 1,
        ("billing", "due"): 2,
        ("billing", "late"): 3,
        ("archive", "held"): 1,
    }
    public = disclosure.everybody()
    assert public.get_sample_value("dsr_erasures_deferred", {"system": "billing", "state": "scheduled"}) == 5
    assert public.get_sample_value("dsr_erasures_deferred", {"system": "billing", "state": "late"}) is None
