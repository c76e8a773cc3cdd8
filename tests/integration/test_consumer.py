"""The consumer: batches in, offsets after the work; unfinished records are read again."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from shared.domain.topics import Message
from shared.messaging.admin import create_topics
from shared.messaging.consumer import Consumer
from shared.messaging.producer import KafkaProducer
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from tests.fixtures.hostile import CODECS, Headers, NoText, batch, packed, send_raw
from tests.fixtures.metrics import comes_to
from tests.fixtures.wire import JUNK


class Listener:
    """Keeps the batches that it consumes, each after it has done something else."""

    def __init__(self, before: Callable[[], Awaitable[object]] | None = None) -> None:
        self.batches: list[list[Message]] = []
        self._before, self._more = before, asyncio.Event()

    @property
    def records(self) -> list[Message]:
        """Returns all records, in order."""
        return [record for batch in self.batches for record in batch]

    @property
    def values(self) -> list[bytes]:
        """Returns their values."""
        return [record.value for record in self.records]

    async def consumed(self, number: int) -> None:
        """Returns once there are so many records."""
        async with asyncio.timeout(60):
            while len(self.records) < number:
                self._more.clear()
                await self._more.wait()

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Passes over a record with a header that is not ASCII."""
        return all(name.isascii() for name, _ in headers)

    async def handle(self, records: Sequence[Message]) -> Sequence[Message]:
        """Takes a batch."""
        if self._before:
            await self._before()
        self.batches.append(list(records))
        self._more.set()
        return ()

    async def paused_topics(self) -> Sequence[str]:
        """Pauses none."""
        return ()


@asynccontextmanager
async def consuming(
    listener: Listener, bootstrap: str, *topics: str, instance: str | None = None, **settings: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """Consumes these topics in a group named as the first; at the end commits and leaves."""
    stopping = asyncio.Event()
    consumer = Consumer(KafkaSettings.model_validate({"bootstrap": bootstrap, **settings}), topics[0], topics, instance)
    task = asyncio.create_task(consumer.run(listener, stopping, Heartbeats()))
    yield task
    stopping.set()
    async with asyncio.timeout(60):
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def topic(kafka_bootstrap: str) -> str:
    """A topic of this test alone."""
    name = f"test.consumer.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [name], partitions=2)
    return name


@pytest.fixture
async def producer(kafka_bootstrap: str) -> AsyncIterator[KafkaProducer]:
    """A producer that is closed afterwards."""
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    yield producer
    await producer.stop()


def messages(topic: str, numbers: range, key: Callable[[int], int] = lambda number: number % 7) -> list[Message]:
    return [Message(topic, str(key(n)).encode(), str(n).encode(), {**JUNK, "ce_id": str(n)}) for n in numbers]


async def test_records_are_consumed_in_order_per_key(kafka_bootstrap: str, topic: str, producer: KafkaProducer) -> None:
    await producer.send(messages(topic, range(2_000)))
    listener = Listener()
    async with consuming(listener, kafka_bootstrap, topic):
        await listener.consumed(2_000)
    assert len(listener.batches) <= 40
    assert max(len(batch) for batch in listener.batches) <= 500
    records = listener.records
    assert all(record.headers["ce_id"].encode() == record.value for record in records)
    for key in range(7):
        numbers = [int(record.value) for record in records if record.key == str(key).encode()]
        assert numbers == list(range(key, 2_000, 7))


async def test_lag_is_reported_until_consumed(kafka_bootstrap: str, topic: str, producer: KafkaProducer) -> None:
    stuck, go_on = asyncio.Event(), asyncio.Event()

    async def stand_still() -> None:
        stuck.set()
        await go_on.wait()

    listener = Listener(stand_still)
    async with consuming(listener, kafka_bootstrap, topic), asyncio.timeout(60):
        await producer.send(messages(topic, range(1)))
        await stuck.wait()
        await producer.send(messages(topic, range(1, 8)))
        assert await comes_to(7, "dsr_consumer_lag", service=topic, topic=topic)
        go_on.set()
        await listener.consumed(8)
        assert await comes_to(0, "dsr_consumer_lag", service=topic, topic=topic)


async def test_who_comes_back_by_its_name_does_not_wait_for_the_session_of_the_dead(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    await producer.send(messages(topic, range(10)))
    begun, heir = asyncio.Event(), Listener()

    async def never_end() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with consuming(Listener(never_end), kafka_bootstrap, topic, instance="me") as dying:
        await begun.wait()
        dying.cancel()
    async with consuming(heir, kafka_bootstrap, topic, instance="me"):
        await heir.consumed(10)
    assert sorted(heir.values, key=int) == [str(n).encode() for n in range(10)]


async def test_orderly_leave_hands_partitions_over_immediately(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    await producer.send(messages(topic, range(10)))
    first, other = Listener(), Listener()
    async with consuming(first, kafka_bootstrap, topic, instance="me"):
        await first.consumed(10)
    await producer.send(messages(topic, range(10, 11)))
    async with consuming(other, kafka_bootstrap, topic, instance="another"):
        await other.consumed(1)
    assert other.values == [b"10"]


async def test_missing_key_or_value_is_read_as_empty(kafka_bootstrap: str, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as foreign:
        await foreign.send_and_wait(topic, b"v", headers=[("ce_type", None), ("odd", b"\xff")], partition=0)
        await foreign.send_and_wait(topic, None, key=b"k", partition=0)
    listener = Listener()
    async with consuming(listener, kafka_bootstrap, topic):
        await listener.consumed(2)
    keyless, empty = listener.records
    assert (keyless.key, keyless.headers) == (b"", {"ce_type": "", "odd": "\N{REPLACEMENT CHARACTER}"})
    assert (empty.key, empty.value, empty.headers) == (b"k", b"", {})


async def test_a_topic_that_is_not_there_is_named_in_the_log(kafka_bootstrap: str) -> None:
    missing, said = f"dsr.tasks.{uuid7().hex}.replies", asyncio.Queue[str]()
    handler = logging.Handler()
    handler.emit = lambda record: said.put_nowait(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("shared.messaging.consumer").addHandler(handler)
    try:
        async with consuming(Listener(), kafka_bootstrap, missing), asyncio.timeout(60):
            line = await said.get()
    finally:
        logging.getLogger("shared.messaging.consumer").removeHandler(handler)
    assert missing in line
    assert "`dsr downstreams topics FILE --create`" in line


async def test_named_consumer_reads_a_topic_created_later(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    monkeypatch.setattr("shared.messaging.consumer._MADE_WITHIN_SECONDS", 1)
    later, listener = f"{topic}.later", Listener()
    await producer.send(messages(topic, range(1)))
    async with consuming(listener, kafka_bootstrap, topic, later, instance="me"):
        await listener.consumed(1)
        await create_topics(kafka_bootstrap, [later], partitions=2)
        await producer.send(messages(later, range(1, 2)))
        await listener.consumed(2)
    assert listener.values == [b"0", b"1"]


# One bad record costs one record: an unreadable one is reported with its place, and its neighbours are handled.
NOTHING: Headers = []
NO_TEXT: Headers = [(NoText("name"), b"value")]


async def read_by_group(bootstrap: str, topic: str, enough: int, **settings: Any) -> list[Message]:
    """Returns what a consumer hands over of a topic."""
    listener = Listener()
    async with consuming(listener, bootstrap, topic, **settings):
        await listener.consumed(enough)
    return listener.records


@pytest.fixture
async def single(kafka_bootstrap: str) -> str:
    """Creates a topic of this test alone with one partition."""
    await create_topics(kafka_bootstrap, [name := f"test.unreadable.{uuid7().hex}"], partitions=1)
    return name


BAD = {codec: ((packed(batch((b"bad", NOTHING)), codec),), f"a batch in the codec {codec}") for codec in CODECS} | {
    "header name": ((batch((b"bad", NO_TEXT)),), "a header name that is no text, or a length that is wrong"),
    "bomb": ((batch((bytes(4_000_000), NOTHING), gzip=True),), "a batch that unpacks to more than 1048576 bytes"),
    "oversize": ((batch((bytes(600_000), NOTHING)),), "600003 bytes, more than 500000"),
    "oversize header": ((batch((b"", [("traceparent", bytes(600_000))])),), "600014 bytes, more than 500000"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_unreadable_record_is_skipped_with_place_and_reason(kafka_bootstrap: str, single: str, kind: str) -> None:
    (bad, why), good = BAD[kind], batch((b"good", NOTHING))
    await send_raw(kafka_bootstrap, single, good, *bad, good)
    records = await read_by_group(kafka_bootstrap, single, 3, record_bytes=500_000, unpacked_bytes=1024 * 1024)
    assert [(record.partition, record.offset, record.value, record.unreadable) for record in records] == [
        (0, 0, b"good", ""),
        (0, 1, b"", why),
        (0, 2, b"good", ""),
    ]


@pytest.mark.parametrize("gzip", [False, True])
async def test_neighbours_in_its_batch_are_read(kafka_bootstrap: str, single: str, gzip: bool) -> None:  # noqa: FBT001
    five: list[tuple[bytes, Headers]] = [(b"%d" % n * 200, NO_TEXT if n in (1, 3) else NOTHING) for n in range(5)]
    await send_raw(kafka_bootstrap, single, batch(*five, gzip=gzip))
    records = await read_by_group(kafka_bootstrap, single, 5)
    assert [(record.offset, record.value[:1], bool(record.unreadable)) for record in records] == [
        (0, b"0", False),
        (1, b"", True),
        (2, b"2", False),
        (3, b"", True),
        (4, b"4", False),
    ]


async def test_it_is_not_read_again_by_the_next_member_of_the_group(kafka_bootstrap: str, single: str) -> None:
    await send_raw(kafka_bootstrap, single, batch((b"bad", NO_TEXT)), packed(batch((b"bad", NOTHING)), "zstd"))
    assert len(await read_by_group(kafka_bootstrap, single, 2)) == 2
    await send_raw(kafka_bootstrap, single, batch((b"good", NOTHING)))
    assert [record.value for record in await read_by_group(kafka_bootstrap, single, 1)] == [b"good"]


async def test_on_a_topic_of_replies_the_broker_unpacks_what_a_team_has_compressed(kafka_bootstrap: str) -> None:
    name = f"dsr.tasks.{uuid7().hex}.replies"
    await create_topics(kafka_bootstrap, [name], partitions=1)
    await send_raw(kafka_bootstrap, name, *(packed(batch((codec.encode(), NOTHING)), codec) for codec in CODECS))
    assert [record.value.decode() for record in await read_by_group(kafka_bootstrap, name, 3)] == list(CODECS)
