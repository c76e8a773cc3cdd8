"""Which topics there are, and for how long they keep what was sent."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from uuid_utils.compat import uuid7

from shared.messaging.admin import create_topics, declared


async def test_topics_are_made_once_with_the_retention_that_the_code_declares(kafka_bootstrap: str) -> None:
    names = [f"test.admin.{uuid7().hex}.{part}" for part in "ab"]
    await create_topics(kafka_bootstrap, names[:1])
    await create_topics(kafka_bootstrap, names)
    await create_topics(kafka_bootstrap, names)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        assert set(names) <= set(await admin.list_topics())
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, names[0])])
        [(*_, entries)] = answer.resources
    finally:
        await admin.close()
    assert {entry[0]: entry[1] for entry in entries}["retention.ms"] == str(7 * 24 * 3600 * 1000)


def test_every_topic_of_the_platform_is_declared() -> None:
    assert set(declared(["billing"])) == {
        "dsr.requests",
        *(f"dsr.completions.{service}" for service in ("erasure", "export", "amendment")),
        "dsr.deadlines",
        "dsr.status",
        "user.events.selfcare",
        "user.events.numbering",
        *(f"dsr.dead-letters.{service}" for service in ("intake", "erasure", "export", "amendment", "deadline")),
        "dsr.tasks.billing",
        "dsr.tasks.billing.replies",
    }
