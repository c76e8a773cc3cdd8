"""Consumes in batches and commits offsets after the work: each record at least once."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import gethostname
from typing import Any, Protocol
from zlib import crc32

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.domain.topics import Message
from shared.messaging.decoding import UNREADABLE, decode_record_by_record
from shared.messaging.producer import HOW_TO_MAKE_TOPICS, wrote_to_closed
from shared.messaging.progress import Assignments, Progress, Stalled, keep_polling, lag_loop_of, loop_of
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import gather, sleep_until_stopped, wait
from shared.runtime.metrics import TOPIC_PAUSED
from shared.runtime.settings import KafkaSettings

log = logging.getLogger(__name__)

_COMMIT_EVERY_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
_SESSION_MS = 10_000
_REBALANCE_MS = 30_000
"""Milliseconds for which a group waits for a live member to join again; members do so during their work."""
_STOP_SECONDS = 5.0
_MADE_WITHIN_SECONDS = 60.0
"""Seconds between two looks for missing topics."""


class RecordHandler(Protocol):
    """Handles what is consumed."""

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Returns whether a record with these headers is wanted; others are skipped unread."""
        ...

    async def handle(self, records: Sequence[Message]) -> Collection[Message]:
        """Handles a batch, however long the database is away.

        Returns the records of paused topics, which it has not handled; all others are done for good.
        """
        ...

    async def paused_topics(self) -> Collection[str]:
        """Returns the topics that are paused."""
        ...


@dataclass(frozen=True)
class Consumer:
    """One member of a consumer group.

    ``instance`` makes it a static member: after a kill or an outage it takes its partitions back immediately, without
    the session timeout. The broker then gives it the same topics as before, so the topics are part of the name.
    """

    settings: KafkaSettings
    group: str
    topics: Sequence[str]
    instance: str | None = None

    async def run(self, listener: RecordHandler, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
        """Consumes what is wanted until ``stopping`` is set; connects again after an outage of the broker.

        It counts as alive while it waits for the broker, but not while the broker refuses it or nothing moves.
        """
        progress, clock, warned = Progress(), asyncio.get_running_loop(), ""
        named: set[str] = set()
        heartbeats.beat(loop_of(self.group))
        while not stopping.is_set():
            began = clock.time()
            connected = asyncio.create_task(self._consume(listener, stopping, heartbeats, progress, named))
            try:
                await asyncio.wait({connected})
            finally:  # a cancellation out of aiokafka ends that task alone; one that is meant for us ends both
                connected.cancel()
                await asyncio.wait({connected})
            error = asyncio.CancelledError() if connected.cancelled() else connected.exception()
            if error is None or stopping.is_set():
                continue
            if warned != (fault := type(error).__name__) or clock.time() - began > _ANSWER_SECONDS:
                log.warning("%s connects again, until it can: %s", self.group, fault)  # once, and not each second
            warned = fault
            match error:
                case _ if is_outage(error):
                    await sleep_until_stopped(_AGAIN_SECONDS, loop_of(self.group), stopping, heartbeats)
                case KafkaError() | Stalled():
                    await wait(stopping, _AGAIN_SECONDS)
                case _:
                    raise error

    async def _consume(
        self,
        listener: RecordHandler,
        stopping: asyncio.Event,
        heartbeats: Heartbeats,
        progress: Progress,
        named: set[str],
    ) -> None:
        """Consumes by one connection for as long as that lasts, or until a topic is there that was missing."""
        missing = await self._missing(named)
        topics = [topic for topic in self.topics if topic not in missing]
        if not topics:
            await sleep_until_stopped(_AGAIN_SECONDS, loop_of(self.group), stopping, heartbeats)
            return
        until = asyncio.get_running_loop().time() + (_MADE_WITHIN_SECONDS if missing else math.inf)
        async with self._connected(topics, progress, stopping) as consumer:
            polling = asyncio.create_task(keep_polling(consumer, progress, self.group, topics, heartbeats))
            try:
                at_work = _Session(self, consumer, listener, progress, stopping)
                while not stopping.is_set() and asyncio.get_running_loop().time() < until:
                    if polling.done():
                        await polling
                    if await at_work.run_once() or not progress.behind:
                        heartbeats.beat(loop_of(self.group))
            finally:
                polling.cancel()
                await asyncio.wait({polling})
                heartbeats.ended(lag_loop_of(self.group))
            await at_work.commit()

    async def _missing(self, named: set[str]) -> set[str]:
        """Returns the topics that the broker lacks, since waiting for one would stop all; logs each once."""
        client = AIOKafkaClient(**self.settings.client())
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await client.bootstrap()
                existing: set[str] = (await client.fetch_all_metadata()).topics()
        finally:
            await client.close()
        missing = set(self.topics) - existing
        for topic in sorted(missing - named):
            log.warning("%s consumes nothing of %s, which does not exist: %s", self.group, topic, HOW_TO_MAKE_TOPICS)
        named |= missing
        return missing

    @asynccontextmanager
    async def _connected(
        self, topics: Sequence[str], progress: Progress, stopping: asyncio.Event
    ) -> AsyncIterator[AIOKafkaConsumer]:
        """Joins the group, and leaves it at the end unless a static member is to come back."""
        decode_record_by_record(self.settings.unpacked_bytes)
        consumer = AIOKafkaConsumer(
            **self.settings.client(),
            group_id=self.group,
            group_instance_id=self.instance and f"{self.instance}-{crc32(' '.join(topics).encode()):08x}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=1_000,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=1_000,
            max_poll_interval_ms=600_000,
            rebalance_timeout_ms=_REBALANCE_MS,
        )
        consumer.subscribe(topics, listener=Assignments(progress))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await consumer.start()
            yield consumer
        finally:
            if self.instance and (stopping.is_set() or len(topics) < len(self.topics)):
                _leave_group(consumer)
            await _stop(consumer)


@dataclass
class _Session:
    """One connection of a consumer: fetches, handles and commits."""

    member: Consumer
    consumer: AIOKafkaConsumer
    listener: RecordHandler
    progress: Progress
    stopping: asyncio.Event
    uncommitted: dict[TopicPartition, int] = field(default_factory=dict)
    """The next offset of each partition that is handled, but not committed."""
    committed_at: float = 0.0
    looked_at: float = 0.0

    async def run_once(self) -> bool:
        """Fetches and handles the next records; returns whether there were any."""
        now = asyncio.get_running_loop().time
        if now() - self.looked_at >= _LOOK_EVERY_SECONDS:
            self.looked_at = now()
            await self._resume()
        if self.uncommitted and now() - self.committed_at >= _COMMIT_EVERY_SECONDS:
            self.committed_at = now()
            await self.commit()
        async with asyncio.timeout(_ANSWER_SECONDS):  # while the group is without its leader, this knows no time limit
            fetched = await self.consumer.getmany(timeout_ms=200, max_records=self.member.settings.batch_records)
        if fetched:
            began = now()
            self.progress.in_hand = {partition: records[0].offset for partition, records in fetched.items()}
            messages = [self._message(r) for records in fetched.values() for r in records if self._is_wanted(r)]
            unhandled = await self.listener.handle(messages) if messages else ()
            self.progress.in_hand = {}
            self.uncommitted.update({partition: records[-1].offset + 1 for partition, records in fetched.items()})
            self._pause_unhandled(unhandled)
            if messages and sum(map(len, fetched.values())) < self.member.settings.batch_records:
                await gather(now() - began, self.stopping)
        return bool(fetched)

    async def commit(self) -> None:
        """Commits the offsets of handled records."""
        offsets = {
            partition: offset
            for partition, offset in self.uncommitted.items()
            if partition in self.consumer.assignment()
        }
        self.uncommitted.clear()
        if offsets:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self.consumer.commit(offsets)
            except KafkaError as error:  # a rebalance took the partitions away: the inbox absorbs the repeat
                log.info("offsets not committed: %s", type(error).__name__)

    def _pause_unhandled(self, unhandled: Collection[Message]) -> None:
        """Pauses each partition with unhandled records, at the first of them."""
        first: dict[TopicPartition, int] = {}
        for message in unhandled:
            first.setdefault(TopicPartition(message.topic, message.partition), message.offset or 0)
        for partition, offset in first.items():
            self.uncommitted[partition] = offset
            if self.consumer.assignment() >= {partition}:
                self.consumer.seek(partition, offset)
                self.consumer.pause(partition)

    async def _resume(self) -> None:
        """Resumes the partitions whose topic is no longer paused."""
        paused = await self.listener.paused_topics()
        for topic in self.member.topics:
            TOPIC_PAUSED.labels(self.member.group, topic).set(topic in paused)
        self.consumer.resume(*(partition for partition in self.consumer.paused() if partition.topic not in paused))

    def _is_wanted(self, record: Any) -> bool:
        return self.listener.wants(record.headers) or _why_unreadable(record) != ""

    def _message(self, record: Any) -> Message:
        position = {"partition": record.partition, "offset": record.offset}
        reason = _why_unreadable(record)
        key, value, headers = record.key or b"", record.value or b"", record.headers
        size = len(key) + len(value) + sum(len(name) + len(content or b"") for name, content in headers)
        if size > self.member.settings.record_bytes:
            reason = f"{size} bytes, more than {self.member.settings.record_bytes}"
        if reason:
            return Message(record.topic, b"", b"", unreadable=reason, **position)
        decoded = {name: (content or b"").decode("utf-8", "replace") for name, content in headers}
        return Message(record.topic, key, value, decoded, **position)


def is_outage(error: BaseException | None) -> bool:
    """Returns whether the broker was away, by any error that aiokafka raises then."""
    match error:
        case asyncio.CancelledError() | OSError() | KafkaError(retriable=True):
            return True
        case _:
            return wrote_to_closed(error)


def instance(port: int) -> str:
    """Returns the name of this process in a group: its successor takes its partitions over."""
    return f"{gethostname()}-{port}"


def _why_unreadable(record: Any) -> str:
    """Returns why a record could not be decoded; empty if it was."""
    headers = record.headers
    return headers[0][1].decode() if headers and headers[0][0] == UNREADABLE else ""


def _leave_group(consumer: AIOKafkaConsumer) -> None:
    """Makes it a dynamic member, since the library lets no static member leave."""
    if coordinator := consumer._coordinator:  # noqa: SLF001  # the library has no other way
        coordinator._group_instance_id = None  # noqa: SLF001


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stops it, and closes connections that aiokafka leaves open when a fetch of its own is cancelled."""
    leaving = asyncio.create_task(consumer.stop())
    try:
        await asyncio.wait({leaving}, timeout=_STOP_SECONDS)
    finally:
        leaving.cancel()
        await asyncio.wait({leaving})
    if leaving.cancelled() or leaving.exception():
        log.info("a consumer did not leave its group in order")
        await consumer._client.close()  # noqa: SLF001  # the library has no other way
