"""A topic with too many dead letters is paused until an operator resumes it; what was set aside can be replayed."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
from typer.testing import CliRunner

from deploy.local.kafka import Kafka
from services import cli
from shared.domain.errors import IllegalTransition
from shared.domain.events import RequestVerified, type_of
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging import dead_letters, outbox
from shared.messaging.admin import create_topics, declared
from shared.messaging.consumer import Consumer
from shared.messaging.dispatcher import Dispatcher, Subscription
from shared.messaging.outbox import Relay
from shared.messaging.producer import KafkaProducer
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import DUE, TRACING, Harness, OpenHarness
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.told import comes_to


def record(topic: str) -> Message:
    """An event on that topic."""
    said = outbox.message(a(RequestVerified, right=Right.ERASURE, due_on=DUE), ServiceName.INTAKE, None)
    return Message(topic, said.key, said.value, said.headers)


class Notes:
    """A handler that leaves a row of evidence for each event, and breaks on some until it is corrected."""

    def __init__(self, *breaks_on: Message) -> None:
        self.breaks_on = {RequestVerified.model_validate_json(each.value).event_id for each in breaks_on}

    async def note(self, events: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        """Notes them all, or breaks."""
        for event in events:
            tx.log_evidence(event.request_id, "noted", {})
            if event.event_id in self.breaks_on:
                raise IllegalTransition


async def noted(harness: Harness, wanted: int) -> None:
    """Returns when so many were noted."""
    await eventually(partial(harness.pool.fetchval, "SELECT count(*) >= $1 FROM evidence.entry", wanted))


@asynccontextmanager
async def consuming(
    harness: Harness, settings: KafkaSettings, topics: Sequence[str], notes: Notes
) -> AsyncIterator[Heartbeats]:
    """A service that hears those topics, with its relay."""
    stopping, heartbeats = asyncio.Event(), Heartbeats()
    subscriptions = {type_of(RequestVerified): [Subscription(RequestVerified, notes.note, None)]}
    dispatcher = Dispatcher(subscriptions, harness.unit_of_work, TRACING, settings.dead_letters_a_day, heartbeats)
    producer = KafkaProducer(settings)
    service = harness.unit_of_work.service
    relay = Relay(harness.pool, service, producer.send, harness.unit_of_work.relay_wakeup)
    tasks = [
        asyncio.create_task(Consumer(settings, f"group.{topics[0]}", topics).run(dispatcher, stopping, heartbeats)),
        asyncio.create_task(relay.run(stopping, heartbeats)),
    ]
    try:
        yield heartbeats
    finally:
        stopping.set()
        await asyncio.gather(*tasks)
        await producer.stop()


def dsr(words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli.app, words.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


async def test_a_topic_is_paused_and_resumed_and_its_dead_letters_are_replayed_without_a_second_effect(
    broker: Kafka, open_harness: OpenHarness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_KAFKA_BOOTSTRAP", broker.bootstrap)
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    poisoned, other = topics = ("test.paused.a", "test.paused.b")
    harness = await open_harness()
    settings = KafkaSettings(bootstrap=broker.bootstrap, dead_letters_a_day=2)
    await create_topics(broker.bootstrap, topics, partitions=1)
    await create_topics(broker.bootstrap, declared())
    of_poisoned = {"service": f"group.{poisoned}", "topic": poisoned}
    producer, letters = KafkaProducer(settings), [record(poisoned) for _ in range(3)]
    await producer.send([record(poisoned), *letters, *(record(poisoned) for _ in range(4))])

    async with consuming(harness, settings, topics, Notes(*letters)) as heartbeats:
        assert await comes_to(1, "dsr_topic_paused", **of_poisoned)
        await producer.send([record(other)])
        await noted(harness, 2)
        assert await comes_to(4, "dsr_consumer_lag", **of_poisoned)
        assert heartbeats.stalled() == []
    async with consuming(harness, settings, topics, Notes()):
        assert await comes_to(1, "dsr_topic_paused", **of_poisoned)
        assert f"erasure has paused {poisoned} since" in await asyncio.to_thread(dsr, "consumers paused")
        resume = f"consumers resume erasure {poisoned}"
        assert [await asyncio.to_thread(dsr, resume) for _ in range(2)] == [
            f"erasure reads {poisoned} again\n",
            f"erasure had not paused {poisoned}\n",
        ]
        await noted(harness, 6)
        assert await comes_to(0, "dsr_topic_paused", **of_poisoned)

        await read_topic(broker.bootstrap, "dsr.dead-letters.erasure", 3)
        told = await asyncio.to_thread(dsr, "dead-letters list erasure --json")
        listed = sorted((each["topic"], each["place"], each["reason"]) for each in map(json.loads, told.splitlines()))
        assert listed == [(poisoned, f"0:{offset}", "illegal_transition") for offset in (1, 2, 3)]
        assert [await asyncio.to_thread(dsr, "dead-letters replay erasure") for _ in range(2)] == ["3 sent again\n"] * 2
        await producer.send([record(poisoned)])
        await noted(harness, 10)
    assert await harness.pool.fetchval("SELECT count(*) FROM evidence.entry") == 10
    await producer.stop()


async def test_a_topic_with_much_junk_is_resumed_once_for_all_of_it_and_paused_by_the_next(
    open_harness: OpenHarness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    harness = await open_harness()

    async def set_aside(number: int) -> list[bool]:
        async with harness.unit_of_work.begin() as tx:
            return [await dead_letters.count(tx, "user.events.shop", 2) for _ in range(number)]

    assert await set_aside(3) == [False, False, True]
    await asyncio.to_thread(dsr, "consumers resume erasure user.events.shop --besides 20")
    assert await set_aside(23) == [False] * 22 + [True]
    await asyncio.to_thread(dsr, "consumers resume erasure user.events.shop")
    assert await set_aside(3) == [False, False, True]
