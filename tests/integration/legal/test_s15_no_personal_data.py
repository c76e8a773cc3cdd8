"""Scenario 15: personal data is on no topic, in no log and nowhere in our database in clear, whatever happened."""

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from deploy.demo.traces import Seeker
from deploy.local.platform import Platform
from shared.domain import topics
from shared.domain.topics import ServiceName, dead_letters
from shared.messaging.producer import KafkaProducer
from shared.runtime.settings import KafkaSettings
from tests.fixtures.hostile import Headers, batch, send_raw
from tests.fixtures.live import EVERY_RIGHT, Live, eventually
from tests.fixtures.stores import SINCE, Subject
from tests.fixtures.user_events import binary
from tests.fixtures.wire import JUNK

CANARY, IN_A_HEADER = "canary@example.com", "header-canary@example.com"
"""What a stranger's records hold: the search must find them where such records end."""


async def test_nothing_that_names_a_subject_is_on_the_bus_in_a_log_or_readable_at_rest(
    live: Live, platform: Platform
) -> None:
    values: list[str] = []
    requests: list[str] = []
    async with live.api() as client:
        marriage: dict[str, object] = {"changes": [{"field": "name", "asserted": "Augusta Ada Marlowe"}]}
        for right, more in {**EVERY_RIGHT, "rectification": marriage}.items():
            somebody = live.somebody()
            submission = somebody.submission(right, **more)
            submission["subject"] = {**submission["subject"], "name": f"Ada Quillfeather {somebody.number}"}  # type: ignore[dict-item]
            names = [somebody.email, somebody.phone, somebody.phone[1:], f"Ada Quillfeather {somebody.number}"]
            values += [*names, somebody.account_id]
            requests.append(await client.submit(submission, traceparent=f"{somebody.email} {somebody.account_id}"))
            await client.follow(requests[-1], "closed")
        values += ["Augusta Ada Marlowe", "+493011111111", "typo@@example.com"]
        await client.post("/v1/requests", json={"right": "erasure", "subject": {"email": "typo@@example.com"}})
        phone = {"number": "+493011111111x", "since": SINCE.isoformat()}
        await client.post("/v1/requests", json={"right": "erasure", "subject": {"phones": [phone]}})
        await client.post("/v1/requests", content=b'{"right": "erasure", "subject": {"email": "typo@@example.com"')

    told = live.somebody()
    values += [told.email, told.phone, told.phone[1:], told.account_id]
    requests.append(await _tell(live, platform, told))
    dead = dead_letters(ServiceName.ERASURE)
    stranger: Headers = [
        ("ce_type", b"dsr.request.verified.v1"),
        ("ce_right", b"erasure"),
        ("who", IN_A_HEADER.encode()),
        *((name, value.encode()) for name, value in JUNK.items()),
    ]
    await send_raw(platform.kafka_bootstrap, "dsr.requests", batch((CANARY.encode(), stranger)))
    await eventually(lambda: _holds(platform.kafka_bootstrap, dead, CANARY))

    wanted = {"somebody": values, "nobody": requests, "stranger": [CANARY], "their header": [IN_A_HEADER]}
    seeker = Seeker(wanted, encoded=True)
    await seeker.in_postgres(live.dsn)
    logs = [child.log for child in live.services.children.values()]
    seeker.in_files(*logs)
    for topic, content in await _topics(platform.kafka_bootstrap):
        seeker.in_bytes(topic, content, b"\n")

    assert all(log.stat().st_size for log in logs)
    assert seeker.found.keys() == wanted.keys() - {"somebody"}, f"also found: {seeker.found.get('somebody')}"
    assert seeker.found["nobody"].keys() >= {
        *("dsr.requests", "dsr.status", "user.events.selfcare", "intake.request", "evidence.entry")
    }
    for theirs in ("stranger", "their header"):
        assert seeker.found[theirs].keys() >= {"dsr.requests", dead}
        assert not [place for place in seeker.found[theirs] if place.endswith(".log")]


async def _tell(live: Live, platform: Platform, subject: Subject) -> str:
    """Lets an emitter ask for somebody's copy by an event; the id of the request, once it is closed."""
    async with live.api(live.services.key("channel", "selfcare")) as client:
        said = {name: subject.submission("access")[name] for name in ("subject", "assurance", "proofs")}
        token = str((await client.post("/v1/subjects", json=said)).raise_for_status().json()["subject"])
        producer = KafkaProducer(KafkaSettings(bootstrap=platform.kafka_bootstrap))
        await producer.send([binary("selfcare", "user.requested.access", {"subject": token})])
        await producer.stop()

        async def known() -> bool:
            return (await client.get(f"/v1/requests/{token}")).is_success

        await eventually(known)
        await client.follow(token, "closed")
    return token


async def _holds(bootstrap: str, topic: str, value: str) -> bool:
    """Whether a topic holds it."""
    return value.encode() in dict(await _topics(bootstrap)).get(topic, b"")


async def _topics(bootstrap: str) -> list[tuple[str, bytes]]:
    """Every record of every topic of the platform: key, value and headers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    ours = sorted(topic for topic in await admin.list_topics() if topic.startswith(("dsr.", topics.USER_EVENTS)))
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
        return [(topic, b"\n".join(content)) for topic, content in heaps.items()]
    finally:
        await consumer.stop()
