"""Producing in whole batches: one broker round trip for hundreds of records, in order, without duplicates."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from shared.domain.errors import DsrError
from shared.domain.records import Message
from shared.runtime.settings import KafkaSettings

log = logging.getLogger(__name__)

_SEND_SECONDS = 20.0
_STOP_SECONDS = 5.0
_BATCH_BYTES = 512 * 1024


Send = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends messages in order; returns once the broker has all of them, or raises ``BusAway``."""


class BusAway(DsrError):
    """The broker did not acknowledge in time; nothing is lost, the same is sent again later."""


class KafkaProducer:
    """An idempotent producer (``acks=all``) that is made anew after the broker was away."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()

    async def start(self) -> None:
        """Connects.

        Raises:
            BusAway: no broker answers.
        """
        await self._connected()

    async def stop(self) -> None:
        """Sends what is buffered and disconnects; what an absent broker does not take is sent by another one later."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await producer.stop()
            except TimeoutError:
                log.warning("the broker takes nothing: not waiting for it any longer")
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)

    async def send(self, messages: Sequence[Message]) -> None:
        """Sends all, in order per key, and waits for the acknowledgements.

        Raises:
            BusAway: the broker did not acknowledge in time; some may have been sent.
        """
        try:
            producer = await self._connected()
            async with asyncio.timeout(_SEND_SECONDS):
                await _send(producer, messages)
        except (KafkaError, TimeoutError, OSError) as error:
            self._discard()
            raise BusAway(f"the broker did not take {len(messages)} message(s): {type(error).__name__}") from error

    async def reachable(self) -> bool:
        """Whether a broker answers a metadata request now."""
        try:
            producer = await self._connected()
            async with asyncio.timeout(2):
                await producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError, BusAway):
            return False
        return True

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:  # the relay and the readiness probe must not make one each
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._settings.client(),
                    enable_idempotence=True,
                    acks="all",
                    max_batch_size=_BATCH_BYTES,
                    max_request_size=4 * _BATCH_BYTES,
                    request_timeout_ms=10_000,
                    retry_backoff_ms=100,
                )
                try:
                    await producer.start()
                except (KafkaError, OSError) as error:
                    await producer.stop()
                    raise BusAway(self._absence(error)) from error
                self._producer = producer
            return self._producer

    def _absence(self, error: Exception) -> str:
        place, name = self._settings.bootstrap, type(error).__name__
        says = (
            "DSR_KAFKA_BOOTSTRAP" if self._settings.username is None else "DSR_KAFKA_BOOTSTRAP, _USERNAME or _PASSWORD"
        )
        return f"no broker for us at {place} ({name}): start it, or correct {says}"

    def _discard(self) -> None:
        """Lets a producer that got stuck end by itself: cut short, it would leave its connections behind."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(_retire(producer))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


async def _retire(producer: AIOKafkaProducer) -> None:
    try:
        await producer.stop()
    except (KafkaError, OSError) as error:
        log.info("a producer ended badly: %s", type(error).__name__)


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    partitions: dict[str, int] = {}
    open_batches: dict[tuple[str, int], object] = {}
    acknowledgements = []
    for message in messages:
        if message.topic not in partitions:
            known = producer.client.cluster.partitions_for_topic(message.topic)
            partitions[message.topic] = len(known or await producer.partitions_for(message.topic))
        place = (message.topic, _hash(message.key) % partitions[message.topic])
        headers = [(name, value.encode()) for name, value in message.headers.items()]
        batch = open_batches.get(place)
        if batch is None or batch.append(key=message.key, value=message.value, timestamp=None, headers=headers) is None:  # type: ignore[attr-defined]
            if batch is not None:
                acknowledgements.append(await producer.send_batch(batch, place[0], partition=place[1]))
            batch = open_batches[place] = producer.create_batch()
            batch.append(key=message.key, value=message.value, timestamp=None, headers=headers)
    for place, batch in open_batches.items():
        acknowledgements.append(await producer.send_batch(batch, place[0], partition=place[1]))
    await asyncio.gather(*acknowledgements)


@lru_cache(maxsize=8192)
def _hash(key: bytes) -> int:
    """The hash by which every Kafka client picks a partition; in pure Python, so once per request and not per event."""
    return int(murmur2(key)) & 0x7FFFFFFF
