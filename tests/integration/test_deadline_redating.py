"""A corrected receipt or a changed policy moves every date of a running clock, and what it was stays."""

import json
from datetime import UTC, date, datetime, timedelta
from functools import partial

import asyncpg
import pytest

from services.deadline import company, handlers
from shared.domain.events import RequestExtended, RequestReceived, RequestRedated, RequestVerified
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import calc_version
from shared.messaging.unit_of_work import UnitOfWorkFactory
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
    told,
)

__all__ = ["clock", "harness", "pool"]
redate, extend = (partial(handler, policy=POLICY) for handler in (handlers.redate, handlers.extend))
FOUND = ARRIVED - timedelta(days=20)  # 13 February: one month is the shorter of the two


def redated(event: RequestReceived, due_on: date, **changes: object) -> RequestRedated:
    given: dict[str, object] = {
        "request_id": event.request_id,
        "occurred_at": ARRIVED,
        "right": event.right,
        "cause": "receipt_corrected",
        "received_at": FOUND,
        "zones": event.zones,
        "calendar": event.calendar,
        "due_on": due_on,
    }
    return RequestRedated.model_validate(given | changes)


async def move(harness: UnitOfWorkFactory, *events: RequestRedated) -> None:
    async with harness.begin() as tx:
        await redate(events, tx)


async def row(pool: asyncpg.Pool, query: str) -> dict[str, object]:
    [found] = await pool.fetch(query)
    return dict(found)


async def test_a_corrected_receipt_moves_every_date_and_what_they_were_stays(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    await move(harness, redated(event, date(2026, 3, 13), zones=("Europe/Paris", "America/New_York"), calendar="FR"))
    now = await row(pool, "SELECT * FROM clock")
    assert (now["due_on"], now["statutory_due_on"], now["work_by"]) == (
        date(2026, 3, 13),
        date(2026, 3, 13),
        date(2026, 3, 13),
    )
    assert (now["received_at"], now["zones"], now["calendar"]) == (FOUND, ["Europe/Paris", "America/New_York"], "FR")
    assert now["due_at"] == now["statutory_due_at"] == datetime(2026, 3, 13, 23, tzinfo=UTC)
    before = await row(pool, "SELECT * FROM clock_before")
    assert (before["cause"], before["due_on"], before["statutory_due_on"], before["work_by"]) == (
        "receipt_corrected",
        date(2026, 4, 4),
        date(2026, 4, 7),
        date(2026, 4, 2),
    )
    assert (before["received_at"], before["zones"], before["calendar"]) == (ARRIVED, [*event.zones], "DE-BE")
    entry = json.loads(await pool.fetchval("SELECT detail FROM evidence.entry WHERE action = 'deadline.recomputed'"))
    assert (entry["cause"], entry["before"]["due_on"], entry["after"]["due_on"]) == (
        "receipt_corrected",
        "2026-04-04",
        "2026-03-13",
    )


async def test_milestones_that_were_never_told_come_although_later_ones_of_the_old_dates_were(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=28)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == ["approaching 7", "approaching 3"]
    await move(harness, redated(event, date(2026, 3, 13)))
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == [
        *("approaching 7", "approaching 3", "approaching 1"),
        *("overdue commitment", "overdue statutory"),
    ]


async def test_a_receipt_that_is_corrected_to_a_later_day_is_warned_of_anew(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=25)
    await sweep_all(sweep_of(harness))
    await move(harness, redated(event, date(2026, 4, 20), received_at=datetime(2026, 3, 21, 9, tzinfo=UTC)))
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == ["approaching 7"]
    clock.at = datetime(2026, 4, 14, 9, tzinfo=UTC)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id] == ["approaching 7", "approaching 7"]


async def test_a_changed_policy_moves_the_law_s_limit_and_keeps_the_day_that_was_promised(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    await pool.execute(
        "UPDATE clock SET statutory_due_on = '2026-04-09', calc_version = 'rules-0', due_on = '2026-04-02'"
    )
    await move(harness, redated(event, date(2026, 4, 2), cause="policy_changed", received_at=ARRIVED))
    now = await row(pool, "SELECT * FROM clock")
    assert (now["due_on"], now["statutory_due_on"], now["calc_version"]) == (
        date(2026, 4, 2),
        date(2026, 4, 7),
        calc_version(POLICY),
    )
    assert (now["work_by"], now["due_at"]) == (date(2026, 4, 2), datetime(2026, 4, 2, 22, tzinfo=UTC))
    before = await row(pool, "SELECT * FROM clock_before")
    assert (before["cause"], before["calc_version"]) == ("policy_changed", "rules-0")
    await move(harness, redated(event, date(2026, 4, 2), cause="policy_changed", received_at=ARRIVED))
    assert await pool.fetchval("SELECT count(*) FROM clock_before") == 1


async def test_an_extended_clock_stays_extended_when_its_receipt_is_corrected(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    extension = {"reason": "VOLUME", "due_on": date(2026, 6, 4), "told_at": ARRIVED}
    about = {"request_id": event.request_id, "occurred_at": ARRIVED, "right": event.right}
    async with harness.begin() as tx:
        await extend([RequestExtended.model_validate(about | extension)], tx)
    await move(harness, redated(event, date(2026, 5, 13)))
    now = await row(pool, "SELECT * FROM clock")
    assert (now["extended"], now["due_on"], now["statutory_due_on"]) == (True, date(2026, 5, 13), date(2026, 5, 13))


async def test_a_clock_that_has_stopped_is_not_set_again(harness: UnitOfWorkFactory, pool: asyncpg.Pool) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await stop([closed(event, ARRIVED)], tx)
    await move(harness, redated(event, date(2026, 3, 13)))
    assert (await row(pool, "SELECT due_on FROM clock"))["due_on"] == date(2026, 4, 4)
    assert await pool.fetchval("SELECT count(*) FROM clock_before") == 0


async def test_the_tasks_of_the_clock_itself_move_with_it(harness: UnitOfWorkFactory, pool: asyncpg.Pool) -> None:
    event = received()
    await hear(harness, event)
    verified = RequestVerified(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=event.right,
        subject=event.subject,
        due_on=event.due_on,
    )
    async with harness.begin() as tx:
        await company.flag([verified], tx)
    await move(harness, redated(event, date(2026, 3, 13)))
    due_on = await pool.fetchval("SELECT due_on FROM task WHERE operation = $1", Operation.FLAG)
    assert due_on == date(2026, 3, 13)


@pytest.mark.parametrize(
    ("changes", "due_at"),
    [
        ({"role": "processor"}, datetime(2026, 2, 17, 23, tzinfo=UTC)),  # Friday 13, two working days: Tuesday 17
        (
            {"right": Right.OBJECTION, "scope": "direct_marketing"},
            FOUND + timedelta(hours=48),
        ),
    ],
)
async def test_a_shorter_limit_of_our_own_counts_from_the_corrected_receipt(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, changes: dict[str, object], due_at: datetime
) -> None:
    event = received(**changes)
    await hear(harness, event)
    first = await row(pool, "SELECT role, scope, due_on FROM clock")
    assert first["due_on"] in {date(2026, 3, 9), date(2026, 3, 7)}
    assert (first["role"], first["scope"]) == (event.role, event.scope)
    day = (due_at - timedelta(hours=1)).date()
    await move(harness, redated(event, day))
    assert (await row(pool, "SELECT due_at FROM clock"))["due_at"] == due_at


async def test_what_was_forwarded_counts_as_the_processor_s(harness: UnitOfWorkFactory, pool: asyncpg.Pool) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await stop([closed(event, ARRIVED).model_copy(update={"outcome": Outcome.FORWARDED})], tx)
    assert (await row(pool, "SELECT role FROM clock"))["role"] == "processor"


@pytest.mark.parametrize(
    ("days", "how", "due"),
    [(3, "on_time", "2026-03-09"), (5, "late_commitment", "2026-03-09")],  # Thursday 5, two working days: Monday 9
)
@pytest.mark.parametrize("role", ["controller", "processor"])
async def test_what_was_forwarded_is_judged_by_the_limit_for_that_whatever_it_was_taken_for(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, role: str, days: int, how: str, due: str
) -> None:
    event = received(role=role)
    await hear(harness, event)
    passed_on = closed(event, event.received_at + timedelta(days=days))
    async with harness.begin() as tx:
        await stop([passed_on.model_copy(update={"outcome": Outcome.FORWARDED})], tx)
    assert (await row(pool, "SELECT timeliness FROM clock"))["timeliness"] == how
    (told,) = await pool.fetch("SELECT detail FROM evidence.entry WHERE action = 'deadline.stopped'")
    assert json.loads(told["detail"])["due_on"] == due
