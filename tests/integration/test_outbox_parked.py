"""A message that the broker refuses for good is parked with what waits behind it, and everything else goes on."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from services.cli import main
from shared.domain import topics
from shared.domain.errors import IllegalTransition
from shared.domain.events import RequestVerified, type_of
from shared.domain.rights import Right
from shared.domain.topics import Message, ServiceName
from shared.messaging import dead_letters, outbox
from shared.messaging.admin import config, create_topics, declared
from shared.messaging.consumer import Consumer
from shared.messaging.dispatcher import Dispatcher, Subscription
from shared.messaging.outbox import Relay
from shared.messaging.parked import replay
from shared.messaging.producer import KafkaProducer, MessageRefused
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from shared.storage import leader_lease
from shared.storage.postgres import PostgresSettings, connect_pool
from tests.fixtures.brokers import read_topic
from tests.fixtures.dispatching import Diary, record_of, verified
from tests.fixtures.engine import TRACING, Harness, OpenHarness
from tests.fixtures.live import eventually
from tests.fixtures.metrics import Count, comes_to
from tests.fixtures.relaying import Ledger, ids_of, relaying, said
from tests.fixtures.wire import JUNK
from tests.fixtures.wiretap import wiretap

LARGE = 1_000


def event(key: int, number: int, size: int = 10) -> Message:
    return Message("dsr.requests", str(key).encode(), b"x" * size, {**JUNK, "ce_id": f"{key}.{number}"})


async def publish(harness: Harness, *messages: Message) -> None:
    async with harness.unit_of_work.begin() as tx:
        await outbox.insert(tx.connection, messages)


async def parked(harness: Harness) -> list[tuple[str, str]]:
    rows = await harness.pool.fetch(
        "SELECT convert_from(headers, 'UTF8')::json->>'ce_id', reason FROM parked ORDER BY position"
    )
    return [(row[0], row[1]) for row in rows]


async def dsr(words: str) -> str:
    """Returns what a command prints."""
    result = await asyncio.to_thread(CliRunner().invoke, main.app, words.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


async def emptied(harness: Harness) -> None:
    await eventually(partial(harness.pool.fetchval, "SELECT NOT EXISTS (SELECT FROM outbox)"))


async def test_rejected_message_parks_its_key(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    broker = Ledger()
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
    harness: Harness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    broker = Ledger()
    broker.too_large = lambda message: len(message.value) >= LARGE
    await publish(harness, event(1, 1, LARGE), event(1, 2), event(2, 1))

    assert await dsr("parked list") == "nothing is parked\n"
    async with relaying(harness, broker):
        await emptied(harness)
        shown = json.loads(await dsr("parked list --json"))
        assert [(each["service"], each["topic"], each["reason"]) for each in shown] == [
            ("erasure", "dsr.requests", "MessageSizeTooLargeError"),
            ("erasure", "dsr.requests", "behind"),
        ]
        assert shown[0]["bytes"] > LARGE
        assert await dsr("parked replay erasure") == "erasure: 2 put back\n"
        await emptied(harness)
        assert len(await parked(harness)) == 2, "refused again, and parked again"

        broker.too_large = lambda _message: False
        await dsr("parked replay erasure")
        await publish(harness, event(1, 3))
        await emptied(harness)
        assert await dsr("parked replay erasure") == "erasure: 0 put back\n"
    assert await parked(harness) == []
    assert [*dict.fromkeys(each for each in ids_of(broker.taken) if each.startswith("1."))] == ["1.1", "1.2", "1.3"]


async def test_unparked_message_precedes_later_ones_of_its_key(harness: Harness, database: str) -> None:
    """Both are put back after the relay has read that the second one is behind: it must not be parked alone."""
    broker = Ledger()
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


async def test_broker_accepts_everything_below_its_limit(harness: Harness, kafka_bootstrap: str) -> None:
    topic = f"test.limit.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [topic], partitions=1)
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    sizes = [10, 700_000, topics.MAX_BYTES, *[700_000] * 5, 10, 20]
    await publish(
        harness, *(Message(topic, str(n).encode(), b"x" * size, {"n": str(n)}) for n, size in enumerate(sizes))
    )
    async with relaying(harness, producer):
        await emptied(harness)
        records = await read_topic(kafka_bootstrap, topic, 9)
    await producer.stop()
    expected = {str(n): size for n, size in enumerate(sizes) if size < topics.MAX_BYTES}
    assert [*{each.headers["n"]: len(each.value) for each in records}.items()] == [*expected.items()]
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


async def test_dead_letter_of_the_largest_record_fits(harness: Harness, kafka_bootstrap: str) -> None:
    """A dead letter holds more than its record, so its topic accepts larger records."""
    assert {config(name)["max.message.bytes"] for name in declared()} == {2**20, 2**21}
    await create_topics(kafka_bootstrap, declared())
    producer = KafkaProducer(KafkaSettings(bootstrap=kafka_bootstrap))
    largest = Message(
        topics.dead_letters(harness.unit_of_work.service), b"k", b"x" * topics.MAX_BYTES, {**JUNK, "n": "largest"}
    )
    await producer.send([largest])
    await producer.stop()


# The relay's leader lease: another takes over from a stalled leader, and a sleeper's late work has no effect.
SOON = timedelta(seconds=0.5)


async def test_relay_that_sleeps_in_a_send_repeats_at_most(open_harness: OpenHarness) -> None:
    asleep, awake = await open_harness(), await open_harness()
    sleeper, follower, wakes = Ledger(), Ledger(), asyncio.Event()

    async def sleep() -> None:
        await wakes.wait()

    sleeper.meanwhile = sleep
    ids = await said(asleep, [uuid7() for _ in range(5)])
    async with relaying(asleep, sleeper, SOON):
        await sleeper.got_some.wait()
        async with relaying(awake, follower, SOON):
            ids += await said(awake, [uuid7() for _ in range(5)])
            await emptied(awake)
            wakes.set()
    assert ids_of(sleeper.taken) == ids[:5]
    assert ids_of(follower.taken) == ids
    assert await awake.outbox() == []


async def test_a_standby_notifies_the_process_that_relays(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_POLL_SECONDS", 600)
    relays, standby = await open_harness(), await open_harness()
    holder, idle = Ledger(), Ledger()
    async with relaying(relays, holder, timedelta(hours=1)):
        await eventually(partial(relays.pool.fetchval, "SELECT EXISTS (SELECT FROM lease)"))
        async with relaying(standby, idle):
            ids = await said(standby, [uuid7()])
            await emptied(standby)
    assert (ids_of(holder.taken), idle.taken) == (ids, [])
    async with relaying(standby, idle):
        assert await said(standby, [uuid7()])
    assert len(idle.taken) == 1, "the turn of the other has ended with its process"


async def test_who_loses_its_turn_between_send_and_delete_deletes_nothing(harness: Harness) -> None:
    broker = Ledger()

    async def lose() -> None:
        broker.meanwhile = None
        async with harness.pool.acquire() as connection:
            await leader_lease.revoke(connection, outbox.RELAY)

    broker.meanwhile = lose
    ids = await said(harness, [uuid7() for _ in range(3)])
    async with relaying(harness, broker):
        await emptied(harness)
    assert ids_of(broker.taken) == ids * 2, "not deleted by the turn that was lost, so sent again by the next"


async def test_a_turn_is_one_s_until_it_is_over_and_its_token_only_grows(harness: Harness) -> None:
    async with harness.pool.acquire() as connection:
        first = await leader_lease.acquire(connection, "sweep", timedelta(minutes=1))
        assert await leader_lease.acquire(connection, "sweep", SOON) is None
        assert await leader_lease.acquire(connection, "another", SOON) is not None
        assert first is not None
        await first.release(connection)
        second = await leader_lease.acquire(connection, "sweep", SOON)
        assert second is not None
        await leader_lease.revoke(connection, "sweep")
        third = await leader_lease.acquire(connection, "sweep", SOON)
    assert third is not None
    assert first.token < second.token < third.token


async def test_sends_that_outlast_a_turn_become_smaller_until_they_do_not(harness: Harness) -> None:
    broker, sent = Ledger(), [0]

    async def lose_unless_small() -> None:
        size, sent[0] = len(broker.taken) - sent[0], len(broker.taken)
        if size > 4:
            async with harness.pool.acquire() as connection:
                await leader_lease.revoke(connection, outbox.RELAY)

    broker.meanwhile = lose_unless_small
    ids = await said(harness, [uuid7() for _ in range(16)])
    async with relaying(harness, broker):
        await emptied(harness)
    assert list(dict.fromkeys(ids_of(broker.taken))) == ids
    assert len(broker.taken) < 100, "halves of halves, and not one by one for ever"


async def test_relay_with_a_dead_connection_reconnects(harness: Harness, database: str) -> None:
    broker = Ledger()
    async with wiretap(database) as wire, AsyncExitStack() as stack:
        pool = await connect_pool(PostgresSettings(dsn=wire.url), ServiceName.ERASURE)
        stack.callback(pool.terminate)
        own = harness.unit_of_work
        far = Harness(UnitOfWorkFactory(pool, own.service, own.clock, own.vault), harness.fulfilments, [])
        async with relaying(far, broker, SOON):
            ids = await said(harness, [uuid7()])
            await emptied(harness)
            wire.fall_silent()
            ids += await said(harness, [uuid7()])
            await emptied(harness)
    assert list(dict.fromkeys(ids_of(broker.taken))) == ids


async def test_broker_outage_is_logged_once(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    broker = Ledger()
    broker.refuses = True
    await said(harness, [uuid7()])
    async with relaying(harness, broker):
        for _ in range(3):
            await broker.got_some.wait()
            broker.got_some.clear()
        broker.refuses = False
        await emptied(harness)
    logged = [each.getMessage() for each in caplog.records if each.name == "shared.messaging.outbox"]
    assert logged == ["outbox relay paused error=BusAway", "outbox relay resumed after=BusAway"]


# A topic with too many dead letters is paused until an operator resumes it; what was set aside can be replayed.
async def noted(harness: Harness, wanted: int) -> None:
    """Returns when so many were noted."""
    await eventually(partial(harness.pool.fetchval, "SELECT count(*) >= $1 FROM evidence.entry", wanted))


@asynccontextmanager
async def consuming(
    harness: Harness, settings: KafkaSettings, topics: Sequence[str], diary: Diary
) -> AsyncIterator[Heartbeats]:
    """Runs a service that reads those topics, with its relay."""
    stopping, heartbeats = asyncio.Event(), Heartbeats()
    subscriptions = {type_of(RequestVerified): [Subscription(RequestVerified, diary.begin, None)]}
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


async def test_a_topic_is_paused_and_resumed_and_its_dead_letters_are_replayed_without_a_second_effect(
    broker: Kafka, harness: Harness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_KAFKA_BOOTSTRAP", broker.bootstrap)
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    poisoned, other = topics = ("test.paused.a", "test.paused.b")
    monkeypatch.setattr(RequestVerified, "topics", {Right.ERASURE: poisoned, Right.ACCESS: other})
    settings = KafkaSettings(bootstrap=broker.bootstrap, dead_letters_a_day=2)
    await create_topics(broker.bootstrap, topics, partitions=1)
    await create_topics(broker.bootstrap, declared())
    of_poisoned = {"service": f"group.{poisoned}", "topic": poisoned}
    producer, diary, bad = KafkaProducer(settings), Diary(), [verified() for _ in range(3)]
    diary.breaks_on = lambda event: IllegalTransition() if event in bad else None
    await producer.send([record_of(each) for each in (verified(), *bad, *(verified() for _ in range(4)))])

    async with consuming(harness, settings, topics, diary) as heartbeats:
        assert await comes_to(1, "dsr_topic_paused", **of_poisoned)
        await producer.send([record_of(verified(Right.ACCESS))])
        await noted(harness, 2)
        assert await comes_to(4, "dsr_consumer_lag", **of_poisoned)
        assert heartbeats.stalled() == []
    async with consuming(harness, settings, topics, Diary()):
        assert await comes_to(1, "dsr_topic_paused", **of_poisoned)
        assert f"erasure has paused {poisoned} since" in await dsr("consumers paused")
        resume = f"consumers resume erasure {poisoned}"
        assert [await dsr(resume) for _ in range(2)] == [
            f"erasure reads {poisoned} again\n",
            f"erasure had not paused {poisoned}\n",
        ]
        await noted(harness, 6)
        assert await comes_to(0, "dsr_topic_paused", **of_poisoned)

        await read_topic(broker.bootstrap, "dsr.dead-letters.erasure", 3)
        output = await dsr("dead-letters list erasure --json")
        listed = sorted((each["topic"], each["place"], each["reason"]) for each in map(json.loads, output.splitlines()))
        assert listed == [(poisoned, f"0:{offset}", "illegal_transition") for offset in (1, 2, 3)]
        assert [await dsr("dead-letters replay erasure") for _ in range(2)] == ["3 sent again\n"] * 2
        await producer.send([record_of(verified())])
        await noted(harness, 10)
    assert await harness.pool.fetchval("SELECT count(*) FROM evidence.entry") == 10
    await producer.stop()


async def test_a_topic_with_much_junk_is_resumed_once_for_all_of_it_and_paused_by_the_next(
    harness: Harness, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)

    async def set_aside(number: int) -> list[bool]:
        async with harness.unit_of_work.begin() as tx:
            return [await dead_letters.count(tx, "user.events.shop", 2) for _ in range(number)]

    assert await set_aside(3) == [False, False, True]
    await dsr("consumers resume erasure user.events.shop --extra 20")
    assert await set_aside(23) == [False] * 22 + [True]
    await dsr("consumers resume erasure user.events.shop")
    assert await set_aside(3) == [False, False, True]


# The outbox: said in order, deleted only when the broker has it, and nothing lost when the broker dies.
async def test_what_is_published_is_sent_in_order_and_deleted(harness: Harness) -> None:
    broker = Ledger()
    relayed = Count("dsr_outbox_relayed_total", service=harness.unit_of_work.service)
    before = await said(harness, [uuid7() for _ in range(20)])
    async with relaying(harness, broker):
        after = await said(harness, [uuid7() for _ in range(20)])
    assert ids_of(broker.taken) == before + after
    assert relayed.added == 40
    assert await harness.outbox() == []


@pytest.mark.parametrize("fault", ["refuses", "forgets_to_answer"])
async def test_unacknowledged_message_is_sent_again_unchanged(harness: Harness, fault: str) -> None:
    broker = Ledger()
    setattr(broker, fault, True)
    ids = await said(harness, [uuid7() for _ in range(3)])
    async with relaying(harness, broker):
        await broker.got_some.wait()
    assert len(await harness.outbox()) == 3
    setattr(broker, fault, False)
    async with relaying(harness, broker):
        pass
    received = ids_of(broker.taken)
    assert list(dict.fromkeys(received)) == ids
    assert (len(received) > len(ids)) == (fault == "forgets_to_answer")
    assert await harness.outbox() == []


async def test_stopping_relay_does_not_wait_for_new_messages(harness: Harness) -> None:
    broker = Ledger()

    async def say_one_more() -> None:
        await said(harness, [uuid7()])

    broker.meanwhile = say_one_more
    before = await said(harness, [uuid7() for _ in range(5)])
    async with asyncio.timeout(60), relaying(harness, broker):
        await broker.got_some.wait()
    assert ids_of(broker.taken)[:5] == before
    assert len(await harness.outbox()) == 1


async def test_killed_broker_loses_and_reorders_nothing(harness: Harness, broker: Kafka) -> None:
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
        received = dict.fromkeys(r.headers["ce_id"] for r in records if r.key == str(request).encode())
        assert [order[event] for event in received] == [n for n in range(300) if n % 10 == requests.index(request)]
