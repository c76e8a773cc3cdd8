"""A message that the broker refuses for good is parked with what waits behind it, and everything else goes on."""

import asyncio
import json
import logging
from functools import partial

import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from services import cli
from shared.domain import topics
from shared.domain.records import Message
from shared.domain.topics import ServiceName
from shared.messaging import outbox
from shared.messaging.admin import config, create_topics, declared
from shared.messaging.parked import replay
from shared.messaging.producer import KafkaProducer, MessageRefused
from shared.runtime.settings import KafkaSettings
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.live import eventually
from tests.fixtures.relaying import Ledger, ids_of, relaying

LARGE = 1_000


def event(key: int, number: int, size: int = 10) -> Message:
    return Message("dsr.requests", str(key).encode(), b"x" * size, {"ce_id": f"{key}.{number}"})


async def publish(harness: Harness, *messages: Message) -> None:
    async with harness.unit_of_work.begin() as tx:
        await outbox.insert(tx.connection, messages)


async def parked(harness: Harness) -> list[tuple[str, str]]:
    rows = await harness.pool.fetch(
        "SELECT convert_from(headers, 'UTF8')::json->>'ce_id', reason FROM parked ORDER BY position"
    )
    return [(row[0], row[1]) for row in rows]


async def emptied(harness: Harness) -> None:
    await eventually(partial(harness.pool.fetchval, "SELECT NOT EXISTS (SELECT FROM outbox)"))


async def test_what_is_refused_is_parked_with_what_is_behind_it_and_the_others_go_out_in_order(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness, broker = await open_harness(), Ledger()
    broker.too_large = lambda message: len(message.value) >= LARGE
    said = [event(key, number) for number in range(20) for key in range(10)]
    said[73] = event(3, 7, LARGE)
    await publish(harness, *said)
    with caplog.at_level(logging.ERROR):
        async with relaying(harness, broker):
            await emptied(harness)
            await publish(harness, event(3, 20), event(4, 20))
            await emptied(harness)
    for key in range(10):
        went = dict.fromkeys(each for each in ids_of(broker.taken) if each.startswith(f"{key}."))
        assert [*went] == [f"{key}.{number}" for number in range(7 if key == 3 else 21 if key == 4 else 20)]
    behind = [(f"3.{number}", "behind") for number in range(8, 21)]
    assert await parked(harness) == [("3.7", "MessageSizeTooLargeError"), *behind]
    assert [record.message for record in caplog.records] == [
        "a message for dsr.requests is parked, since the broker refuses it: MessageSizeTooLargeError"
    ]


async def test_what_is_parked_is_shown_and_once_put_back_goes_out_at_its_place(
    open_harness: OpenHarness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    harness, broker = await open_harness(), Ledger()
    broker.too_large = lambda message: len(message.value) >= LARGE
    await publish(harness, event(1, 1, LARGE), event(1, 2), event(2, 1))

    async def dsr(*command: str) -> str:
        return (await asyncio.to_thread(CliRunner().invoke, cli.app, [*command])).output

    assert await dsr("parked", "list") == "nothing is parked\n"
    async with relaying(harness, broker):
        await emptied(harness)
        shown = json.loads(await dsr("parked", "list", "--json"))
        assert [(each["service"], each["topic"], each["reason"]) for each in shown] == [
            ("erasure", "dsr.requests", "MessageSizeTooLargeError"),
            ("erasure", "dsr.requests", "behind"),
        ]
        assert shown[0]["bytes"] > LARGE
        assert await dsr("parked", "replay", "erasure") == "erasure: 2 put back\n"
        await emptied(harness)
        assert len(await parked(harness)) == 2, "refused again, and parked again"

        broker.too_large = lambda _message: False
        await dsr("parked", "replay", "erasure")
        await publish(harness, event(1, 3))
        await emptied(harness)
        assert await dsr("parked", "replay", "erasure") == "erasure: 0 put back\n"
    assert await parked(harness) == []
    assert [*dict.fromkeys(each for each in ids_of(broker.taken) if each.startswith("1."))] == ["1.1", "1.2", "1.3"]


async def test_what_is_put_back_while_others_are_on_their_way_goes_before_what_was_behind_it(
    open_harness: OpenHarness, database: str
) -> None:
    """Both are put back after the relay has read that the second one is behind: it must not be parked alone."""
    harness, broker = await open_harness(), Ledger()
    broker.too_large = lambda message: len(message.value) >= LARGE
    await publish(harness, event(1, 1, LARGE))
    async with relaying(harness, broker):
        await emptied(harness)

        async def put_back() -> None:
            broker.meanwhile, broker.too_large = None, lambda _message: False
            await replay(database, ServiceName.ERASURE)

        broker.meanwhile = put_back
        await publish(harness, event(2, 1), event(1, 2))
        await emptied(harness)
    assert [*dict.fromkeys(each for each in ids_of(broker.taken) if each.startswith("1."))] == ["1.1", "1.2"]
    assert await parked(harness) == []


async def test_a_real_broker_takes_everything_but_what_is_above_its_limit(
    open_harness: OpenHarness, kafka_bootstrap: str
) -> None:
    harness = await open_harness()
    topic = f"test.limit.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [topic], partitions=1)
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    sizes = [10, 700_000, topics.MAX_BYTES, 700_000, 10, 20]
    await publish(
        harness, *(Message(topic, str(n).encode(), b"x" * size, {"n": str(n)}) for n, size in enumerate(sizes))
    )
    async with relaying(harness, producer):
        await emptied(harness)
        records = await read_topic(kafka_bootstrap, topic, 5)
    await producer.stop()
    assert [*dict.fromkeys(record.headers["n"] for record in records)] == ["0", "1", "3", "4", "5"]
    assert [reason for _, reason in await parked(harness)] == ["MessageSizeTooLargeError"]


async def test_nothing_overtakes_a_message_of_its_partition_that_is_refused(kafka_bootstrap: str) -> None:
    """A producer whose first batch is refused has nothing else on its way that the broker would take."""
    topic = f"test.order.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [topic], partitions=1)
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    large, small = Message(topic, b"a", b"x" * topics.MAX_BYTES, {"n": "0"}), Message(topic, b"b", b"x", {"n": "1"})
    with pytest.raises(MessageRefused, match="MessageSizeTooLargeError"):
        await producer.send([large, small])
    await producer.send([Message(topic, b"c", b"x", {"n": "2"})])
    records = await read_topic(kafka_bootstrap, topic, 1)
    await producer.stop()
    assert [record.headers["n"] for record in records] == ["2"]


async def test_a_dead_letter_of_the_largest_record_is_not_too_large(
    open_harness: OpenHarness, kafka_bootstrap: str
) -> None:
    """It says more than the record did, so its topic takes more."""
    assert {config(name)["max.message.bytes"] for name in declared()} == {2**20, 2**21}
    await create_topics(kafka_bootstrap, declared())
    harness = await open_harness()
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    largest = Message(
        topics.dead_letters(harness.unit_of_work.service), b"k", b"x" * topics.MAX_BYTES, {"n": "largest"}
    )
    await producer.send([largest])
    await producer.stop()
