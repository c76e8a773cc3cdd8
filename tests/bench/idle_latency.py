"""Measures one request on an idle platform with three SQL stores, from accepted to closed."""

import secrets
import time
from statistics import median, quantiles

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from shared.messaging import admin
from tests.bench.closed_erasures import verify
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures import stores
from tests.fixtures.live import eventually
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Subject

WARM_UP = 20
REQUESTS = 100
"""Requests per turn."""
PERCENTS = (50, 99)
LOOK_EVERY = 0.002
COMMITS = 7
TRIPS = 2
_WHAT = (
    f"{COMMITS} commits (accept, open, claim, note, erase, conclude, close) and {TRIPS} trips over the bus that one"
    " request cannot do without, each at its median measured in the same run"
)


async def measure(ground: Ground) -> list[Row]:
    """Measures one request at a time; an onlooker reads the database until it sees the closure committed."""
    total = WARM_UP + ground.repeats * REQUESTS
    seen: dict[int, list[float]] = {percent: [] for percent in PERCENTS}
    floors: list[float] = []
    async with ground.seeded(total) as seeded, ground.services(seeded) as running:
        for number in range(WARM_UP):
            await _close_one(running, number)
        for first in range(WARM_UP, total, REQUESTS):
            floors.append((COMMITS * await _commit_seconds(running) + TRIPS * await _trip_seconds(running)) * 1000)
            seconds = [await _close_one(running, number) for number in range(first, first + REQUESTS)]
            for percent, each in seen.items():
                each.append(quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000)
            shown = ", ".join(f"p{percent} {each[-1]:.1f} ms" for percent, each in seen.items())
            ground.say(f"{shown}, floor {floors[-1]:.1f} ms")
        await verify(running, total)
        must("rows left", await seeded.rows(), dict.fromkeys(stores.STORES, 0))
    ours = f"from the answer 201 until the closure is seen, looking every {LOOK_EVERY * 1000:g} ms"
    return [
        row(f"idle_latency_p{percent}", each, floors, "ms", _WHAT, requests=REQUESTS, what_ours_is=ours)
        for percent, each in seen.items()
    ]


async def _close_one(running: Stack, number: int) -> float:
    answer = await running.client.post("/v1/requests", json=Subject(number).submission())
    answer.raise_for_status()
    accepted = time.monotonic()
    request_id = answer.json()["request_id"]
    closed = "SELECT closed_at IS NOT NULL FROM intake.request WHERE request_id = $1"
    async with running.pool.acquire() as connection:  # one for all looks: a pool resets what is given back
        await eventually(lambda: connection.fetchval(closed, request_id), within=30, every=LOOK_EVERY)
    return time.monotonic() - accepted


async def _commit_seconds(running: Stack) -> float:
    """The median of a durable commit of one small row."""
    seconds = []
    async with running.pool.acquire() as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS commit_probe (n int)")
        for n in range(100):
            started = time.monotonic()
            await connection.execute("INSERT INTO commit_probe VALUES ($1)", n)
            seconds.append(time.monotonic() - started)
    return median(seconds)


async def _trip_seconds(running: Stack) -> float:
    """The median from sending a record to another process's having it, the broker's acknowledgement included."""
    topic = f"bench-trip-{secrets.token_hex(4)}"
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
