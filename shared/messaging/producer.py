"""Produces whole batches, in order and without duplicates: one round trip for hundreds of records."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import zip_longest
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
    UnsupportedForMessageFormatError,
)

from shared.domain.errors import DsrError
from shared.domain.topics import Message
from shared.runtime.settings import KafkaSettings

log = logging.getLogger(__name__)

_SEND_SECONDS = 20.0
_STOP_SECONDS = 5.0
_BATCH_BYTES = 512 * 1024


Send = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends messages in order; returns once the broker has all of them, or raises ``BusAway`` or ``MessageRefused``."""

HOW_TO_MAKE_TOPICS = "make it; for a team's, `dsr downstreams topics FILE --create` does"
"""The remedy for a missing topic."""

_FOR_GOOD = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    UnsupportedForMessageFormatError,
)
"""Errors for a record that the broker will never accept; any other error may pass."""


def wrote_to_closed(error: BaseException | None) -> bool:
    """Returns whether a connection was closed under aiokafka, by the text of uvloop's error."""
    return isinstance(error, RuntimeError) and "the handler is closed" in str(error)


class BusAway(DsrError):
    """The broker did not acknowledge in time; the messages are sent again later."""


class MessageRefused(DsrError):
    """The broker refuses one of the messages for good; says why in a word."""


class KafkaProducer:
    """An idempotent producer (``acks=all``), created again after an outage of the broker."""

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
                    await _retire(producer)
            except TimeoutError:
                log.warning("the broker takes nothing: not waiting for it any longer")
        for task in self._retired:
            task.cancel()
        await asyncio.gather(*self._retired, return_exceptions=True)

    async def send(self, messages: Sequence[Message]) -> None:
        """Sends all, in order per key, and waits for the acknowledgements.

        Raises:
            BusAway: the broker did not acknowledge in time; some may have been sent.
            MessageRefused: one of them it will never take; some of the others may have been sent.
        """
        try:
            producer = await self._connected()
            async with asyncio.timeout(_SEND_SECONDS):
                await _send(producer, messages)
        except _FOR_GOOD as error:
            self._discard()  # it has counted the batch, and the broker would miss it
            raise MessageRefused(type(error).__name__) from error
        except (KafkaError, TimeoutError, OSError) as error:
            if isinstance(error, UnknownTopicOrPartitionError):
                self._name_missing({message.topic for message in messages})
            self._discard()
            raise BusAway(f"the broker did not take {len(messages)} message(s): {type(error).__name__}") from error
        except RuntimeError as error:
            if not wrote_to_closed(error):
                raise
            self._discard()
            raise BusAway(f"the broker did not take {len(messages)} message(s): its connection was gone") from error

    def _name_missing(self, topics: Collection[str]) -> None:
        """Logs the topics that the broker does not have."""
        known = self._producer.client.cluster.topics() if self._producer else set()
        for topic in sorted(set(topics) - known):
            log.warning("the broker has no topic %s: %s", topic, HOW_TO_MAKE_TOPICS)

    async def reachable(self) -> bool:
        """Returns whether a broker answers a metadata request now."""
        try:
            producer = await self._connected()
            async with asyncio.timeout(2):
                await producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError, BusAway):
            return False
        except RuntimeError as error:
            if not wrote_to_closed(error):
                raise
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
                except (KafkaError, OSError, RuntimeError) as error:
                    await _retire(producer)
                    if not (isinstance(error, (KafkaError, OSError)) or wrote_to_closed(error)):
                        raise
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
        """Lets a stuck producer end on its own: a cancelled one would leave its connections open."""
        producer, self._producer = self._producer, None
        if producer is not None:
            task = asyncio.create_task(_retire(producer))
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)


async def _retire(producer: AIOKafkaProducer) -> None:
    try:
        await producer.stop()
    except (KafkaError, OSError, RuntimeError) as error:
        log.info("a producer ended badly: %s", type(error).__name__)


async def _send(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Sends batch by batch: a partition gets its next one when it has the last, or the order would be lost with it."""
    partitions: dict[str, int] = {}
    batches: dict[tuple[str, int], list[Any]] = {}
    for message in messages:
        if message.topic not in partitions:
            known = producer.client.cluster.partitions_for_topic(message.topic)
            partitions[message.topic] = len(known or await producer.partitions_for(message.topic))
        place = (message.topic, crc32(message.key) % partitions[message.topic])
        headers = [(name, value.encode()) for name, value in message.headers.items()]
        open_batches = batches.setdefault(place, [])
        if not open_batches or not _append(open_batches[-1], message, headers):
            open_batches.append(producer.create_batch())
            _append(open_batches[-1], message, headers)
    for turn in zip_longest(*batches.values()):
        sending = [(batch, *place) for batch, place in zip(turn, batches, strict=True) if batch is not None]
        acknowledgements = [await producer.send_batch(batch, topic, partition=n) for batch, topic, n in sending]
        await asyncio.gather(*acknowledgements)


def _append(batch: Any, message: Message, headers: Sequence[tuple[str, bytes]]) -> bool:
    """Adds the message to the batch unless it is full; without content it is a tombstone of a compacted topic."""
    return batch.append(key=message.key, value=message.value or None, timestamp=None, headers=headers) is not None
