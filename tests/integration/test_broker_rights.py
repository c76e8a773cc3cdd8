"""The broker lets a service hear and say what the manifests give its user, and nothing else; on a real authorizer."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from deploy.local.kafka import ADMIN
from services.commands.systems import make
from shared.domain import topics
from shared.domain.operations import Operation
from shared.domain.topics import TOPIC_ACCESS, Message, ServiceName, Topic
from shared.domain.user_events import read_emitters
from shared.messaging.admin import declared
from shared.messaging.producer import BusAway, KafkaProducer
from tests.fixtures.guarded import Guarded, guarded_broker
from tests.fixtures.wire import JUNK

SYSTEM = "billing"
"""A team that erases its own store."""


@pytest.fixture(scope="module")
def guarded(run_folder: Path) -> Iterator[Guarded]:
    with guarded_broker(run_folder / "guarded", {SYSTEM: [Operation.ERASE, Operation.EXPORT]}) as broker:
        yield broker


@pytest.fixture(scope="module")
def full(guarded: Guarded) -> Guarded:
    """The same, with a record on every topic, put there by who may do all."""

    async def fill() -> None:
        admin = KafkaProducer(guarded.as_user(ADMIN))
        await admin.start()
        await admin.send([Message(topic, b"key", b"value", JUNK) for topic in declared([SYSTEM])])
        await admin.stop()

    asyncio.run(fill())
    return guarded


@pytest.fixture
async def producer(guarded: Guarded, request: pytest.FixtureRequest) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(guarded.as_user(f"dsr-{request.param}"))
    await made.start()
    yield made
    given_up = [task for task in asyncio.all_tasks() if "_retire" in repr(task.get_coro())]
    await asyncio.gather(*given_up)  # a refusal ends a producer; a cancelled one would leave a connection
    await made.stop()


async def can_read(guarded: Guarded, user: str, group: str, topic: str) -> bool:
    """Whether that user can read the topic as a member of the group."""
    consumer: Any = AIOKafkaConsumer(
        topic, group_id=group, auto_offset_reset="earliest", **guarded.as_user(user).client()
    )
    try:
        await consumer.start()
        async with asyncio.timeout(60):
            await consumer.getone()
    except (TopicAuthorizationFailedError, GroupAuthorizationFailedError):
        return False
    finally:
        await consumer.stop()
    return True


@pytest.mark.parametrize(("producer", "name"), [(name, name) for name in ServiceName], indirect=["producer"])
async def test_service_publishes_its_own_events_alone(producer: KafkaProducer, name: ServiceName) -> None:
    writers: dict[str, ServiceName | None] = {topic: access.writer for topic, access in TOPIC_ACCESS.items()}
    writers |= {topics.STATUS: ServiceName.INTAKE, topics.user_events("selfcare"): None}
    for topic, writer in writers.items():
        message = Message(topic, b"key", b"value", JUNK)
        if name is writer:
            await producer.send([message])
        else:
            with pytest.raises(BusAway) as refused:
                await producer.send([message])
            assert isinstance(refused.value.__cause__, KafkaError)


@pytest.mark.parametrize("producer", ["emitter-numbering"], indirect=True)
async def test_an_emitter_says_what_is_its_own_and_nothing_else(producer: KafkaProducer) -> None:
    await producer.send([Message(topics.user_events("numbering"), b"", b"value", JUNK)])
    with pytest.raises(BusAway) as refused:
        await producer.send([Message(topics.user_events("selfcare"), b"", b"value", JUNK)])
    assert isinstance(refused.value.__cause__, TopicAuthorizationFailedError)


@pytest.mark.parametrize("service", ServiceName)
async def test_service_reads_only_its_own_topics(full: Guarded, service: ServiceName) -> None:
    user = f"dsr-{service}"
    readable = {topic for topic in declared([SYSTEM]) if await can_read(full, user, service, topic)}
    expected: set[str] = {topic for topic, access in TOPIC_ACCESS.items() if service in access.readers}
    expected.add(topics.dead_letters(service))
    if service in {
        ServiceName.ERASURE,
        ServiceName.EXPORT,
    }:  # the service that asks a team reads its answers in another group
        assert await can_read(full, user, f"{service}-replies", topics.replies(SYSTEM))
        expected.add(topics.replies(SYSTEM))
    if service is ServiceName.INTAKE:
        assert await can_read(full, user, topics.user_events_group("selfcare"), topics.user_events("selfcare"))
        expected |= {topics.user_events(emitter) for emitter in read_emitters()}
    assert readable == expected


async def test_status_reader_reads_only_the_status_topic(full: Guarded) -> None:
    user = "dsr-status-reader"
    assert {topic for topic in declared([SYSTEM]) if await can_read(full, user, user, topic)} == {topics.STATUS}


async def test_team_reads_only_its_tasks(full: Guarded) -> None:
    user, group = f"dsr-team-{SYSTEM}", f"team-{SYSTEM}"
    readable = {topic for topic in declared([SYSTEM]) if await can_read(full, user, group, topic)}
    assert readable == {topics.tasks(SYSTEM)}


async def test_no_service_reads_in_the_group_of_another(full: Guarded) -> None:
    assert not await can_read(full, "dsr-erasure", "export", Topic.REQUESTS)
    assert not await can_read(full, "dsr-export", "erasure", Topic.REQUESTS)


async def test_topics_and_rights_of_a_team_are_created_idempotently(guarded: Guarded) -> None:
    teams = {SYSTEM: {Operation.ERASE, Operation.EXPORT}, "shop": {Operation.ERASE}}
    admin = guarded.as_user(ADMIN)
    assert await make(admin, teams, 1, 1) == (["dsr.tasks.shop", "dsr.tasks.shop.replies"], True)
    assert await make(admin, teams, 1, 1) == ([], True)
    erasure = KafkaProducer(guarded.as_user("dsr-erasure"))
    await erasure.start()
    await erasure.send([Message(topics.tasks("shop"), b"key", b"value", JUNK)])
    await erasure.stop()
