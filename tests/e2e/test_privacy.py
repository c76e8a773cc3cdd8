"""Personal data is on no topic, in no log and nowhere in our database in clear, whatever happened to the requests."""

from collections.abc import Iterator

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from tests.fixtures.live import Live
from tests.fixtures.stores import SINCE
from tests.fixtures.traces_of import traces

_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"


async def test_nothing_that_names_a_subject_is_on_the_bus_in_a_log_or_readable_at_rest(
    live: Live, platform: Platform
) -> None:
    values: list[str] = []
    async with live.api() as client:
        for right, more in (
            ("erasure", {}),
            ("access", {}),
            ("portability", {}),
            ("rectification", {"changes": [{"field": "name", "asserted": "Augusta Ada Marlowe"}]}),
            ("restriction", {"ground": "unlawful"}),
            ("objection", {"scope": "direct_marketing"}),
        ):
            somebody = live.somebody()
            submission = somebody.submission(right, **more)
            submission["subject"] = {**submission["subject"], "name": f"Ada Quillfeather {somebody.number}"}  # type: ignore[dict-item]
            await client.follow(await client.submit(submission), "closed")
            values += [somebody.email, somebody.phone, somebody.phone[1:], f"Ada Quillfeather {somebody.number}"]
        values += ["Augusta Ada Marlowe", "+493011111111", "typo@@example.com"]
        await client.post("/v1/requests", json={"right": "erasure", "subject": {"email": "typo@@example.com"}})
        phone = {"number": "+493011111111x", "since": SINCE.isoformat()}
        await client.post("/v1/requests", json={"right": "erasure", "subject": {"phones": [phone]}})
        await client.post("/v1/requests", content=b'{"right": "erasure", "subject": {"email": "typo@@example.com"')

    heaps = [*await _topics(platform.kafka_bootstrap), *_logs(live), *await _tables(live.dsn)]

    assert {name for name, content in heaps if content} >= {"topic dsr.requests", "log intake", "table vault.subject"}
    assert list(traces(values, heaps)) == []


async def _topics(bootstrap: str) -> list[tuple[str, bytes]]:
    """Every record of every topic of the platform: key, value and headers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    ours = sorted(topic for topic in await admin.list_topics() if topic.startswith("dsr."))
    described = await admin.describe_topics(ours)
    await admin.close()
    places = [TopicPartition(topic["topic"], p["partition"]) for topic in described for p in topic["partitions"]]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        heaps = {topic: [topic.encode()] for topic in ours}
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    headers = b" ".join(name.encode() + b"=" + value for name, value in record.headers)
                    heaps[place.topic] += [record.key or b"", record.value or b"", headers]
        return [(f"topic {topic}", b"\n".join(content)) for topic, content in heaps.items()]
    finally:
        await consumer.stop()


def _logs(live: Live) -> Iterator[tuple[str, bytes]]:
    for name, child in live.services.children.items():
        yield f"log {name}", child.log.read_bytes()


async def _tables(dsn: str) -> list[tuple[str, bytes]]:
    """Every row of every table, as text."""
    heaps = []
    for schema, table in await databases.fetch(dsn, _TABLES):
        rows = await databases.fetch(dsn, f'SELECT t::text FROM "{schema}"."{table}" t')
        heaps.append((f"table {schema}.{table}", "\n".join(row[0] for row in rows).encode()))
    return heaps
