"""Reads the dead letters of a service, and sends them to it again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from shared.domain import topics
from shared.domain.errors import Misconfigured
from shared.domain.topics import Message, ServiceName
from shared.messaging.dead_letters import OURS, REPLAYED_FOR
from shared.messaging.producer import KafkaProducer
from shared.runtime.settings import KafkaSettings

_AT_A_TIME = 500
_ANSWER_MS = 10_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter; ``record`` is as it was consumed, and ``None`` if it was unreadable."""

    topic: str
    place: str
    reason: str
    at: str
    record: Message | None


async def dead_letters(settings: KafkaSettings, service: ServiceName) -> AsyncIterator[DeadLetter]:
    """Yields the dead letters of a service that the broker still keeps, in the order of each partition.

    Raises:
        Misconfigured: the broker does not say what it has.
    """
    topic = topics.dead_letters(service)
    async with AIOKafkaConsumer(topic, auto_offset_reset="earliest", **settings.client()) as consumer:
        places = sorted(consumer.assignment())
        if not places:
            raise Misconfigured(f"the broker does not show {topic} to this user: let it read that topic")
        for place, end in (await consumer.end_offsets(places)).items():
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=_ANSWER_MS, max_records=_AT_A_TIME)
                if not fetched:
                    raise Misconfigured(f"the broker does not hand out {topic}: let this user read it")
                for record in fetched[place]:
                    yield _read(record.key or b"", record.value or b"", dict(record.headers), service)


async def replay(settings: KafkaSettings, service: ServiceName) -> tuple[int, int]:
    """Sends every dead letter that could be read to the topic it came from, once, for this service alone.

    If it has handled one meanwhile it knows it by its id, and what it cannot handle now either is not set aside a
    second time; so this may be done again, and in part.

    Returns how many were sent, and how many have no content to send.
    """
    found = [letter async for letter in dead_letters(settings, service)]
    records = {(r.topic, r.key, r.value): r for letter in found if (r := letter.record)}
    producer = KafkaProducer(settings)
    try:
        for start in range(0, len(records), _AT_A_TIME):
            await producer.send(list(records.values())[start : start + _AT_A_TIME])
    finally:
        await producer.stop()
    return len(records), sum(letter.record is None for letter in found)


def _read(key: bytes, value: bytes, headers: dict[str, bytes | None], service: ServiceName) -> DeadLetter:
    said = {name: (content or b"").decode("utf-8", "replace") for name, content in headers.items()}
    topic, detail = said["dsr_topic"], said.get("dsr_detail", "")
    theirs = {name: content for name, content in said.items() if not name.startswith(OURS)}
    return DeadLetter(
        topic=topic,
        place=f"{said.get('dsr_partition', '?')}:{said.get('dsr_offset', '?')}",
        reason=f"{said['dsr_reason']}: {detail}" if detail else said["dsr_reason"],
        at=said["dsr_set_aside_at"],
        record=None if not (key or value) else Message(topic, key, value, {**theirs, REPLAYED_FOR: service}),
    )
