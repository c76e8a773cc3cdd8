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


async def lag_of_services(settings: KafkaSettings) -> dict[ServiceName, int]:
    """Returns the lag of each service, in records."""
    counts = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, partitions):
            ends = await consumer.end_offsets(partitions)
            starts = await consumer.beginning_offsets(partitions)
            committed = {partition: await consumer.committed(partition) for partition in partitions}
            counts[service] = sum(ends[p] - (starts[p] if committed[p] is None else committed[p]) for p in partitions)
    return counts


async def rewind(settings: KafkaSettings, moment: datetime) -> dict[ServiceName, int]:
    """Rewinds every service to that moment; returns how many partitions of each were rewound.

    The inbox absorbs repeated events.

    Raises:
        Misconfigured: a service is running.
    """
    rewound = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, partitions):
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, int(moment.timestamp() * 1000)))
            committed = {partition: await consumer.committed(partition) for partition in partitions}
            earlier = {p: at.offset for p, at in found.items() if at and at.offset < (committed[p] or 0)}
            if earlier:
                try:
                    await consumer.commit(earlier)
                except CommitFailedError as error:
                    raise Misconfigured(f"{service} is running: stop all services before they are set back") from error
            rewound[service] = len(earlier)
    return rewound


@asynccontextmanager
async def _group(
    settings: KafkaSettings, service: ServiceName
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """Joins the group of a service, with every partition that it reads."""
    arguments = settings.client()
    admin = AIOKafkaAdminClient(**arguments)
    await admin.start()
    try:
        described = await admin.describe_topics(read_by(service))
    finally:
        await admin.close()
    partitions = [TopicPartition(each["topic"], p["partition"]) for each in described for p in each["partitions"]]
    async with AIOKafkaConsumer(group_id=service.value, enable_auto_commit=False, **arguments) as consumer:
        consumer.assign(partitions)
        yield consumer, partitions
