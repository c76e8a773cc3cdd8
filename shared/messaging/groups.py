"""How far the services have heard, and letting them hear again; for the drill in docs/operations.md."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from shared.domain.errors import Misconfigured
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.runtime.settings import KafkaSettings


async def behind(settings: KafkaSettings) -> dict[ServiceName, int]:
    """How many records each service has not heard yet."""
    counts = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, places):
            ends = await consumer.end_offsets(places)
            starts = await consumer.beginning_offsets(places)
            heard = {place: await consumer.committed(place) for place in places}
            counts[service] = sum(ends[p] - (starts[p] if heard[p] is None else heard[p]) for p in places)
    return counts


async def rewind(settings: KafkaSettings, moment: datetime) -> dict[ServiceName, int]:
    """Sets every service back to that moment; returns how many partitions each had to go back in.

    What the inbox knows already is absorbed when it comes again. Raises ``Misconfigured`` if a service is running.
    """
    went_back = {}
    for service in ServiceName:
        async with _group(settings, service) as (consumer, places):
            found = await consumer.offsets_for_times(dict.fromkeys(places, int(moment.timestamp() * 1000)))
            heard = {place: await consumer.committed(place) for place in places}
            back = {p: at.offset for p, at in found.items() if at and heard[p] is not None and at.offset < heard[p]}
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
    """A look at a service's group from outside, with every partition that it hears."""
    arguments = settings.client()
    admin = AIOKafkaAdminClient(**arguments)
    await admin.start()
    try:
        described = await admin.describe_topics([t for t, street in TOPIC_ACCESS.items() if service in street.readers])
    finally:
        await admin.close()
    places = [TopicPartition(each["topic"], p["partition"]) for each in described for p in each["partitions"]]
    consumer = AIOKafkaConsumer(group_id=service.value, enable_auto_commit=False, **arguments)
    await consumer.start()
    try:
        consumer.assign(places)
        yield consumer, places
    finally:
        await consumer.stop()
