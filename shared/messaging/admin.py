"""Creates the topics that the code declares, unless an operator of the cluster did."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.domain import topics
from shared.domain.topics import ServiceName, Topic
from shared.domain.user_events import read_emitters
from shared.runtime.settings import KafkaSettings

_KNOWN_WITHIN_SECONDS = 30
_LOOK_EVERY_SECONDS = 0.05
_SEGMENT_MS = 24 * 3600 * 1000
"""Age at which a compacted topic begins a new segment: compaction skips the newest one."""


def declared(bus_systems: Sequence[str] = (), emitters: Iterable[str] | None = None) -> list[str]:
    """Every topic of the platform; ``bus_systems`` are downstreams reached over the bus.

    ``emitters``: who tells of users; None: whom the file of emitters names that ships.
    """
    names: list[str] = [*Topic, topics.STATUS, *(topics.dead_letters(service) for service in ServiceName)]
    names += [topics.user_events(emitter) for emitter in (read_emitters() if emitters is None else emitters)]
    for system in bus_systems:
        names += [topics.tasks(system), topics.replies(system)]
    return names


def config(name: str) -> dict[str, int | str]:
    """Returns the settings of a topic: retention, largest record, and compression.

    Records of teams are stored uncompressed, so that no reader has to unpack them.
    """
    largest = topics.MAX_DEAD_LETTER_BYTES if name.startswith(topics.DEAD_LETTERS) else topics.MAX_BYTES
    if name == topics.STATUS:
        forgets = {"delete.retention.ms": topics.TOMBSTONE_MS, "segment.ms": _SEGMENT_MS}
        return {"cleanup.policy": "compact", "max.message.bytes": largest, **forgets}
    unpacked: dict[str, int | str] = {"compression.type": "uncompressed"} if topics.is_foreign(name) else {}
    return {"retention.ms": topics.RETENTION_MS, "max.message.bytes": largest, **unpacked}


async def create_topics(
    broker: str | KafkaSettings, names: Sequence[str], partitions: int = topics.PARTITIONS, replicas: int = 1
) -> Sequence[str]:
    """Creates those that are missing, with the retention that the code declares; returns which those were.

    ``partitions``: of each topic that may have several.

    Raises:
        KafkaError: what the broker answers.
    """
    access = broker.client() if isinstance(broker, KafkaSettings) else {"bootstrap_servers": broker}
    admin = AIOKafkaAdminClient(**access)
    await admin.start()
    try:
        missing = sorted(set(names) - set(await admin.list_topics()))
        answer = await admin.create_topics(
            [
                NewTopic(name, topics.partitions_of(name, partitions), replicas, topic_configs=_words(config(name)))
                for name in missing
            ]
        )
        for _name, code, *_rest in answer.topic_errors:
            if code not in (0, TopicAlreadyExistsError.errno):
                raise for_code(code)
        async with asyncio.timeout(_KNOWN_WITHIN_SECONDS):
            while True:
                if set(names) <= set(await admin.list_topics()):
                    return missing
                await asyncio.sleep(_LOOK_EVERY_SECONDS)  # the broker confirms before all of its nodes know
    finally:
        await admin.close()


def _words(settings: Mapping[str, int | str]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items()}
