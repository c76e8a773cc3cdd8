"""The outbox: said in order, deleted only when the broker has it, and nothing lost when the broker dies."""

import asyncio

import pytest
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from shared.domain.events import RequestWithdrawn
from shared.domain.records import Message
from shared.domain.rights import Right
from shared.messaging import outbox
from shared.messaging.admin import create_topics
from shared.messaging.producer import KafkaProducer
from shared.runtime.settings import KafkaSettings
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import OpenHarness
from tests.fixtures.events import a
from tests.fixtures.relaying import Ledger, ids_of, relaying, said
from tests.fixtures.told import Count


async def test_what_is_published_is_sent_in_order_and_deleted(open_harness: OpenHarness) -> None:
    harness, broker = await open_harness(), Ledger()
    relayed = Count("dsr_outbox_relayed_total", service=harness.unit_of_work.service)
    before = await said(harness, [uuid7() for _ in range(20)])
    async with relaying(harness, broker):
        after = await said(harness, [uuid7() for _ in range(20)])
    assert ids_of(broker.taken) == before + after
    assert relayed.added == 40
    assert await harness.outbox() == []


async def test_nothing_is_said_of_what_was_rolled_back(open_harness: OpenHarness) -> None:
    harness, broker = await open_harness(), Ledger()

    async def fail() -> None:
        async with harness.unit_of_work.begin() as tx:
            tx.publish(a(RequestWithdrawn, right=Right.ERASURE))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with relaying(harness, broker):
        pass
    assert broker.taken == []


@pytest.mark.parametrize("fault", ["refuses", "forgets_to_answer"])
async def test_unacknowledged_message_is_sent_again_unchanged(open_harness: OpenHarness, fault: str) -> None:
    harness, broker = await open_harness(), Ledger()
    setattr(broker, fault, True)
    ids = await said(harness, [uuid7() for _ in range(3)])
    async with relaying(harness, broker):
        await broker.got_some.wait()
    assert len(await harness.outbox()) == 3
    setattr(broker, fault, False)
    async with relaying(harness, broker):
        pass
    heard = ids_of(broker.taken)
    assert list(dict.fromkeys(heard)) == ids
    assert (len(heard) > len(ids)) == (fault == "forgets_to_answer")
    assert await harness.outbox() == []


async def test_one_relay_works_and_another_takes_over(open_harness: OpenHarness) -> None:
    first, second = await open_harness(), await open_harness()
    led, spare = Ledger(), Ledger()
    async with relaying(first, led):
        await said(first, [uuid7()])
        await led.got_some.wait()
        async with relaying(second, spare):
            await said(first, [uuid7() for _ in range(50)])
    assert (len(led.taken), len(spare.taken)) == (51, 0)
    async with relaying(second, spare):
        await said(first, [uuid7()])
    assert len(spare.taken) == 1


async def test_stopping_relay_does_not_wait_for_new_messages(open_harness: OpenHarness) -> None:
    harness, broker = await open_harness(), Ledger()

    async def say_one_more() -> None:
        await said(harness, [uuid7()])

    broker.meanwhile = say_one_more
    before = await said(harness, [uuid7() for _ in range(5)])
    async with asyncio.timeout(60), relaying(harness, broker):
        await broker.got_some.wait()
    assert ids_of(broker.taken)[:5] == before
    assert len(await harness.outbox()) == 1


async def test_messages_bigger_than_a_batch_are_not_lost(open_harness: OpenHarness, kafka_bootstrap: str) -> None:
    harness = await open_harness()
    topic = f"test.big.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [topic], partitions=1)
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    async with harness.unit_of_work.begin() as tx:
        big = [Message(topic, b"k", bytes([number]) * 700_000, {"n": str(number)}) for number in range(6)]
        await outbox.insert(tx.connection, big)
    async with relaying(harness, producer):
        records = await read_topic(kafka_bootstrap, topic, 6)
    await producer.stop()
    assert [(record.headers["n"], len(record.value)) for record in records] == [(str(n), 700_000) for n in range(6)]


async def test_killed_broker_loses_and_reorders_nothing(open_harness: OpenHarness, broker: Kafka) -> None:
    harness = await open_harness()
    topic = "dsr.requests"
    await create_topics(broker.bootstrap, [topic], partitions=4)
    producer = KafkaProducer(KafkaSettings(bootstrap=broker.bootstrap))
    requests = [uuid7() for _ in range(10)]
    async with relaying(harness, producer):
        ids = await said(harness, requests * 10)
        await asyncio.to_thread(broker.kill)
        ids += await said(harness, requests * 10)
        await asyncio.to_thread(broker.start)
        ids += await said(harness, requests * 10)
        records = await read_topic(broker.bootstrap, topic, len(ids))
    await producer.stop()
    assert await harness.outbox() == []
    order = {event: number for number, event in enumerate(ids)}
    for request in requests:
        heard = dict.fromkeys(r.headers["ce_id"] for r in records if r.key == str(request).encode())
        assert [order[event] for event in heard] == [n for n in range(300) if n % 10 == requests.index(request)]
