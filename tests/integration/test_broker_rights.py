"""The broker lets a service hear and say what the manifests give its user, and nothing else; on a real authorizer."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import CreateAclsRequest

from deploy import k8s_documents
from deploy.local.kafka import ADMIN, Kafka
from shared.bus.access import Access, access
from shared.bus.producer import BusAway, KafkaProducer
from shared.bus.records import Message
from shared.bus.topics import STREETS, ServiceName, Topic
from shared.settings import KafkaSettings

RESOURCES = {"topic": 2, "group": 3}
OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8}
LITERAL, ALLOW = 3, 3
"""Kafka's own numbers, for its protocol."""


@dataclass(frozen=True)
class Guarded:
    """A broker with the users and the rights of the manifests."""

    bootstrap: str
    passwords: dict[str, str]

    def as_user(self, user: str) -> Access:
        return access(
            KafkaSettings.model_validate(
                {
                    "bootstrap": self.bootstrap,
                    "security_protocol": "SASL_PLAINTEXT",
                    "username": user,
                    "password": self.passwords[user],
                }
            )
        )


@pytest.fixture(scope="module")
def guarded(run_folder: Path) -> Iterator[Guarded]:
    passwords = {user: secrets.token_hex(8) for user in (ADMIN, *k8s_documents.users())}
    with Kafka(run_folder / "guarded", passwords=passwords) as kafka:
        broker = Guarded(kafka.bootstrap, passwords)
        asyncio.run(_make_topics(broker))
        asyncio.run(_give_rights(broker))
        yield broker


async def _make_topics(broker: Guarded) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap, **broker.as_user(ADMIN))
    await admin.start()
    await admin.create_topics([NewTopic(str(name), 1, 1) for name in k8s_documents.declared()])
    await admin.close()


async def _give_rights(broker: Guarded) -> None:
    """Gives every user what the manifests say, as their operator would."""
    client: Any = AIOKafkaClient(bootstrap_servers=broker.bootstrap, **broker.as_user(ADMIN))
    await client.bootstrap()
    for user, acls in k8s_documents.users().items():
        for acl in acls:
            for operation in acl.operations:
                who = (f"User:{user}", "*")
                kind, name = RESOURCES[acl.kind], str(acl.name)
                request = CreateAclsRequest(kind, name, LITERAL, *who, OPERATIONS[operation], ALLOW)
                answer = await client.send(client.get_random_node(), request)
                assert [code for code, _ in answer.creation_responses] == [0]
    await client.close()


@pytest.fixture
async def producer(guarded: Guarded, request: pytest.FixtureRequest) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(guarded.bootstrap, guarded.as_user(f"dsr-{request.param}"))
    await made.start()
    yield made
    given_up = [task for task in asyncio.all_tasks() if "_retire" in repr(task.get_coro())]
    await asyncio.gather(*given_up)  # a refusal makes a producer end by itself: cut short, it would leave a connection
    await made.stop()


async def hears(guarded: Guarded, user: str, group: str, topic: str) -> bool:
    """Whether that user can read the topic as a member of the group."""
    consumer: Any = AIOKafkaConsumer(
        topic,
        bootstrap_servers=guarded.bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        **guarded.as_user(user),
    )
    try:
        await consumer.start()
        async with asyncio.timeout(20):
            await consumer.getone()
    except (TopicAuthorizationFailedError, GroupAuthorizationFailedError):
        return False
    finally:
        await consumer.stop()
    return True


@pytest.mark.parametrize(("producer", "name"), [(name, name) for name in ServiceName], indirect=["producer"])
async def test_a_service_says_what_is_its_own_to_say_and_nothing_else(
    producer: KafkaProducer, name: ServiceName
) -> None:
    for topic, street in STREETS.items():
        message = Message(topic, b"key", b"value")
        if name in street.writers:
            await producer.send([message])
        else:
            with pytest.raises(BusAway) as refused:
                await producer.send([message])
            assert isinstance(refused.value.__cause__, KafkaError)


@pytest.mark.parametrize("producer", [ServiceName.INTAKE], indirect=True)
async def test_a_service_hears_what_is_its_own_to_hear_and_nothing_else(
    guarded: Guarded, producer: KafkaProducer
) -> None:
    await producer.send([Message(Topic.REQUESTS, b"key", b"value")])
    assert await hears(guarded, "dsr-erasure", "erasure", Topic.REQUESTS)
    assert not await hears(guarded, "dsr-erasure", "erasure", Topic.COMPLETIONS)
    assert not await hears(guarded, "dsr-erasure", "export", Topic.REQUESTS)
    assert not await hears(guarded, "dsr-intake", "intake", Topic.REQUESTS)
