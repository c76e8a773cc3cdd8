"""The bus as other teams and a stranger on it see it: what is written there, and what can be written to it."""

import json
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord, TopicPartition

from tests.fixtures.live import eventually

READ_BY_SERVICES = (
    "dsr.requests",
    "dsr.fulfilments",
    "dsr.deadlines",
    "dsr.notices",
    "dsr.deliveries",
    "dsr.tasks.",
    "user.events.",
)
"""Prefixes of the topics that services read; the others are for external readers."""

SERVICES = ("intake", "erasure", "export", "amendment", "deadline", "correspondence")


@dataclass(frozen=True)
class Bus:
    """A broker."""

    bootstrap: str

    async def topics(self) -> list[str]:
        """The topics of the platform."""
        async with self._admin() as admin:
            return sorted(each for each in await admin.list_topics() if each.startswith(("dsr.", "user.")))

    async def records(self, *topics: str) -> list[ConsumerRecord]:
        found: list[ConsumerRecord] = []
        places = await self._places(topics)
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found

    async def tasks_of(self, request_id: str, system: str) -> list[dict[str, Any]]:
        """Returns the tasks that a team got for a request."""
        records = await self.records(f"dsr.tasks.{system}")
        tasks = [json.loads(each.value) for each in records if request_id.encode() in each.value]
        return [each for each in tasks if each["request_id"] == request_id]

    async def said_of(self, *request_ids: str) -> list[ConsumerRecord]:
        """Returns the records about these requests that services read."""
        keys = {each.encode() for each in request_ids}
        return [record for record in await self.records(*await self._read_by_services()) if record.key in keys]

    async def say_again(self, records: Collection[ConsumerRecord]) -> None:
        """Writes records as they are, each to where it stood."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            for each in records:
                place = (each.topic, each.value, each.key, each.partition)
                await producer.send_and_wait(*place, headers=list(each.headers))

    async def say(self, topic: str, *values: bytes, **headers: str) -> None:
        """Writes values to a topic."""
        sent = [(name, text.encode()) for name, text in headers.items()]
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all") as producer:
            for value in values:
                await producer.send_and_wait(topic, value, headers=sent)

    async def drained(self) -> None:
        """Waits until the services have read everything on the bus."""
        places = await self._places(await self._read_by_services())
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap) as consumer:
            ends = await consumer.end_offsets(places)
        async with self._admin() as admin:

            async def reached() -> bool:
                read = [await admin.list_consumer_group_offsets(service) for service in SERVICES]
                return all(at.offset >= ends[p] for each in read for p, at in each.items() if p in ends)

            await eventually(reached, within=240)

    async def whole(self) -> list[tuple[str, bytes]]:
        """Returns each topic with all its keys, values and headers."""
        heaps: dict[str, list[bytes]] = {topic: [topic.encode()] for topic in await self.topics()}
        for each in await self.records(*heaps):
            headers = b" ".join(name.encode() + b"=" + value for name, value in each.headers)
            heaps[each.topic] += [each.key or b"", each.value or b"", headers]
        return [(topic, b"\n".join(content)) for topic, content in heaps.items()]

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def _read_by_services(self) -> list[str]:
        return [topic for topic in await self.topics() if topic.startswith(READ_BY_SERVICES)]

    async def _places(self, topics: Iterable[str]) -> list[TopicPartition]:
        async with self._admin() as admin:
            described = await admin.describe_topics(list(topics))
        return [TopicPartition(each["topic"], one["partition"]) for each in described for one in each["partitions"]]
