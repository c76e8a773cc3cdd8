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


class Listener(Protocol):
    """Handles what is consumed."""

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Returns whether a record with these headers is wanted; others are skipped unread."""
        ...

    async def handle(self, records: Sequence[Message]) -> Collection[Message]:
        """Handles a batch, however long the database is away.

        Returns what it has left alone because its topic is paused; all else is done for good.
        """
        ...

    async def paused_topics(self) -> Collection[str]:
        """The topics of which it leaves everything alone now."""
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

    async def run(self, listener: Listener, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
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
        listener: Listener,
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
                at_work = _AtWork(self, consumer, listener, progress, stopping)
                while not stopping.is_set() and asyncio.get_running_loop().time() < until:
                    if polling.done():
                        await polling
                    if await at_work.go_round() or not progress.behind:
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
                there: set[str] = (await client.fetch_all_metadata()).topics()
        finally:
            await client.close()
        missing = set(self.topics) - there
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
                _let_leave(consumer)
            await _stop(consumer)


@dataclass
class _AtWork:
    """A connected consumer: fetches, handles and commits."""

    of: Consumer
    consumer: AIOKafkaConsumer
    listener: Listener
    progress: Progress
    stopping: asyncio.Event
    done: dict[TopicPartition, int] = field(default_factory=dict)
    """The offset behind what is done, where that is not committed yet."""
    committed_at: float = 0.0
    looked_at: float = 0.0

    async def go_round(self) -> bool:
        """Fetches and handles the next records; returns whether there were any."""
        now = asyncio.get_running_loop().time
        if now() - self.looked_at >= _LOOK_EVERY_SECONDS:
            self.looked_at = now()
            await self._resume()
        if self.done and now() - self.committed_at >= _COMMIT_EVERY_SECONDS:
            self.committed_at = now()
            await self.commit()
        async with asyncio.timeout(_ANSWER_SECONDS):  # while the group is without its leader, this knows no time limit
            fetched = await self.consumer.getmany(timeout_ms=200, max_records=self.of.settings.batch_records)
        if fetched:
            began = now()
            self.progress.in_hand = {place: records[0].offset for place, records in fetched.items()}
            messages = [self._message(r) for records in fetched.values() for r in records if self._is_wanted(r)]
            left = await self.listener.handle(messages) if messages else ()
            self.progress.in_hand = {}
            self.done.update({place: records[-1].offset + 1 for place, records in fetched.items()})
            self._hold(left)
            if messages and sum(map(len, fetched.values())) < self.of.settings.batch_records:
                await gather(now() - began, self.stopping)
        return bool(fetched)

    async def commit(self) -> None:
        """Tells the broker what is done."""
        mine = {place: offset for place, offset in self.done.items() if place in self.consumer.assignment()}
        self.done.clear()
        if mine:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self.consumer.commit(mine)
            except KafkaError as error:  # a rebalance took the partitions away: the inbox absorbs the repeat
                log.info("offsets not committed: %s", type(error).__name__)

    def _hold(self, left: Collection[Message]) -> None:
        """Pauses each partition with unhandled records, at the first of them."""
        first: dict[TopicPartition, int] = {}
        for message in left:
            first.setdefault(TopicPartition(message.topic, message.partition), message.offset or 0)
        for place, offset in first.items():
            self.done[place] = offset
            if self.consumer.assignment() >= {place}:
                self.consumer.seek(place, offset)
                self.consumer.pause(place)

    async def _resume(self) -> None:
        """Resumes the partitions whose topic is no longer paused."""
        paused = await self.listener.paused_topics()
        for topic in self.of.topics:
            TOPIC_PAUSED.labels(self.of.group, topic).set(topic in paused)
        self.consumer.resume(*(place for place in self.consumer.paused() if place.topic not in paused))

    def _is_wanted(self, record: Any) -> bool:
        return self.listener.wants(record.headers) or _why_unreadable(record) != ""

    def _message(self, record: Any) -> Message:
        place = {"partition": record.partition, "offset": record.offset}
        why = _why_unreadable(record)
        key, value, headers = record.key or b"", record.value or b"", record.headers
        size = len(key) + len(value) + sum(len(name) + len(content or b"") for name, content in headers)
        if size > self.of.settings.record_bytes:
            why = f"{size} bytes, more than {self.of.settings.record_bytes}"
        if why:
            return Message(record.topic, b"", b"", unreadable=why, **place)
        decoded = {name: (content or b"").decode("utf-8", "replace") for name, content in headers}
        return Message(record.topic, key, value, decoded, **place)


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


def _let_leave(consumer: AIOKafkaConsumer) -> None:
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
