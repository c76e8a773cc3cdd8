"""Publishes records that could not be handled to a dead-letter topic, pauses a topic with too many, and replays."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaConsumer

from shared.domain import topics
from shared.domain.errors import Misconfigured
from shared.domain.topics import Message, ServiceName
from shared.messaging.producer import KafkaProducer
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.settings import KafkaSettings
from shared.runtime.telemetry import traceparent
from shared.storage.postgres import Connection

HEADER_PREFIX = "dsr_"
"""The prefix of the headers that a dead letter adds to those of its record."""

REPLAYED_FOR = "dsr_replayed_for"
"""The header by which a dead letter that is sent again names the service that has set it aside: no other reads it."""

_AT_A_TIME = 500
_ANSWER_MS = 10_000
_COUNT = """
INSERT INTO consumed_topic AS t (topic, since, dead_letters) VALUES ($1, $2, 1)
ON CONFLICT (topic) DO UPDATE SET
    since = CASE WHEN t.since > $2 - interval '1 day' THEN t.since ELSE $2 END,
    dead_letters = CASE WHEN t.since > $2 - interval '1 day' THEN t.dead_letters + 1 ELSE 1 END,
    paused_at = coalesce(
        t.paused_at, CASE WHEN t.since > $2 - interval '1 day' AND t.dead_letters >= $3 THEN $2 END
    )
RETURNING paused_at IS NOT NULL
"""


def dead_letter(record: Message, reason: str, detail: str, tx: UnitOfWork) -> Message:
    """Builds the dead letter of a record, with headers for the reason, its detail, and its topic and offset.

    Headers that are too large or too many are dropped.
    """
    reasons = {"dsr_reason": reason, "dsr_topic": record.topic, "dsr_set_aside_at": tx.now.isoformat()}
    if detail:
        reasons["dsr_detail"] = detail
    if record.offset is not None:
        reasons |= {"dsr_partition": str(record.partition), "dsr_offset": str(record.offset)}
    return Message(
        topics.dead_letters(tx.service), record.key, record.value, {**forwarded_headers(record.headers), **reasons}
    )


_HEADER, _HEADERS = 1_024, 32
"""The largest header that is passed on, in characters of name and value, and how many are."""


def forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns external headers within limits, and a count of those that were dropped."""
    known = {name: traceparent(value) if name == "traceparent" else value for name, value in headers.items()}
    small = [(name, value) for name, value in known.items() if value is not None and len(name) + len(value) <= _HEADER]
    forwarded = dict(small[:_HEADERS])
    return (
        forwarded
        if len(forwarded) == len(headers)
        else forwarded | {"dsr_headers_cut": str(len(headers) - len(forwarded))}
    )


async def count(tx: UnitOfWork, topic: str, limit: int) -> bool:
    """Counts a dead letter of that topic; returns whether the topic is paused, because they are more than the limit."""
    return bool(await tx.connection.fetchval(_COUNT, topic, tx.now, limit))


async def paused(pool: asyncpg.Pool) -> AbstractSet[str]:
    """Returns the topics that the service has paused."""
    rows = await pool.fetch("SELECT topic FROM consumed_topic WHERE paused_at IS NOT NULL")
    return frozenset(row[0] for row in rows)


async def paused_since(connection: Connection) -> Sequence[tuple[ServiceName, str, datetime]]:
    """Returns the paused topics of all services, and since when."""
    found = []
    for service in ServiceName:
        rows = await connection.fetch(
            f"SELECT topic, paused_at FROM {service}.consumed_topic WHERE paused_at IS NOT NULL ORDER BY 1"  # noqa: S608  # our name
        )
        found += [(service, row[0], row[1]) for row in rows]
    return found


async def resume(connection: Connection, service: ServiceName, topic: str, extra: int = 0) -> bool:
    """Lets a service read a topic again, and count its dead letters from zero; returns whether it was paused.

    ``extra``: additional dead letters that this day may bring.
    """
    status = await connection.execute(
        f"UPDATE {service}.consumed_topic SET since = now(), dead_letters = -$2::integer, paused_at = NULL"  # noqa: S608  # our name
        " WHERE topic = $1 AND paused_at IS NOT NULL",
        *(topic, extra),
    )
    return bool(status != "UPDATE 0")


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
        partitions = sorted(consumer.assignment())
        if not partitions:
            raise Misconfigured(f"the broker does not show {topic} to this user: let it read that topic")
        for place, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=_ANSWER_MS, max_records=_AT_A_TIME)
                if not fetched:
                    raise Misconfigured(f"the broker does not hand out {topic}: let this user read it")
                for record in fetched[place]:
                    yield _read(record.key or b"", record.value or b"", dict(record.headers), service)


async def replay(settings: KafkaSettings, service: ServiceName) -> tuple[int, int]:
    """Sends every dead letter that could be read to the topic it came from, once, for this service alone.

    The service skips one that it has handled meanwhile, by its id. One that fails again is not set aside a second time.
    So this may be repeated, or done in part.

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
    values = {name: (content or b"").decode("utf-8", "replace") for name, content in headers.items()}
    topic, detail = values["dsr_topic"], values.get("dsr_detail", "")
    original = {name: content for name, content in values.items() if not name.startswith(HEADER_PREFIX)}
    return DeadLetter(
        topic=topic,
        place=f"{values.get('dsr_partition', '?')}:{values.get('dsr_offset', '?')}",
        reason=f"{values['dsr_reason']}: {detail}" if detail else values["dsr_reason"],
        at=values["dsr_set_aside_at"],
        record=None if not (key or value) else Message(topic, key, value, {**original, REPLAYED_FOR: service}),
    )
