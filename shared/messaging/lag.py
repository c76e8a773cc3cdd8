"""How far a consumer is behind the end of its topics; told also while it is stuck with a batch."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import LAG

log = logging.getLogger(__name__)

_EVERY_SECONDS = 2.0


@asynccontextmanager
async def measured(
    consumer: AIOKafkaConsumer, group: str, topics: Sequence[str], heartbeats: Heartbeats
) -> AsyncIterator[None]:
    """Tells the lag for as long as the block lasts."""
    measuring = asyncio.create_task(_measure(consumer, group, topics, heartbeats))
    try:
        yield
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])
        heartbeats.ended(f"lag:{group}")


async def _measure(consumer: AIOKafkaConsumer, group: str, topics: Sequence[str], heartbeats: Heartbeats) -> None:
    while True:
        heartbeats.beat(f"lag:{group}")
        try:
            async with asyncio.timeout(_EVERY_SECONDS * 5):
                behind = await _behind(consumer)
            for topic in topics:
                LAG.labels(group, topic).set(behind[topic])
        except (KafkaError, TimeoutError) as error:  # the last figure stands; readiness says that the broker is away
            log.info("lag of %s not known: %s", group, type(error).__name__)
        await asyncio.sleep(_EVERY_SECONDS)


async def _behind(consumer: AIOKafkaConsumer) -> Counter[str]:
    """Records between the position and the end of each partition that is ours, by topic."""
    places = list(consumer.assignment())
    ends = await consumer.end_offsets(places) if places else {}
    behind: Counter[str] = Counter()
    for place, end in ends.items():
        if place in consumer.assignment():
            behind[place.topic] += max(0, end - await consumer.position(place))
    return behind
