"""Makes the topics that the code declares, where nobody else (an operator in a cluster) has made them."""

import asyncio
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.domain import topics
from shared.domain.topics import ServiceName, Topic

_LARGEST = 2 * 1024 * 1024
_KNOWN_WITHIN_SECONDS = 30
_LOOK_EVERY_SECONDS = 0.05


def declared(bus_systems: Sequence[str] = ()) -> list[str]:
    """Every topic of the platform; ``bus_systems`` are downstreams reached over the bus."""
    names: list[str] = [*Topic, *(topics.dead_letters(service) for service in ServiceName)]
    for system in bus_systems:
        names += [topics.tasks(system), topics.replies(system)]
    return names


def compression(name: str) -> dict[str, str]:
    """What a topic's configuration says of compression: what teams send, in any codec, the broker keeps unpacked."""
    return {"compression.type": "uncompressed"} if topics.is_replies(name) else {}


async def create_topics(bootstrap: str, names: Sequence[str], partitions: int = topics.PARTITIONS) -> None:
    """Creates those that are missing, with the retention that the code declares.

    Raises:
        KafkaError: what the broker answers.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        missing = sorted(set(names) - set(await admin.list_topics()))
        # A dead letter is bigger than the record that it was: it also says why.
        config = {"retention.ms": str(topics.RETENTION_MS), "max.message.bytes": str(_LARGEST)}
        new = [NewTopic(name, partitions, 1, topic_configs=config | compression(name)) for name in missing]
        answer = await admin.create_topics(new)
        for _name, code, *_rest in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)
        async with asyncio.timeout(_KNOWN_WITHIN_SECONDS):
            while True:
                if set(names) <= set(await admin.list_topics()):
                    return
                await asyncio.sleep(_LOOK_EVERY_SECONDS)  # the broker says yes before all of it knows, and tells nobody
    finally:
        await admin.close()
