"""Reads the lag of the services, and rewinds their groups (docs/operations.md)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName, read_by
from shared.runtime.settings import KafkaSettings


async def behind(settings: KafkaSettings) -> dict[ServiceName, int]:
    """Returns the lag of each service, in records."""
    counts = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, places):
            ends = await consumer.end_offsets(places)
            starts = await consumer.beginning_offsets(places)
            committed = {place: await consumer.committed(place) for place in places}
            counts[service] = sum(ends[p] - (starts[p] if committed[p] is None else committed[p]) for p in places)
    return counts


async def rewind(settings: KafkaSettings, moment: datetime) -> dict[ServiceName, int]:
    """Sets every service back to that moment; returns how many partitions each had to go back in.

    What the inbox knows already has no effect when it comes again.

    Raises:
        Misconfigured: a service is running.
    """
    went_back = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, places):
            found = await consumer.offsets_for_times(dict.fromkeys(places, int(moment.timestamp() * 1000)))
            committed = {place: await consumer.committed(place) for place in places}
            back = {p: at.offset for p, at in found.items() if at and at.offset < (committed[p] or 0)}
            if back:
                try:
                    await consumer.commit(back)
                except CommitFailedError as error:
                    raise Misconfigured(f"{service} is running: stop all services before they are set back") from error
            went_back[service] = len(back)
    return went_back


@asynccontextmanager
async def _group(
    settings: KafkaSettings, service: ServiceName
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A member of a service's group from outside, with every partition that it reads."""
    arguments = settings.client()
    admin = AIOKafkaAdminClient(**arguments)
    await admin.start()
    try:
        described = await admin.describe_topics(read_by(service))
    finally:
        await admin.close()
    places = [TopicPartition(each["topic"], p["partition"]) for each in described for p in each["partitions"]]
    async with AIOKafkaConsumer(group_id=service.value, enable_auto_commit=False, **arguments) as consumer:
        consumer.assign(places)
        yield consumer, places
