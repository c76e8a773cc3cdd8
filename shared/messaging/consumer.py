"""Consuming in whole batches: records in, offsets committed after the work; a record is consumed at least once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.domain.records import Message
from shared.messaging.progress import Progress, Stalled, keep_polling, lag_loop_of, loop_of
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import cancelled_from_within, sleep_until_stopped
from shared.runtime.settings import KafkaSettings

log = logging.getLogger(__name__)

_COMMIT_EVERY_SECONDS = 1.0
_STOP_SECONDS = 5.0

Handle = Callable[[Sequence[Message]], Awaitable[None]]
"""Handles a batch; returns only when it is done for good, however long the database is away."""

Wants = Callable[[Sequence[tuple[str, bytes | None]]], bool]
"""Whether a record with these headers is of interest; the others are passed over unread."""


@dataclass(frozen=True)
class Consumer:
    """One member of a consumer group."""

    settings: KafkaSettings
    group: str
    topics: Sequence[str]

    async def run(
        self, handle: Handle, stopping: asyncio.Event, heartbeats: Heartbeats, wants: Wants = lambda _headers: True
    ) -> None:
        """Consumes what is wanted until told to stop; connects again whenever the broker was away."""
        while not stopping.is_set():
            heartbeats.beat(loop_of(self.group))
            try:
                async with self._connected() as consumer:
                    await self._consume(consumer, handle, stopping, heartbeats, wants)
            except (KafkaError, OSError, Stalled, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and not cancelled_from_within():
                    raise
                log.warning("bus away, connecting again: %s", type(error).__name__)
                await sleep_until_stopped(1.0, loop_of(self.group), stopping, heartbeats)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A member of the group that leaves it at the end."""
        consumer = AIOKafkaConsumer(
            *self.topics,
            **self.settings.client(),
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            max_poll_interval_ms=600_000,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await _stop(consumer)

    async def _consume(
        self, consumer: AIOKafkaConsumer, handle: Handle, stopping: asyncio.Event, heartbeats: Heartbeats, wants: Wants
    ) -> None:
        clock, progress = asyncio.get_running_loop(), Progress()
        done: dict[TopicPartition, int] = {}
        committed_at = clock.time()
        polling = asyncio.create_task(keep_polling(consumer, progress, self.group, self.topics, heartbeats))
        try:
            while not stopping.is_set():
                heartbeats.beat(loop_of(self.group))
                if polling.done():
                    await polling
                fetched = await consumer.getmany(timeout_ms=200, max_records=self.settings.batch_records)
                if fetched:
                    progress.in_hand = {place: records[0].offset for place, records in fetched.items()}
                    wanted = [_message(r) for records in fetched.values() for r in records if wants(r.headers)]
                    if wanted:
                        await handle(wanted)
                    progress.in_hand = {}
                    done.update({place: records[-1].offset + 1 for place, records in fetched.items()})
                if done and clock.time() - committed_at >= _COMMIT_EVERY_SECONDS:
                    committed_at = clock.time()
                    await _commit(consumer, done)
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
            heartbeats.ended(lag_loop_of(self.group))
        await _commit(consumer, done)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Leaves the group; aiokafka may end in the cancellation of a fetch of its own, with its connections still open."""
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await consumer.stop()
    except (KafkaError, OSError, asyncio.CancelledError) as error:
        log.info("a consumer ended badly: %s", type(error).__name__)
        await consumer._client.close()  # noqa: SLF001  # the library has no other way
        if isinstance(error, asyncio.CancelledError) and not cancelled_from_within():
            raise


async def _commit(consumer: AIOKafkaConsumer, done: dict[TopicPartition, int]) -> None:
    mine = {place: offset for place, offset in done.items() if place in consumer.assignment()}
    done.clear()
    if mine:
        try:
            await consumer.commit(mine)
        except KafkaError as error:  # a rebalance took the partitions away: the inbox absorbs the repeat
            log.info("offsets not committed: %s", type(error).__name__)


def _message(record: object) -> Message:
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}  # type: ignore[attr-defined]
    return Message(record.topic, record.key or b"", record.value or b"", headers)  # type: ignore[attr-defined]
