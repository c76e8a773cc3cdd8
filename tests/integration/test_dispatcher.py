"""Dispatching: a batch is one transaction, a repeat has no effect, and only the record that is bad is set aside."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import IllegalTransition
from shared.domain.events import Event, FulfilmentCompleted, RequestVerified, RequestWithdrawn, type_of
from shared.domain.rights import Right
from shared.domain.topics import Message
from shared.messaging.admin import create_topics
from shared.messaging.consumer import Consumer
from shared.messaging.dead_letters import dead_letter
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.runtime.settings import KafkaSettings
from tests.fixtures.dispatching import (
    PERSONAL,
    Diary,
    as_sent,
    dead_letters,
    dispatcher,
    heard,
    noted,
    spoiled,
    unreadable,
    verified,
)
from tests.fixtures.engine import OpenHarness
from tests.fixtures.events import a
from tests.fixtures.hostile import CODECS, Headers, NoText, batch, packed, send_raw
from tests.fixtures.told import Count


async def test_a_batch_is_handed_over_in_one_transaction(open_harness: OpenHarness) -> None:
    harness, diary = await open_harness(), Diary()
    events = [verified() for _ in range(50)]
    await dispatcher(harness, (RequestVerified, diary.begin)).handle([heard(event) for event in events])
    assert diary.batches == [events]
    unit_of_work = await harness.pool.fetchval("SELECT count(DISTINCT xmin::text) FROM evidence.entry")
    assert (await noted(harness), unit_of_work) == (50, 1)


async def test_what_was_handled_and_what_was_set_aside_is_counted_once_each(open_harness: OpenHarness) -> None:
    harness, diary = await open_harness(), Diary()
    kind = {"service": harness.unit_of_work.service, "type": type_of(RequestVerified)}
    handled, dead = (Count("dsr_events_heard_total", **kind, result=how) for how in ("handled", "dead_letter"))
    known = heard(verified())
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    await listener.handle([known, heard(verified())])
    await listener.handle([known, spoiled(verified())])
    assert (handled.added, dead.added) == (2, 1)


async def test_event_counts_only_from_the_topic_of_its_rights_service(open_harness: OpenHarness) -> None:
    harness, diary = await open_harness(), Diary()
    record = heard(a(FulfilmentCompleted, right=Right.ERASURE))
    another = heard(a(FulfilmentCompleted, right=Right.ACCESS))
    forged = [
        Message(another.topic, b"", record.value, record.headers),
        Message("dsr.deadlines", b"", record.value, record.headers),
        Message(another.topic, b"", another.value, record.headers),
    ]
    await dispatcher(harness, (FulfilmentCompleted, diary.begin)).handle([*forged, record])
    assert (len(diary.batches), await noted(harness), len(await dead_letters(harness))) == (1, 1, len(forged))


async def test_a_repeated_record_has_no_second_effect(open_harness: OpenHarness) -> None:
    harness, diary = await open_harness(), Diary()
    known, fresh = heard(verified()), heard(verified())
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    await listener.handle([known])
    await listener.handle([known, fresh, fresh])
    assert [len(batch) for batch in diary.batches] == [1, 1]
    assert await noted(harness) == 2


async def test_an_event_of_another_right_or_type_is_not_heard(open_harness: OpenHarness) -> None:
    listener = dispatcher(await open_harness(), (RequestVerified, Diary().begin))
    withdrawn = a(RequestWithdrawn, right=Right.ERASURE)
    nobodys = Message("dsr.requests", b"", b"", {**heard(verified()).headers, "ce_right": "oblivion"})

    assert listener.wants(as_sent(heard(verified())))
    assert not listener.wants(as_sent(heard(verified(Right.ACCESS))))
    assert not listener.wants(as_sent(heard(withdrawn)))
    assert listener.wants(as_sent(nobodys)), "a right that nobody knows is set aside, not passed over"


@pytest.mark.parametrize(("sent", "reason"), [(spoiled, "ValidationError"), (heard, "illegal_transition")])
async def test_a_record_that_is_unreadable_or_breaks_its_handler_is_set_aside_alone_with_its_effect_and_never_logged(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture, sent: Callable[[Event], Message], reason: str
) -> None:
    harness, diary = await open_harness(), Diary()
    events = [verified() for _ in range(5)]
    bad = sent(events[3])
    diary.breaks_on = lambda event: IllegalTransition(PERSONAL) if event == events[3] else None
    with caplog.at_level(logging.DEBUG):
        records = [*map(heard, events[:3]), bad, heard(events[4])]
        await dispatcher(harness, (RequestVerified, diary.begin)).handle(records)
    letters = await dead_letters(harness)
    assert [(letter["topic"], letter["value"]) for letter in letters] == [("dsr.dead-letters.erasure", bad.value)]
    assert f'"dsr_reason":"{reason}"'.encode() in letters[0]["headers"]
    assert await noted(harness) == 4
    assert "set aside" in caplog.text
    assert PERSONAL not in caplog.text


async def test_a_dead_letter_has_no_header_too_large_and_says_how_many_it_lacks(open_harness: OpenHarness) -> None:
    harness, many = await open_harness(), dict.fromkeys(map(str, range(50)), "")
    for headers, passed_on in (
        ({"a": "1"}, {"a": "1"}),
        ({"a": "1", "traceparent": "0" * 2_200_000}, {"a": "1", "dsr_headers_cut": "1"}),
        ({"a": "1", "traceparent": "ada@example.org"}, {"a": "1", "dsr_headers_cut": "1"}),
        ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-ff"}, {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}),
        (many, dict.fromkeys(map(str, range(32)), "") | {"dsr_headers_cut": "18"}),
    ):
        async with harness.unit_of_work.begin() as tx:
            letter = dead_letter(Message("dsr.requests", b"k", b"v", headers), "too_large", "so large", tx)
            why = {"dsr_reason": "too_large", "dsr_detail": "so large", "dsr_topic": "dsr.requests"}
            why["dsr_set_aside_at"] = tx.now.isoformat()
        assert letter == Message("dsr.dead-letters.erasure", b"k", b"v", passed_on | why)


async def test_a_value_that_the_database_refuses_is_the_records_fault_and_no_outage(open_harness: OpenHarness) -> None:
    harness = await open_harness()

    async def insert(events: Sequence[Event], tx: UnitOfWork) -> None:
        for event in events:
            await tx.connection.execute("SELECT $1::int", str(event.request_id))

    async with asyncio.timeout(60):
        await dispatcher(harness, (RequestVerified, insert)).handle([heard(verified())])
    assert len(await dead_letters(harness)) == 1


async def test_while_the_database_is_away_records_wait_and_none_is_set_aside(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    tried = asyncio.Event()
    attempts: list[int] = []

    async def begin(events: Sequence[Event], tx: UnitOfWork) -> None:
        attempts.append(len(events))
        for event in events:
            tx.log_evidence(event.request_id, "noted", {})
        if len(attempts) == 1:
            async with harness.pool.acquire() as other:
                ended = await tx.connection.fetchval("SELECT pg_backend_pid()")
                await other.execute("SELECT pg_terminate_backend($1)", ended)
            tried.set()

    async with asyncio.timeout(60):
        await dispatcher(harness, (RequestVerified, begin)).handle([heard(verified()) for _ in range(3)])
    assert tried.is_set()
    assert attempts == [3, 3]
    assert await noted(harness) == 3
    assert await dead_letters(harness) == []


async def test_busy_database_is_awaited(open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement cancelled, a full disk, no memory, a disk that fails, a lock, a standby, a session ended."""
    monkeypatch.setattr("shared.runtime.loops._BEAT_SECONDS", 0)
    harness, states = await open_harness(), ["57014", "53100", "53200", "58030", "55P03", "25006", "57P05"]
    left = [*states]

    async def begin(events: Sequence[Event], tx: UnitOfWork) -> None:
        for event in events:
            tx.log_evidence(event.request_id, "noted", {})
        if left:
            raising = f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{left.pop()}'; END $$"
            await tx.connection.execute(raising)

    async with asyncio.timeout(60):
        await dispatcher(harness, (RequestVerified, begin)).handle([heard(verified()) for _ in range(3)])
    assert (left, await noted(harness), await dead_letters(harness)) == ([], 3, [])

    stopping, heartbeats, again = asyncio.Event(), Heartbeats(), [*states]

    async def look() -> None:
        state = again.pop()
        if not again:
            stopping.set()
        await harness.pool.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")

    await run_periodically(look, "test", 0, stopping, heartbeats)


async def test_events_of_one_request_are_never_put_out_of_order(open_harness: OpenHarness) -> None:
    harness, order = await open_harness(), list[tuple[str, Event]]()

    async def begin(events: Sequence[Event], _tx: UnitOfWork) -> None:
        order.extend(("begin", event) for event in events)

    async def cancel(events: Sequence[Event], _tx: UnitOfWork) -> None:
        order.extend(("cancel", event) for event in events)

    first, second = verified(), verified()
    withdrawn = a(RequestWithdrawn, about=first.request_id, right=Right.ERASURE, subject=first.subject)
    again = first.model_copy(update={"event_id": uuid7()})
    listener = dispatcher(harness, (RequestVerified, begin), (RequestWithdrawn, cancel))
    await listener.handle([heard(event) for event in (first, withdrawn, second, again)])
    of_first = [(name, event) for name, event in order if event.request_id == first.request_id]
    assert of_first == [("begin", first), ("cancel", withdrawn), ("begin", again)]
    assert ("begin", second) in order


TYPE = "dsr.request.verified.v1"


async def test_unreadable_record_is_parked_alone(open_harness: OpenHarness, caplog: pytest.LogCaptureFixture) -> None:
    harness, diary = await open_harness(), Diary()
    dead = Count("dsr_events_heard_total", service="erasure", type="unreadable", result="dead_letter")
    records = [heard(verified()), unreadable(), heard(verified())]
    assert await dispatcher(harness, (RequestVerified, diary.begin)).handle(records) == []
    [letter] = await dead_letters(harness)
    assert (letter["value"], json.loads(letter["headers"])) == (
        b"",
        {
            "dsr_reason": "unreadable",
            "dsr_detail": "a batch in the codec snappy",
            "dsr_topic": "dsr.requests",
            "dsr_partition": "2",
            "dsr_offset": "7",
            "dsr_set_aside_at": harness.unit_of_work.clock.now().isoformat(),
        },
    )
    assert (await noted(harness), dead.added) == (2, 1)
    assert "record dsr.requests 2:7 set aside: a batch in the codec snappy" in caplog.text


@pytest.mark.parametrize(
    ("headers", "value", "detail"),
    [
        ({}, b"x" * 880_000, "no header ce_type: the type of the event is unknown"),
        ({"ce_type": TYPE}, b"{}", "no header ce_right with one of the rights"),
        ({"ce_type": TYPE, "ce_right": "erasure"}, b"{", "the whole: json_invalid"),
        (
            {"ce_type": TYPE, "ce_right": "erasure"},
            b'{"right": "ada@example.org", "due_on": "0000-01-01", "Ada Lovelace": 1}',
            "due_on: date_parsing; occurred_at: missing; request_id: missing; right: enum; subject: missing",
        ),
    ],
    ids=["no type", "no right", "no JSON", "wrong fields"],
)
async def test_what_is_wrong_with_a_record_is_on_record_by_field_and_without_its_values(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture, headers: dict[str, str], value: bytes, detail: str
) -> None:
    harness, diary = await open_harness(), Diary()
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    record = Message("dsr.requests", b"", value, headers, partition=2, offset=7)
    assert listener.wants([(name, content.encode()) for name, content in headers.items()])
    assert await listener.handle([record, heard(verified())]) == []
    [letter] = await dead_letters(harness)
    assert json.loads(letter["headers"])["dsr_detail"] == detail
    assert f"record dsr.requests 2:7 set aside: {detail}" in caplog.text
    assert await noted(harness) == 1


# One bad record costs one record: what cannot be read is told with its place, and what stands around it is handled.
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


async def heard_again(bootstrap: str, topic: str, enough: int, **settings: int) -> list[Message]:
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
async def test_unreadable_record_is_skipped_with_place_and_reason(kafka_bootstrap: str, topic: str, kind: str) -> None:
    (bad, why), good = BAD[kind], batch((b"good", NOTHING))
    await send_raw(kafka_bootstrap, topic, good, *bad, good)
    records = await heard_again(kafka_bootstrap, topic, 3, record_bytes=500_000, unpacked_bytes=1024 * 1024)
    assert [(record.partition, record.offset, record.value, record.unreadable) for record in records] == [
        (0, 0, b"good", ""),
        (0, 1, b"", why),
        (0, 2, b"good", ""),
    ]


@pytest.mark.parametrize("gzip", [False, True])
async def test_neighbours_in_its_batch_are_read(kafka_bootstrap: str, topic: str, gzip: bool) -> None:  # noqa: FBT001
    five: list[tuple[bytes, Headers]] = [(b"%d" % n * 200, NO_TEXT if n in (1, 3) else NOTHING) for n in range(5)]
    await send_raw(kafka_bootstrap, topic, batch(*five, gzip=gzip))
    records = await heard_again(kafka_bootstrap, topic, 5)
    assert [(record.offset, record.value[:1], bool(record.unreadable)) for record in records] == [
        (0, b"0", False),
        (1, b"", True),
        (2, b"2", False),
        (3, b"", True),
        (4, b"4", False),
    ]


async def test_it_is_not_heard_again_by_the_next_member_of_the_group(kafka_bootstrap: str, topic: str) -> None:
    await send_raw(kafka_bootstrap, topic, batch((b"bad", NO_TEXT)), packed(batch((b"bad", NOTHING)), "zstd"))
    assert len(await heard_again(kafka_bootstrap, topic, 2)) == 2
    await send_raw(kafka_bootstrap, topic, batch((b"good", NOTHING)))
    assert [record.value for record in await heard_again(kafka_bootstrap, topic, 1)] == [b"good"]


async def test_on_a_topic_of_replies_the_broker_unpacks_what_a_team_has_compressed(kafka_bootstrap: str) -> None:
    name = f"dsr.tasks.{uuid7().hex}.replies"
    await create_topics(kafka_bootstrap, [name], partitions=1)
    await send_raw(kafka_bootstrap, name, *(packed(batch((codec.encode(), NOTHING)), codec) for codec in CODECS))
    assert [record.value.decode() for record in await heard_again(kafka_bootstrap, name, 3)] == list(CODECS)
