"""The sweep over 1,000,000 open requests beside the same sweep over what is due alone; and events into the service."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial

from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from deploy.local.services import Servers, Services
from services.deadline import repository, transitions
from services.deadline.handlers import Deadlines
from services.deadline.settings import DeadlineSettings
from services.deadline.sweep import Sweep, milestones
from shared.domain.events import RequestReceived
from shared.domain.operations import Operation
from shared.domain.stages import Stages, Step
from shared.domain.time_limit_policy import read_policy
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging import outbox
from shared.messaging.producer import KafkaProducer
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from shared.storage import keyring
from shared.storage.migrate import migrate
from shared.storage.postgres import Connection, PostgresSettings, connect_pool, connected
from shared.storage.vault import Vault
from tests.bench.figures import Row, resident_mib, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.live import eventually

OPEN, DUE, EVENTS, BATCH = 1_000_000, 10_000, 20_000, 1_000
ARRIVED, DUE_ON = datetime(2026, 3, 5, 9, tzinfo=UTC), date(2026, 4, 4)
_TICKETING: Stages = ((Step("ticketing", Operation.ESCALATE),),)
FULFILMENTS = Fulfilments({Operation.ESCALATE: _TICKETING, Operation.FLAG: ()})
_MILESTONES = 5
_GRAIN_SECONDS = 0.02

# Everybody else arrived ten days later: open, and nothing of theirs has come.
_FILL = """
INSERT INTO clock (request_id, subject_ref, "right", role, received_at, zones, calendar, due_on, due_at, work_by,
                   statutory_due_on, statutory_due_at, calc_version, next_milestone_at)
SELECT gen_random_uuid(), subject_ref, "right", role, received_at, zones, calendar, due_on + 60,
       due_at + interval '60 days', work_by, statutory_due_on + 60, statutory_due_at + interval '60 days', calc_version,
       next_milestone_at + interval '60 days'
FROM (SELECT * FROM clock LIMIT 1) one, generate_series(1, $1)
"""


async def measure(ground: Ground) -> list[Row]:
    """A sweep costs what is due, in time and in memory, whatever is open."""
    arms = {"a million open": partial(_swept, ground, OPEN), "what is due alone": partial(_swept, ground, DUE)}
    memory: dict[str, list[float]] = {arm: [] for arm in arms}

    async def timed(arm: str) -> float:
        seconds, grown = await arms[arm]()
        memory[arm].append(grown)
        return seconds

    seconds = await ground.interleaved({arm: partial(timed, arm) for arm in arms}, "s")
    events = await ground.interleaved(
        {"the running service": partial(_heard, ground), "bare COPY": partial(_copied, ground)}, "events/s"
    )
    ours, limit = (seconds[arm] for arm in arms)
    what = f"the same sweep where the {DUE:,} that are due are all there is"
    more = {
        "due": DUE,
        "milestones_per_s": rounded(DUE * _MILESTONES / min(ours)),
        "memory_grown_mib": [rounded(each) for each in memory["a million open"]],
        "memory_grown_mib_of_limit": [rounded(each) for each in memory["what is due alone"]],
    }
    service = {"events": EVENTS, "measured": "broker, inbox and clocks of the running service; the other four are not"}
    copy = "COPY of the same rows without computing a date or putting anything on record"
    return [
        row("deadline_sweep_1m_open", ours, limit, "s", what, **more),
        row("deadline_events_per_s", events["the running service"], events["bare COPY"], "events/s", copy, **service),
    ]


async def _swept(ground: Ground, count: int) -> tuple[float, float]:
    """Seconds to tell of everything that has come, of so many open requests; and mebibytes that the process grew."""
    async with _office(ground) as harness:
        await _hear(harness, _arrivals(DUE))
        if count > DUE:
            await harness.pool.execute(_FILL, count - DUE, timeout=600)
        await harness.pool.execute("VACUUM ANALYZE clock", timeout=600)
        await ground.checkpoint()
        harness.clock = SetClock(ARRIVED + timedelta(days=50))
        sweep = Sweep(harness, read_policy(), DeadlineSettings(batch=BATCH), FULFILMENTS, Heartbeats())
        before, started, told = resident_mib(), time.perf_counter(), 0
        while found := await sweep.tick(milestones):
            told += found
        seconds, grown = time.perf_counter() - started, resident_mib() - before
        must("requests told of", told, DUE)
        must("clocks open", await harness.pool.fetchval("SELECT count(*) FROM clock", timeout=600), count)
    return seconds, grown


async def _heard(ground: Ground) -> float:
    """Events per second of the running service, stopped while they are put on the bus for it."""
    kafka = Kafka(ground.directory / f"kafka_{uuid7().hex}")
    async with ground.seeded(1) as seeded, ground.database() as dsn:
        await asyncio.to_thread(kafka.start)
        try:
            folder = ground.directory / f"deadline_{uuid7().hex}"
            services = Services(folder, Servers(dsn, kafka.bootstrap), seeded.downstreams, seeded.env)
            await asyncio.to_thread(services.prepare)
            child = services.children[ServiceName.DEADLINE]
            async with connected(dsn) as watching:
                await asyncio.to_thread(child.start)
                await _produce(kafka.bootstrap, _arrivals(1))
                await _clocks(watching, 1)
                child.signal(signal.SIGSTOP)
                await _produce(kafka.bootstrap, _arrivals(EVENTS))
                child.signal(signal.SIGCONT)
                started = time.perf_counter()
                await _clocks(watching, 1 + EVENTS)
                seconds = time.perf_counter() - started
            await asyncio.to_thread(child.stop)
        finally:
            await asyncio.to_thread(kafka.stop)
    return EVENTS / seconds


async def _clocks(connection: Connection, count: int) -> None:
    async def started() -> bool:
        return bool(await connection.fetchval("SELECT count(*) FROM deadline.clock") == count)

    await eventually(started, within=120, every=_GRAIN_SECONDS)


async def _produce(bootstrap: str, events: Sequence[RequestReceived]) -> None:
    producer = KafkaProducer(KafkaSettings(bootstrap=bootstrap))
    try:
        for first in range(0, len(events), BATCH):
            messages = [outbox.message(event, ServiceName.INTAKE, None) for event in events[first : first + BATCH]]
            await producer.send(messages)
    finally:
        await producer.stop()


async def _copied(ground: Ground) -> float:
    """Rows per second of the same table by COPY alone."""
    async with _office(ground) as harness:
        policy = read_policy()
        started = [transitions.start(event, policy, None) for event in _arrivals(EVENTS)]
        begun = time.perf_counter()
        for first in range(0, EVENTS, BATCH):
            async with harness.pool.acquire() as connection, connection.transaction():
                await repository.insert(connection, started[first : first + BATCH])
        seconds = time.perf_counter() - begun
    return EVENTS / seconds


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
