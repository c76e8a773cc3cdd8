"""How long one request takes from accepted to closed when there is nothing else to do: three SQL stores."""

import time
from statistics import median, quantiles

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.messaging import admin
from tests.bench.closed_erasures import verify
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures import stores
from tests.fixtures.live import eventually
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Subject

WARM_UP = 20
REQUESTS = 200
LOOK_EVERY = 0.002
COMMITS = 7
TRIPS = 2
_WHAT = (
    f"{COMMITS} commits (accept, open, claim, note, erase, conclude, close) and {TRIPS} trips over the bus that one"
    " request cannot do without, each at its median measured in the same run"
)


async def measure(ground: Ground) -> list[Row]:
    """One request at a time, 200 of them; an onlooker reads the database until it sees the closure committed."""
    total = WARM_UP + REQUESTS
    async with ground.seeded(total) as seeded, ground.services(seeded) as running:
        seen = [await _close_one(running, number) for number in range(total)][WARM_UP:]
        own = await running.pool.fetch(
            "SELECT extract(epoch FROM closed_at - accepted_at)::float8 FROM intake.request ORDER BY accepted_at"
        )
        floor = COMMITS * await _commit_seconds(running) + TRIPS * await _trip_seconds(running)
        await verify(running, total)
        must("rows left", await seeded.rows(), dict.fromkeys(stores.STORES, 0))
    stamped = [seconds for (seconds,) in own][WARM_UP:]
    ground.say(f"p50 {_percentile(seen, 50):.1f} ms, p99 {_percentile(seen, 99):.1f} ms, floor {floor * 1000:.1f} ms")
    return [
        row(
            f"idle_latency_p{percent}_ms",
            [_percentile(seen, percent)],
            [floor * 1000],
            "ms",
            _WHAT,
            [seconds * 1000 for seconds in seen],
            requests=REQUESTS,
            by_own_timestamps=rounded(_percentile(stamped, percent)),
            what_ours_is=f"from the answer 201 until the closure is seen, looking every {LOOK_EVERY * 1000:g} ms",
        )
        for percent in (50, 99)
    ]


def _percentile(seconds: list[float], percent: int) -> float:
    return quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


async def _close_one(running: Stack, number: int) -> float:
    answer = await running.client.post("/v1/requests", json=Subject(number).submission())
    answer.raise_for_status()
    accepted = time.monotonic()
    request_id = answer.json()["request_id"]
    closed = "SELECT closed_at IS NOT NULL FROM intake.request WHERE request_id = $1"
    await eventually(lambda: running.pool.fetchval(closed, request_id), within=30, every=LOOK_EVERY)
    return time.monotonic() - accepted


async def _commit_seconds(running: Stack) -> float:
    """The median of a durable commit of one small row."""
    seconds = []
    async with running.pool.acquire() as connection:
        await connection.execute("CREATE TABLE commit_probe (n int)")
        for n in range(100):
            started = time.monotonic()
            await connection.execute("INSERT INTO commit_probe VALUES ($1)", n)
            seconds.append(time.monotonic() - started)
    return median(seconds)


async def _trip_seconds(running: Stack) -> float:
    """The median from sending a record to another process's having it, the broker's acknowledgement included."""
    topic = "bench-trip"
    await admin.create_topics(running.kafka.bootstrap, [topic], partitions=1)
    seconds = []
    producer = AIOKafkaProducer(bootstrap_servers=running.kafka.bootstrap, enable_idempotence=True, acks="all")
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=running.kafka.bootstrap, auto_offset_reset="earliest")
    async with producer, consumer:
        for n in range(120):
            started = time.monotonic()
            await producer.send_and_wait(topic, b"x" * 300, partition=0)
            await consumer.getone()
            if n >= 20:
                seconds.append(time.monotonic() - started)
    return median(seconds)
