"""Dispatching: a batch is one transaction, a repeat has no effect, and only the record that is bad is set aside."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import IllegalTransition
from shared.domain.events import Event, FulfilmentCompleted, RequestVerified, RequestWithdrawn, TimerFired, type_of
from shared.domain.rights import Right
from shared.domain.topics import Message, ServiceName
from shared.messaging.dead_letters import REPLAYED_FOR, dead_letter, paused_since, resume
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.storage.evidence import verify
from shared.storage.postgres import connected
from tests.fixtures.dispatching import (
    PERSONAL,
    Diary,
    as_sent,
    dead_letters,
    dispatcher,
    noted,
    record_of,
    spoiled,
    unreadable,
    verified,
)
from tests.fixtures.engine import Harness, SetClock
from tests.fixtures.events import a
from tests.fixtures.metrics import Count


async def test_a_batch_is_handed_over_in_one_transaction(harness: Harness) -> None:
    diary = Diary()
    events = [verified() for _ in range(50)]
    await dispatcher(harness, (RequestVerified, diary.begin)).handle([record_of(event) for event in events])
    assert diary.batches == [events]
    unit_of_work = await harness.pool.fetchval("SELECT count(DISTINCT xmin::text) FROM evidence.entry")
    assert (await noted(harness), unit_of_work) == (50, 1)


async def test_what_was_handled_and_what_was_set_aside_is_counted_once_each(harness: Harness) -> None:
    diary = Diary()
    kind = {"service": harness.unit_of_work.service, "type": type_of(RequestVerified)}
    handled, dead = (Count("dsr_events_consumed_total", **kind, result=how) for how in ("handled", "dead_letter"))
    known = record_of(verified())
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    await listener.handle([known, record_of(verified())])
    await listener.handle([known, spoiled(verified())])
    assert (handled.added, dead.added) == (2, 1)


async def test_event_counts_only_from_the_topic_of_its_rights_service(harness: Harness) -> None:
    diary = Diary()
    record = record_of(a(FulfilmentCompleted, right=Right.ERASURE))
    another = record_of(a(FulfilmentCompleted, right=Right.ACCESS))
    forged = [
        Message(another.topic, b"", record.value, record.headers),
        Message("dsr.deadlines", b"", record.value, record.headers),
        Message(another.topic, b"", another.value, record.headers),
    ]
    await dispatcher(harness, (FulfilmentCompleted, diary.begin)).handle([*forged, record])
    assert (len(diary.batches), await noted(harness), len(await dead_letters(harness))) == (1, 1, len(forged))


async def test_a_repeated_record_has_no_second_effect(harness: Harness) -> None:
    diary = Diary()
    known, fresh = record_of(verified()), record_of(verified())
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    await listener.handle([known])
    await listener.handle([known, fresh, fresh])
    assert [len(batch) for batch in diary.batches] == [1, 1]
    assert await noted(harness) == 2


async def test_event_of_another_right_or_type_is_skipped(harness: Harness) -> None:
    listener = dispatcher(harness, (RequestVerified, Diary().begin))
    withdrawn = a(RequestWithdrawn, right=Right.ERASURE)
    nobodys = Message("dsr.requests", b"", b"", {**record_of(verified()).headers, "ce_right": "oblivion"})

    assert listener.wants(as_sent(record_of(verified())))
    assert not listener.wants(as_sent(record_of(verified(Right.ACCESS))))
    assert not listener.wants(as_sent(record_of(withdrawn)))
    assert listener.wants(as_sent(nobodys)), "an unknown right is parked, not skipped"


@pytest.mark.parametrize(("sent", "reason"), [(spoiled, "ValidationError"), (record_of, "illegal_transition")])
async def test_a_record_that_is_unreadable_or_breaks_its_handler_is_set_aside_alone_with_its_effect_and_never_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture, sent: Callable[[Event], Message], reason: str
) -> None:
    diary = Diary()
    events = [verified() for _ in range(5)]
    bad = sent(events[3])
    diary.breaks_on = lambda event: IllegalTransition(PERSONAL) if event == events[3] else None
    with caplog.at_level(logging.DEBUG):
        records = [*map(record_of, events[:3]), bad, record_of(events[4])]
        await dispatcher(harness, (RequestVerified, diary.begin)).handle(records)
    letters = await dead_letters(harness)
    assert [(letter["topic"], letter["value"]) for letter in letters] == [("dsr.dead-letters.erasure", bad.value)]
    assert f'"dsr_reason":"{reason}"'.encode() in letters[0]["headers"]
    assert await noted(harness) == 4
    assert "set aside" in caplog.text
    assert PERSONAL not in caplog.text


async def test_a_dead_letter_has_no_header_too_large_and_says_how_many_it_lacks(harness: Harness) -> None:
    many = dict.fromkeys(map(str, range(50)), "")
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


async def test_a_value_that_the_database_refuses_is_the_records_fault_and_no_outage(harness: Harness) -> None:

    async def insert(events: Sequence[Event], tx: UnitOfWork) -> None:
        for event in events:
            await tx.connection.execute("SELECT $1::int", str(event.request_id))

    async with asyncio.timeout(60):
        await dispatcher(harness, (RequestVerified, insert)).handle([record_of(verified())])
    assert len(await dead_letters(harness)) == 1


async def test_while_the_database_is_away_records_wait_and_none_is_set_aside(harness: Harness) -> None:
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
        await dispatcher(harness, (RequestVerified, begin)).handle([record_of(verified()) for _ in range(3)])
    assert tried.is_set()
    assert attempts == [3, 3]
    assert await noted(harness) == 3
    assert await dead_letters(harness) == []


async def test_busy_database_is_awaited(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement cancelled, a full disk, no memory, a disk that fails, a lock, a standby, a session ended."""
    monkeypatch.setattr("shared.runtime.loops._BEAT_SECONDS", 0)
    states = ["57014", "53100", "53200", "58030", "55P03", "25006", "57P05"]
    left = [*states]

    async def begin(events: Sequence[Event], tx: UnitOfWork) -> None:
        for event in events:
            tx.log_evidence(event.request_id, "noted", {})
        if left:
            raising = f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{left.pop()}'; END $$"
            await tx.connection.execute(raising)

    async with asyncio.timeout(60):
        await dispatcher(harness, (RequestVerified, begin)).handle([record_of(verified()) for _ in range(3)])
    assert (left, await noted(harness), await dead_letters(harness)) == ([], 3, [])

    stopping, heartbeats, again = asyncio.Event(), Heartbeats(), [*states]

    async def look() -> None:
        state = again.pop()
        if not again:
            stopping.set()
        await harness.pool.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")

    await run_periodically(look, "test", 0, stopping, heartbeats)


async def test_events_of_one_request_are_never_put_out_of_order(harness: Harness) -> None:
    order = list[tuple[str, Event]]()

    async def begin(events: Sequence[Event], _tx: UnitOfWork) -> None:
        order.extend(("begin", event) for event in events)

    async def cancel(events: Sequence[Event], _tx: UnitOfWork) -> None:
        order.extend(("cancel", event) for event in events)

    first, second = verified(), verified()
    withdrawn = a(RequestWithdrawn, about=first.request_id, right=Right.ERASURE, subject=first.subject)
    again = first.model_copy(update={"event_id": uuid7()})
    listener = dispatcher(harness, (RequestVerified, begin), (RequestWithdrawn, cancel))
    await listener.handle([record_of(event) for event in (first, withdrawn, second, again)])
    of_first = [(name, event) for name, event in order if event.request_id == first.request_id]
    assert of_first == [("begin", first), ("cancel", withdrawn), ("begin", again)]
    assert ("begin", second) in order


TYPE = "dsr.request.verified.v1"


async def test_unreadable_record_is_parked_alone(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    diary = Diary()
    dead = Count("dsr_events_consumed_total", service="erasure", type="unreadable", result="dead_letter")
    records = [record_of(verified()), unreadable(), record_of(verified())]
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
    harness: Harness, caplog: pytest.LogCaptureFixture, headers: dict[str, str], value: bytes, detail: str
) -> None:
    diary = Diary()
    listener = dispatcher(harness, (RequestVerified, diary.begin))
    record = Message("dsr.requests", b"", value, headers, partition=2, offset=7)
    assert listener.wants([(name, content.encode()) for name, content in headers.items()])
    assert await listener.handle([record, record_of(verified())]) == []
    [letter] = await dead_letters(harness)
    assert json.loads(letter["headers"])["dsr_detail"] == detail
    assert f"record dsr.requests 2:7 set aside: {detail}" in caplog.text
    assert await noted(harness) == 1


# Above its limit of dead letters a topic is paused until an operator resumes it.
async def test_above_its_limit_of_dead_letters_a_topic_is_left_alone_and_others_are_not(
    harness: Harness, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    diary = Diary()
    listener = dispatcher(harness, (RequestVerified, diary.begin), (TimerFired, diary.begin), limit=2)
    elsewhere = record_of(a(TimerFired, right=Right.ERASURE))
    bad = [unreadable(offset=offset) for offset in range(5)]
    good = record_of(verified())
    assert await listener.handle([*bad, good, elsewhere]) == [*bad[3:], good]
    assert (len(await dead_letters(harness)), await noted(harness)) == (3, 1)
    assert "it is paused: dsr consumers resume erasure dsr.requests" in caplog.text

    after_a_restart = dispatcher(harness, (RequestVerified, diary.begin), limit=2)
    assert await after_a_restart.paused_topics() == {"dsr.requests"}
    assert await after_a_restart.handle([good]) == [good]
    async with connected(database) as operator:
        assert [(each[0], each[1]) for each in await paused_since(operator)] == [("erasure", "dsr.requests")]
        assert [await resume(operator, ServiceName.ERASURE, "dsr.requests") for _ in range(2)] == [True, False]
    assert await after_a_restart.paused_topics() == set()
    assert await after_a_restart.handle([good]) == []
    assert await noted(harness) == 2


async def test_record_that_would_leak_into_evidence_is_parked_alone(harness: Harness, database: str) -> None:
    events = [verified() for _ in range(5)]

    async def note(batch: Sequence[RequestVerified], tx: UnitOfWork) -> None:
        for event in batch:
            said = PERSONAL if event.event_id == bad.event_id else "code"
            tx.log_evidence(event.request_id, "noted", {"said": said})

    bad = events[2]
    listener = dispatcher(harness, (RequestVerified, note))
    assert await listener.handle([record_of(event) for event in events]) == []
    [letter] = await dead_letters(harness)
    assert UUID(json.loads(letter["value"])["request_id"]) == bad.request_id
    noted_of = await harness.pool.fetch("SELECT request_id, detail FROM evidence.entry ORDER BY seq")
    assert [row["request_id"] for row in noted_of] == [each.request_id for each in events if each is not bad]
    assert PERSONAL not in str(noted_of) + str(dict(letter))
    assert await verify(database) == {"erasure": None}


async def test_dead_letters_of_another_day_do_not_count(harness: Harness, clock: SetClock) -> None:
    listener = dispatcher(harness, limit=2)
    for _ in range(3):
        assert await listener.handle([unreadable(), unreadable()]) == []
        clock.pass_by(days=1)
    assert await listener.paused_topics() == set()


async def test_replayed_record_reaches_its_service_alone_and_is_not_parked_again(harness: Harness) -> None:
    listener = dispatcher(harness, (RequestVerified, Diary().begin), limit=1)
    good, bad = record_of(verified()), spoiled(verified())
    for service, wanted in ((ServiceName.ERASURE, True), (ServiceName.DEADLINE, False)):
        again = Message(good.topic, good.key, good.value, {**good.headers, REPLAYED_FOR: service})
        assert listener.wants(as_sent(again)) is wanted
    broken = [Message(bad.topic, bad.key, bad.value, {**bad.headers, REPLAYED_FOR: ServiceName.ERASURE})] * 5
    assert await listener.handle([*broken, good]) == []
    assert await noted(harness) == 1
    assert await dead_letters(harness) == []
    assert await listener.paused_topics() == frozenset()
