"""The sweep over 200,000 open requests, next to the same sweep where only those that are due are open."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial

from uuid_utils.compat import uuid7

from services.deadline.handlers import Deadlines
from services.deadline.settings import DeadlineSettings
from services.deadline.timers import Poll
from shared.domain.events import RequestReceived
from shared.domain.operations import Operation, Stages, Step
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.storage import keyring
from shared.storage.migrate import migrate
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.bench.figures import Row, resident_mib, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a

OPEN, DUE, BATCH = 200_000, 5_000, 1_000
ARRIVED, DUE_ON = datetime(2026, 3, 5, 9, tzinfo=UTC), date(2026, 4, 4)
_TICKETING: Stages = ((Step("ticketing", Operation.ESCALATE),),)
FULFILMENTS = Fulfilments({Operation.ESCALATE: _TICKETING, Operation.FLAG: ()})
_MILESTONES = 5

# Everybody else arrived ten days later: open, and nothing of theirs has come.
_FILL = """
WITH others AS (
    INSERT INTO clock (request_id, subject_ref, "right", role, received_at, zones, calendar, due_on, due_at, work_by,
                       statutory_due_on, statutory_due_at, calc_version)
    SELECT gen_random_uuid(), subject_ref, "right", role, received_at, zones, calendar, due_on + 60,
           due_at + interval '60 days', work_by, statutory_due_on + 60, statutory_due_at + interval '60 days',
           calc_version
    FROM (SELECT * FROM clock LIMIT 1) one, generate_series(1, $1)
    RETURNING request_id, due_at
)
INSERT INTO timer (request_id, kind, due_at) SELECT request_id, 'milestone', due_at - interval '8 days' FROM others
"""


async def measure(ground: Ground) -> list[Row]:
    """A sweep costs what is due, in time and in memory, whatever is open."""
    arms = {"all open": partial(_swept, ground, OPEN), "what is due alone": partial(_swept, ground, DUE)}
    memory: dict[str, list[float]] = {arm: [] for arm in arms}

    async def timed(arm: str) -> float:
        seconds, grown = await arms[arm]()
        memory[arm].append(grown)
        return seconds

    seconds = await ground.interleaved({arm: partial(timed, arm) for arm in arms}, "s")
    ours, limit = (seconds[arm] for arm in arms)
    what = f"the same sweep where the {DUE:,} that are due are all there is"
    more = {
        "due": DUE,
        "milestones_per_s": rounded(DUE * _MILESTONES / min(ours)),
        "memory_grown_mib": [rounded(each) for each in memory["all open"]],
        "memory_grown_mib_of_limit": [rounded(each) for each in memory["what is due alone"]],
    }
    return [row("deadline_sweep_200k_open", ours, limit, "s", what, **more)]


async def _swept(ground: Ground, count: int) -> tuple[float, float]:
    """Seconds to tell of everything that has come, of so many open requests; and mebibytes that the process grew."""
    async with _office(ground) as harness:
        await _hear(harness, _arrivals(DUE))
        if count > DUE:
            await harness.pool.execute(_FILL, count - DUE, timeout=600)
        await harness.pool.execute("VACUUM ANALYZE clock, timer", timeout=600)
        await harness.pool.execute("DELETE FROM timer WHERE kind = 'target'", timeout=600)
        await ground.checkpoint()
        harness.clock = SetClock(ARRIVED + timedelta(days=50))
        sweep = Poll(harness, read_policy(), DeadlineSettings(batch=BATCH), FULFILMENTS, Heartbeats())
        before, started, reported = resident_mib(), time.perf_counter(), 0
        while found := await sweep.look():
            reported += found
        seconds, grown = time.perf_counter() - started, resident_mib() - before
        must("requests reported", reported, DUE)
        must("clocks open", await harness.pool.fetchval("SELECT count(*) FROM clock", timeout=600), count)
    return seconds, grown


async def _hear(harness: UnitOfWorkFactory, events: Sequence[RequestReceived]) -> None:
    deadlines = Deadlines(read_policy(), FULFILMENTS)
    for first in range(0, len(events), BATCH):
        async with harness.begin() as tx:
            await deadlines.received(events[first : first + BATCH], tx)


def _arrivals(count: int) -> list[RequestReceived]:
    zones = ("America/New_York", "Europe/Berlin")
    return [
        a(RequestReceived, occurred_at=ARRIVED, received_at=ARRIVED, zones=zones, due_on=DUE_ON) for _ in range(count)
    ]


@asynccontextmanager
async def _office(ground: Ground) -> AsyncIterator[UnitOfWorkFactory]:
    """The deadline service's part of the engine over a database of its own."""
    ring = ground.directory / f"{uuid7().hex}.json"
    keyring.create(ring)
    async with ground.database() as dsn:
        await migrate(dsn)
        async with await connect_pool(PostgresSettings(dsn=dsn, pool_size=2), ServiceName.DEADLINE) as pool:
            yield UnitOfWorkFactory(pool, ServiceName.DEADLINE, SetClock(ARRIVED), Vault(keyring.load(ring)))
