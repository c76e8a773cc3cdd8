"""What each source of the sweep promises: a thing is said once, in batches, shared by instances, at its cost alone."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import repository
from services.deadline.sweep import Source, Swept, deferrals, milestones, questions, targets
from shared.domain.events import QuestionSent, RequestReceived
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import AWAY
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.integration.deadline.conftest import ARRIVED, Harness
from tests.integration.deadline.test_deferrals import erasure, kept

# 300 rows like the one that is there, due sixty days later.
FILL = """
INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({key}, '{due}', t.{due} + interval '60 d'))).*
FROM {table} t, generate_series(1, 300) n
"""


async def asked(deadline: Harness, number: int) -> list[RequestReceived]:
    requests = await deadline.receives_many(number)
    at = ARRIVED + timedelta(days=1)
    await deadline.hears(*(a(QuestionSent, each, question_id=uuid7(), asked_at=at) for each in requests))
    return requests


async def deferred(deadline: Harness, number: int) -> list[RequestReceived]:
    return [await erasure(deadline, kept(until=date(2026, 4, 23))) for _ in range(number)]


@dataclass(frozen=True)
class Case:
    """A source; how rows of it come to be; when the first is due, when all; and what is said of each row then."""

    sweep: Source
    prepare: Callable[[Harness, int], Awaitable[list[RequestReceived]]]
    first_at: datetime
    said_first: list[str]
    said: list[str]
    query: str
    index: str
    table: str
    key: str
    due: str


FIVE = ["approaching 7", "approaching 3", "approaching 1", "overdue commitment", "overdue statutory"]
FOUR = ["triage", "question_sent", "collection", "review"]
LATE = ARRIVED + timedelta(days=50)
RELEASED = ["billing 2026-04-24"]
REQUEST, QUESTION = "'request_id', gen_random_uuid()", "'question_id', gen_random_uuid()"
CASES = [
    Case(
        *(milestones, Harness.receives_many, datetime(2026, 3, 27, 23, tzinfo=UTC), FIVE[:1], FIVE),
        *(repository.DUE_MILESTONES, "clock_next_milestone", "clock", REQUEST, "next_milestone_at"),
    ),
    Case(
        *(targets, Harness.receives_many, datetime(2026, 3, 9, 23, 5, tzinfo=UTC), FOUR[:1], FOUR),
        *(repository.DUE_TARGETS, "clock_next_target", "clock", REQUEST, "next_target_at"),
    ),
    Case(
        *(questions, asked, datetime(2026, 3, 13, 4, tzinfo=UTC), ["reminder 7"], ["last_notice 49"]),
        *(repository.DUE_QUESTIONS, "question_next_notice", "question", QUESTION, "next_notice_at"),
    ),
    Case(
        *(deferrals, deferred, datetime(2026, 4, 24, 4, tzinfo=UTC), RELEASED, RELEASED),
        *(repository.DUE_DEFERRALS, "deferral_due", "deferral", "'system', 'system ' || n", "due_at"),
    ),
]
every_source = pytest.mark.parametrize("case", CASES, ids=lambda case: case.sweep.__name__)


@every_source
async def test_after_weeks_of_downtime_everything_is_said_once_a_batch_at_a_time(deadline: Harness, case: Case) -> None:
    requests = await case.prepare(deadline, 5)
    deadline.at(LATE)
    sweep = deadline.sweep(batch=2)
    assert [await sweep.tick(case.sweep) for _ in range(4)] == [2, 2, 1, 0]
    assert await deadline.said() == {request.request_id: case.said for request in requests}


@every_source
async def test_a_clock_that_jumps_back_says_nothing_again(deadline: Harness, case: Case) -> None:
    (request,) = await case.prepare(deadline, 1)
    for now in (case.first_at, ARRIVED, case.first_at, case.first_at + timedelta(minutes=1)):
        await deadline.sweeps(case.sweep, at=now)
    assert await deadline.said() == {request.request_id: case.said_first}


@every_source
async def test_two_instances_at_once_share_the_rows(deadline: Harness, case: Case) -> None:
    requests = await case.prepare(deadline, 60)
    deadline.at(LATE)
    both = asyncio.Barrier(2)

    async def instance() -> int:
        first = True

        async def sweep(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
            nonlocal first
            swept = await case.sweep(tx, until, limit, policy)
            if first:  # each has rows in hand while the other takes its own
                first = False
                await both.wait()
            return swept

        return await deadline.sweeps(sweep, batch=5)

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
async def test_what_a_frozen_instance_has_in_hand_is_said_by_another_and_by_it_never(
    deadline: Harness, case: Case
) -> None:
    (request,) = await case.prepare(deadline, 1)
    deadline.at(LATE)
    frozen, wakes = asyncio.Event(), asyncio.Event()

    async def freeze(tx: UnitOfWork, until: datetime, limit: int, policy: TimeLimitPolicy) -> Swept:
        swept = await case.sweep(tx, until, limit, policy)
        frozen.set()
        await wakes.wait()
        return swept

    async def another() -> int:
        with suppress(*AWAY):  # on a busy machine it stands still as long itself, and looks again
            return await deadline.sweeps(case.sweep)
        return 0

    sleeper = asyncio.create_task(deadline.sweep().tick(freeze))
    await frozen.wait()
    await eventually(another)
    wakes.set()
    with pytest.raises(AWAY):
        await sleeper
    assert await deadline.said() == {request.request_id: case.said}


@every_source
async def test_a_sweep_that_breaks_off_has_said_nothing_and_the_next_says_all(deadline: Harness, case: Case) -> None:
    (request,) = await case.prepare(deadline, 1)
    deadline.at(LATE)
    await deadline.pool.execute("ALTER TABLE outbox RENAME TO outbox_away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await deadline.sweep().tick(case.sweep)
    await deadline.pool.execute("ALTER TABLE outbox_away RENAME TO outbox")
    await deadline.sweeps(case.sweep)
    assert await deadline.said() == {request.request_id: case.said}


@every_source
async def test_a_sweep_reads_what_is_due_and_not_what_is_open(deadline: Harness, case: Case) -> None:
    await case.prepare(deadline, 1)
    await deadline.pool.execute(FILL.format(table=case.table, key=case.key, due=case.due))
    await deadline.pool.execute(f"VACUUM ANALYZE {case.table}")
    plan = await deadline.plan(case.query, case.first_at, 1_000)
    assert case.index in plan
    assert "Seq Scan" not in plan
    assert "Rows Removed by Filter" not in plan
    assert await deadline.sweeps(case.sweep, at=case.first_at) == 1


async def test_catching_up_beats_and_heeds_the_stop_signal(deadline: Harness) -> None:
    await asked(deadline, 3)
    deadline.at(days=22)
    assert await deadline.runs(14, batch=1) == ["sweep"] * 14  # seven sources, twice
    assert len(await deadline.said()) == 2
