"""The consumer: batches in, offsets after the work; what was not finished is heard again."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from uuid_utils.compat import uuid7

from shared.domain.events import RequestVerified, TimerFired
from shared.domain.rights import Right
from shared.domain.topics import Message, ServiceName
from shared.messaging.admin import create_topics
from shared.messaging.consumer import Consumer
from shared.messaging.dead_letters import REPLAYED_FOR, paused_since, resume
from shared.messaging.producer import KafkaProducer
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from shared.storage.evidence import verify
from shared.storage.postgres import connected
from tests.fixtures.dispatching import (
    PERSONAL,
    Diary,
    as_sent,
    dead_letters,
    dispatcher,
    heard,
    noted,
    spoiled,
    unreadable,
    verified,
)
from tests.fixtures.engine import OpenHarness, SetClock
from tests.fixtures.events import a
from tests.fixtures.told import comes_to
from tests.fixtures.wire import JUNK

Handle = Callable[[Sequence[Message]], Awaitable[None]]


@dataclass
class Wanting:
    """Wants every record, and hands it to a function."""

    to: Handle

    def wants(self, _headers: object) -> bool:
        """Whatever it is."""
        return True

    async def handle(self, records: Sequence[Message]) -> Sequence[Message]:
        """Hands it on, and leaves nothing alone."""
        await self.to(records)
        return ()

    async def paused_topics(self) -> Sequence[str]:
        """None."""
        return ()


class Listener:
    """Keeps what it heard, and says when it has heard enough."""

    def __init__(self, enough: int) -> None:
        self.batches: list[list[Message]] = []
        self.done = asyncio.Event()
        self._enough = enough

    @property
    def values(self) -> list[bytes]:
        """Everything that was heard, in order."""
        return [record.value for batch in self.batches for record in batch]

    async def handle(self, records: Sequence[Message]) -> None:
        """Hears a batch."""
        self.batches.append(list(records))
        if len(set(self.values)) >= self._enough:
            self.done.set()


@asynccontextmanager
async def consuming(
    bootstrap: str, group: str, topic: str | Sequence[str], handle: Handle, instance: str | None = None
) -> AsyncIterator[None]:
    """A consumer of one topic or several at work; at the end it commits and leaves."""
    stopping = asyncio.Event()
    topics = [topic] if isinstance(topic, str) else topic
    consumer = Consumer(KafkaSettings(bootstrap=bootstrap), group, topics, instance)
    task = asyncio.create_task(consumer.run(Wanting(handle), stopping, Heartbeats()))
    yield
    stopping.set()
    async with asyncio.timeout(60):
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
    listener = Listener(2_000)
    async with consuming(kafka_bootstrap, topic, topic, listener.handle), asyncio.timeout(60):
        await listener.done.wait()
    assert len(listener.batches) <= 40
    assert max(len(batch) for batch in listener.batches) <= 500
    records = [record for batch in listener.batches for record in batch]
    assert all(record.headers["ce_id"].encode() == record.value for record in records)
    for key in range(7):
        numbers = [int(record.value) for record in records if record.key == str(key).encode()]
        assert numbers == list(range(key, 2_000, 7))


async def test_lag_is_reported_until_consumed(kafka_bootstrap: str, topic: str, producer: KafkaProducer) -> None:
    listener, stuck, go_on = Listener(8), asyncio.Event(), asyncio.Event()

    async def handle(records: Sequence[Message]) -> None:
        stuck.set()
        await go_on.wait()
        await listener.handle(records)

    async with consuming(kafka_bootstrap, topic, topic, handle), asyncio.timeout(60):
        await producer.send(messages(topic, range(1)))
        await stuck.wait()
        await producer.send(messages(topic, range(1, 8)))
        assert await comes_to(7, "dsr_consumer_lag", service=topic, topic=topic)
        go_on.set()
        await listener.done.wait()
        assert await comes_to(0, "dsr_consumer_lag", service=topic, topic=topic)


async def killed_at_work(bootstrap: str, topic: str, instance: str | None = None) -> None:
    """A consumer that ends in the middle of a batch; one with a name does not even leave its group."""
    begun, never = asyncio.Event(), asyncio.Event()

    async def die_at_it(_records: Sequence[Message]) -> None:
        begun.set()
        await never.wait()

    consumer = Consumer(KafkaSettings(bootstrap=bootstrap), topic, [topic], instance)
    dying = asyncio.create_task(consumer.run(Wanting(die_at_it), asyncio.Event(), Heartbeats()))
    async with asyncio.timeout(60):
        await begun.wait()
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying


async def test_who_comes_back_by_its_name_does_not_wait_for_the_session_of_the_dead(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    await producer.send(messages(topic, range(10)))
    await killed_at_work(kafka_bootstrap, topic, "me")
    heir = Listener(10)
    async with consuming(kafka_bootstrap, topic, topic, heir.handle, "me"), asyncio.timeout(60):
        await heir.done.wait()
    assert sorted(heir.values, key=int) == [str(n).encode() for n in range(10)]


async def test_who_leaves_in_order_leaves_its_part_to_others_at_once(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    await producer.send(messages(topic, range(10)))
    first, other = Listener(10), Listener(1)
    async with consuming(kafka_bootstrap, topic, topic, first.handle, "me"), asyncio.timeout(60):
        await first.done.wait()
    await producer.send(messages(topic, range(10, 11)))
    async with consuming(kafka_bootstrap, topic, topic, other.handle, "somebody else"), asyncio.timeout(60):
        await other.done.wait()
    assert other.values == [b"10"]


async def test_a_record_without_key_value_or_header_value_is_heard_as_empty(kafka_bootstrap: str, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as foreign:
        await foreign.send_and_wait(topic, b"v", headers=[("ce_type", None), ("odd", b"\xff")], partition=0)
        await foreign.send_and_wait(topic, None, key=b"k", partition=0)
    listener = Listener(2)
    async with consuming(kafka_bootstrap, topic, topic, listener.handle), asyncio.timeout(60):
        await listener.done.wait()
    keyless, empty = [record for batch in listener.batches for record in batch]
    assert (keyless.key, keyless.headers) == (b"", {"ce_type": "", "odd": "\N{REPLACEMENT CHARACTER}"})
    assert (empty.key, empty.value, empty.headers) == (b"k", b"", {})


async def test_a_topic_that_is_not_there_is_named_in_the_log(kafka_bootstrap: str) -> None:
    missing, said = f"dsr.tasks.{uuid7().hex}.replies", asyncio.Queue[str]()
    handler = logging.Handler()
    handler.emit = lambda record: said.put_nowait(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("shared.messaging.consumer").addHandler(handler)
    try:
        async with consuming(kafka_bootstrap, missing, missing, Listener(1).handle), asyncio.timeout(60):
            told = await said.get()
    finally:
        logging.getLogger("shared.messaging.consumer").removeHandler(handler)
    assert missing in told
    assert "`dsr downstreams topics FILE --create`" in told


async def test_who_has_a_name_hears_a_topic_that_is_made_later(
    kafka_bootstrap: str, topic: str, producer: KafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.messaging.consumer._SESSION_MS", 300_000)
    monkeypatch.setattr("shared.messaging.consumer._MADE_WITHIN_SECONDS", 1)
    later, first, second = f"{topic}.later", Listener(1), Listener(2)

    async def heard(records: Sequence[Message]) -> None:
        await first.handle(records)
        await second.handle(records)

    await producer.send(messages(topic, range(1)))
    async with consuming(kafka_bootstrap, topic, [topic, later], heard, "me"), asyncio.timeout(60):
        await first.done.wait()
        await create_topics(kafka_bootstrap, [later], partitions=2)
        await producer.send(messages(later, range(1, 2)))
        await second.done.wait()
    assert second.values == [b"0", b"1"]


# Above its limit of records that were set aside a topic is left alone, until somebody says so.
async def test_above_its_limit_of_dead_letters_a_topic_is_left_alone_and_others_are_not(
    open_harness: OpenHarness, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    harness, diary = await open_harness(), Diary()
    listener = dispatcher(harness, (RequestVerified, diary.begin), (TimerFired, diary.begin), limit=2)
    elsewhere = heard(a(TimerFired, right=Right.ERASURE))
    bad = [unreadable(offset=offset) for offset in range(5)]
    good = heard(verified())
    assert await listener.handle([*bad, good, elsewhere]) == [*bad[3:], good]
    assert (len(await dead_letters(harness)), await noted(harness)) == (3, 1)
    assert "it is paused: dsr consumers resume erasure dsr.requests" in caplog.text

    after_a_restart = dispatcher(harness, (RequestVerified, diary.begin), limit=2)
    assert await after_a_restart.paused_topics() == {"dsr.requests"}
    assert await after_a_restart.handle([good]) == [good]
    async with connected(database) as operator:
        assert [(each[0], each[1]) for each in await paused_since(operator)] == [("erasure", "dsr.requests")]
        assert [await resume(operator, ServiceName.ERASURE, "dsr.requests") for _ in range(2)] == [True, False]
    assert await after_a_restart.paused_topics() == set()
    assert await after_a_restart.handle([good]) == []
    assert await noted(harness) == 2


async def test_record_that_would_leak_into_evidence_is_parked_alone(open_harness: OpenHarness, database: str) -> None:
    harness, events = await open_harness(), [verified() for _ in range(5)]

    async def note(batch: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        for event in batch:
            said = PERSONAL if event.event_id == bad.event_id else "code"
            tx.log_evidence(event.request_id, "noted", {"said": said})

    bad = events[2]
    listener = dispatcher(harness, (RequestVerified, note))
    assert await listener.handle([heard(event) for event in events]) == []
    [letter] = await dead_letters(harness)
    assert UUID(json.loads(letter["value"])["request_id"]) == bad.request_id
    noted_of = await harness.pool.fetch("SELECT request_id, detail FROM evidence.entry ORDER BY seq")
    assert [row["request_id"] for row in noted_of] == [each.request_id for each in events if each is not bad]
    assert PERSONAL not in str(noted_of) + str(dict(letter))
    assert await verify(database) == {"erasure": None}


async def test_dead_letters_of_another_day_do_not_count(open_harness: OpenHarness, clock: SetClock) -> None:
    harness = await open_harness()
    listener = dispatcher(harness, limit=2)
    for _ in range(3):
        assert await listener.handle([unreadable(), unreadable()]) == []
        clock.pass_by(days=1)
    assert await listener.paused_topics() == set()


async def test_replayed_record_reaches_its_service_alone_and_is_not_parked_again(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    listener = dispatcher(harness, (RequestVerified, Diary().begin), limit=1)
    good, bad = heard(verified()), spoiled(verified())
    for service, wanted in ((ServiceName.ERASURE, True), (ServiceName.DEADLINE, False)):
        again = Message(good.topic, good.key, good.value, {**good.headers, REPLAYED_FOR: service})
        assert listener.wants(as_sent(again)) is wanted
    broken = [Message(bad.topic, bad.key, bad.value, {**bad.headers, REPLAYED_FOR: ServiceName.ERASURE})] * 5
    assert await listener.handle([*broken, good]) == []
    assert await noted(harness) == 1
    assert await dead_letters(harness) == []
    assert await listener.paused_topics() == frozenset()
