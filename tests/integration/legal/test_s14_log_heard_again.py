"""Scenario 14: the whole log of some requests, heard twice more, changes nothing and tells nobody anything again."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, TopicPartition

from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from shared.domain.topics import PARTITIONS, ServiceName, read_by
from shared.messaging.groups import behind
from shared.runtime.settings import KafkaSettings
from tests.fixtures.live import EVERY_RIGHT, Live, eventually

_SEEN = """
SELECT (SELECT count(*) FROM evidence.entry WHERE request_id = ANY($1)),
       (SELECT count(*) FROM intake.letter WHERE request_id = ANY($1)),
       (SELECT array_agg((state, outcome, closed_at) ORDER BY request_id)
        FROM intake.request WHERE request_id = ANY($1))
"""


async def test_the_log_of_every_right_heard_twice_more_changes_nothing(live: Live, platform: Platform) -> None:
    requests: list[str] = []
    async with live.api() as client:
        for right, more in EVERY_RIGHT.items():
            requests.append(await client.submit(live.somebody().submission(right, **more)))
        for request_id in requests:
            await client.follow(request_id, "closed")
    settings = KafkaSettings(bootstrap=platform.kafka_bootstrap)
    await eventually(lambda: _all_heard(settings))
    log = await _log(settings, requests)
    before = await databases.fetch(live.dsn, _SEEN, requests)
    for _ in range(2):
        await _send(settings, log)
    await eventually(lambda: _all_heard(settings))
    assert len(log) > 2 * len(requests)
    assert await databases.fetch(live.dsn, _SEEN, requests) == before


async def _all_heard(settings: KafkaSettings) -> bool:
    return not any((await behind(settings)).values())


async def _log(settings: KafkaSettings, requests: Collection[str]) -> list[ConsumerRecord]:
    """Every record about these requests that a service reads, in the order of each partition."""
    keys = {request_id.encode() for request_id in requests}
    topics = {topic for service in ServiceName for topic in read_by(service)}
    found = []
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap) as consumer:
        places = [TopicPartition(topic, number) for topic in sorted(topics) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [record for record in records if record.key in keys]
    return found


async def _send(settings: KafkaSettings, log: Collection[ConsumerRecord]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, acks="all") as producer:
        for record in log:
            headers = list(record.headers)
            await producer.send_and_wait(record.topic, record.value, record.key, record.partition, headers=headers)
