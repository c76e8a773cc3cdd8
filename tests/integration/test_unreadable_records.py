"""One bad record costs one record: what cannot be read is told with its place, and what stands around it is handled."""

import asyncio
from collections.abc import Sequence

import pytest
from uuid_utils.compat import uuid7

from shared.domain.records import Message
from shared.messaging.admin import create_topics
from shared.messaging.consumer import Consumer
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import KafkaSettings
from tests.fixtures.hostile import CODECS, Headers, NoText, batch, packed, send_raw

NOTHING: Headers = []
NO_TEXT: Headers = [(NoText("name"), b"value")]


class Ear:
    """Hears everything; wants what has no type, and what cannot be read is handed over all the same."""

    def __init__(self, enough: int) -> None:
        self.heard: list[Message] = []
        self.stopping = asyncio.Event()
        self._enough = enough

    def wants(self, headers: Sequence[tuple[str, bytes | None]]) -> bool:
        """Whether it is one of ours."""
        return all(name.isascii() for name, _ in headers)

    async def handle(self, records: Sequence[Message]) -> Sequence[Message]:
        """Notes them."""
        self.heard += records
        if len(self.heard) >= self._enough:
            self.stopping.set()
        return ()

    async def paused_topics(self) -> Sequence[str]:
        """None."""
        return ()


async def heard(bootstrap: str, topic: str, enough: int, **settings: int) -> list[Message]:
    """What a consumer hands over of a topic."""
    ear = Ear(enough)
    consumer = Consumer(KafkaSettings.model_validate({"bootstrap": bootstrap, **settings}), topic, [topic])
    async with asyncio.timeout(60):
        await consumer.run(ear, ear.stopping, Heartbeats())
    return ear.heard


@pytest.fixture
async def topic(kafka_bootstrap: str) -> str:
    """A topic of this test alone, with one partition."""
    name = f"test.unreadable.{uuid7().hex}"
    await create_topics(kafka_bootstrap, [name], partitions=1)
    return name


BAD = {codec: ((packed(batch((b"bad", NOTHING)), codec),), f"a batch in the codec {codec}") for codec in CODECS} | {
    "header name": ((batch((b"bad", NO_TEXT)),), "a header name that is no text, or a length that is wrong"),
    "bomb": ((batch((bytes(4_000_000), NOTHING), gzip=True),), "a batch that unpacks to more than 1048576 bytes"),
    "oversize": ((batch((bytes(600_000), NOTHING)),), "600003 bytes, more than 500000"),
    "oversize header": ((batch((b"", [("traceparent", bytes(600_000))])),), "600014 bytes, more than 500000"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_record_that_cannot_be_read_is_stepped_over_with_its_place_and_why(
    kafka_bootstrap: str, topic: str, kind: str
) -> None:
    (bad, why), good = BAD[kind], batch((b"good", NOTHING))
    await send_raw(kafka_bootstrap, topic, good, *bad, good)
    records = await heard(kafka_bootstrap, topic, 3, record_bytes=500_000, unpacked_bytes=1024 * 1024)
    assert [(record.partition, record.offset, record.value, record.unreadable) for record in records] == [
        (0, 0, b"good", ""),
        (0, 1, b"", why),
        (0, 2, b"good", ""),
    ]


@pytest.mark.parametrize("gzip", [False, True])
async def test_its_neighbours_in_the_same_batch_are_read(kafka_bootstrap: str, topic: str, gzip: bool) -> None:  # noqa: FBT001
    five: list[tuple[bytes, Headers]] = [(b"%d" % n * 200, NO_TEXT if n in (1, 3) else NOTHING) for n in range(5)]
    await send_raw(kafka_bootstrap, topic, batch(*five, gzip=gzip))
    records = await heard(kafka_bootstrap, topic, 5)
    assert [(record.offset, record.value[:1], bool(record.unreadable)) for record in records] == [
        (0, b"0", False),
        (1, b"", True),
        (2, b"2", False),
        (3, b"", True),
        (4, b"4", False),
    ]


async def test_it_is_not_heard_again_by_the_next_member_of_the_group(kafka_bootstrap: str, topic: str) -> None:
    await send_raw(kafka_bootstrap, topic, batch((b"bad", NO_TEXT)), packed(batch((b"bad", NOTHING)), "zstd"))
    assert len(await heard(kafka_bootstrap, topic, 2)) == 2
    await send_raw(kafka_bootstrap, topic, batch((b"good", NOTHING)))
    assert [record.value for record in await heard(kafka_bootstrap, topic, 1)] == [b"good"]


async def test_on_a_topic_of_replies_the_broker_unpacks_what_a_team_has_compressed(kafka_bootstrap: str) -> None:
    name = f"dsr.tasks.{uuid7().hex}.replies"
    await create_topics(kafka_bootstrap, [name], partitions=1)
    await send_raw(kafka_bootstrap, name, *(packed(batch((codec.encode(), NOTHING)), codec) for codec in CODECS))
    assert [record.value.decode() for record in await heard(kafka_bootstrap, name, 3)] == list(CODECS)
