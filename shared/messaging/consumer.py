"""Consuming in whole batches: records in, offsets committed after the work; a record is heard at least once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.domain.errors import DsrError
from shared.domain.records import ConsumedRecord
from shared.messaging import lag
from shared.messaging.stall import StallWatch
from shared.messaging.watermark import Watermark
from shared.runtime.access import Access
from shared.runtime.liveness import Heartbeats
from shared.runtime.looking import cancelled_from_within, sleep_until_stopped

log = logging.getLogger(__name__)

_COMMIT_EVERY_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 10.0
_STALLED_SECONDS = 30.0
_STOP_SECONDS = 5.0


Handle = Callable[[Sequence[ConsumedRecord]], Awaitable[None]]
"""Handles a batch; returns only when it is done for good, however long the database is away."""

Wants = Callable[[Sequence[tuple[str, bytes | None]]], bool]
"""Whether a record with these headers is of interest; the others are passed over unread."""


def loop_of(group: str) -> str:
    """What the loop of a consumer is called where it is watched."""
    return f"consume:{group}"


class Stalled(DsrError):
    """The consumer stood still though there were records for it; a new one takes its place."""

    code: ClassVar[str] = "stalled"


class Consumer:
    """One member of a consumer group."""

    def __init__(
        self, bootstrap: str, group: str, topics: Sequence[str], batch_records: int, access: Access | None = None
    ) -> None:
        self._bootstrap = bootstrap
        self._group = group
        self._topics = topics
        self._batch_records = batch_records
        self._access = access or {}

    async def run(
        self, handle: Handle, stopping: asyncio.Event, heartbeats: Heartbeats, wants: Wants = lambda _headers: True
    ) -> None:
        """Consumes what is wanted until told to stop; connects again whenever the broker was away."""
        while not stopping.is_set():
            heartbeats.beat(loop_of(self._group))
            try:
                await self._consume(handle, stopping, heartbeats, wants)
            except (KafkaError, OSError, Stalled, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and not cancelled_from_within():
                    raise
                log.warning("bus away, connecting again: %s", type(error).__name__)
                await sleep_until_stopped(1.0, loop_of(self._group), stopping, heartbeats)

    async def _consume(self, handle: Handle, stopping: asyncio.Event, heartbeats: Heartbeats, wants: Wants) -> None:
        consumer = AIOKafkaConsumer(
            *self._topics,
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=250,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            max_poll_interval_ms=600_000,
            **self._access,
        )
        try:
            await consumer.start()
            loop = asyncio.get_running_loop()
            done: dict[TopicPartition, int] = {}
            committed_at = looked_at = loop.time()
            watch, abreast = StallWatch(_STALLED_SECONDS), Watermark()
            async with lag.measured(consumer, self._group, self._topics, heartbeats):
                while not stopping.is_set():
                    heartbeats.beat(loop_of(self._group))
                    fetched = await consumer.getmany(timeout_ms=200, max_records=self._batch_records)
                    if fetched:
                        wanted = [_heard(r) for records in fetched.values() for r in records if wants(r.headers)]
                        if wanted:
                            await handle(wanted)
                        done.update({place: records[-1].offset + 1 for place, records in fetched.items()})
                    if done and loop.time() - committed_at >= _COMMIT_EVERY_SECONDS:
                        committed_at = loop.time()
                        await _commit(consumer, done)
                    if loop.time() - looked_at >= _LOOK_EVERY_SECONDS:
                        looked_at = loop.time()
                        consumed_until = await _look(consumer, watch, abreast, looked_at)
                        if consumed_until is not None:
                            heartbeats.heard(loop_of(self._group), consumed_until)
            await _commit(consumer, done)
        finally:
            await _stop(consumer)


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


async def _look(consumer: AIOKafkaConsumer, watch: StallWatch, abreast: Watermark, now: float) -> float | None:
    since = time.monotonic()
    async with asyncio.timeout(_LOOK_EVERY_SECONDS):
        places = list(consumer.assignment())
        positions = {place: await consumer.position(place) for place in places}
        ends = await consumer.end_offsets(places) if places else {}
    if watch.stalled(positions, ends, now):
        raise Stalled
    return abreast.consumed_until(positions, ends, since)


def _heard(record: object) -> ConsumedRecord:
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}  # type: ignore[attr-defined]
    return ConsumedRecord(record.topic, record.key or b"", record.value or b"", headers)  # type: ignore[attr-defined]
