"""Hearing: a batch is one transaction, a repeat has no effect, and only the record that is bad is set aside."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from shared import outbox
from shared.bus.records import Heard
from shared.bus.topics import ServiceName
from shared.errors import IllegalTransition
from shared.events import Event, RequestVerified, RequestWithdrawn, type_of
from shared.hearing import Handler, Hearing, Subscription
from shared.rights import Right
from shared.telemetry import Pulse
from shared.transaction import Transaction
from tests.fixtures.engine import DUE, TRACING, Office, OpenOffice, SetClock
from tests.fixtures.told import Count

PERSONAL = "ada.lovelace@example.org"


def verified(clock: SetClock, right: Right = Right.ERASURE) -> RequestVerified:
    return RequestVerified(request_id=uuid7(), occurred_at=clock.now(), right=right, subject=uuid7(), due_on=DUE)


def as_sent(record: Heard) -> list[tuple[str, bytes | None]]:
    return [(name, value.encode()) for name, value in record.headers.items()]


def heard(event: Event) -> Heard:
    message = outbox.message(event, ServiceName.INTAKE, None)
    return Heard(message.topic, message.key, message.value, message.headers)


def spoiled(event: Event) -> Heard:
    """The record of an event whose content is no longer one, and quotes a person."""
    record = heard(event)
    return Heard(record.topic, record.key, f'{{"request_id": "{PERSONAL}"}}'.encode(), record.headers)


class Diary:
    """A handler's effect that can be counted: a row of evidence for each event."""

    def __init__(self) -> None:
        self.batches: list[list[Event]] = []
        self.breaks_on: Callable[[Event], Exception | None] = lambda _: None

    async def begin(self, events: Sequence[Event], tx: Transaction) -> None:
        """Notes what it was handed."""
        self.batches.append(list(events))
        for event in events:
            tx.record(event.request_id, "noted", {})
            if error := self.breaks_on(event):
                raise error

    async def stop(self, events: Sequence[Event], tx: Transaction) -> None:
        """Another handler."""
        await self.begin(events, tx)


def hearing(office: Office, *handlers: tuple[type[Event], Handler]) -> Hearing:
    rights = frozenset({Right.ERASURE})
    subscriptions = {type_of(event): [Subscription(event, handler, rights)] for event, handler in handlers}
    return Hearing(subscriptions, office.transactions, TRACING, Pulse())


async def noted(office: Office) -> int:
    return int(await office.pool.fetchval("SELECT count(*) FROM evidence.entry"))


async def dead_letters(office: Office) -> list[asyncpg.Record]:
    return await office.pool.fetch("SELECT topic, value, headers FROM outbox WHERE topic LIKE 'dsr.dead-letters.%'")


async def test_a_batch_is_handed_over_in_one_transaction(open_office: OpenOffice, clock: SetClock) -> None:
    office, diary = await open_office(), Diary()
    events = [verified(clock) for _ in range(50)]
    await hearing(office, (RequestVerified, diary.begin)).handle([heard(event) for event in events])
    assert diary.batches == [events]
    transactions = await office.pool.fetchval("SELECT count(DISTINCT xmin::text) FROM evidence.entry")
    assert (await noted(office), transactions) == (50, 1)


async def test_what_was_handled_and_what_was_set_aside_is_counted_once_each(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office, diary = await open_office(), Diary()
    kind = {"service": office.transactions.service, "type": type_of(RequestVerified)}
    handled, dead = (Count("dsr_events_heard_total", **kind, result=how) for how in ("handled", "dead_letter"))
    known = heard(verified(clock))
    listener = hearing(office, (RequestVerified, diary.begin))
    await listener.handle([known, heard(verified(clock))])
    await listener.handle([known, spoiled(verified(clock))])
    assert (handled.added, dead.added) == (2, 1)


async def test_a_repeated_record_has_no_second_effect(open_office: OpenOffice, clock: SetClock) -> None:
    office, diary = await open_office(), Diary()
    known, fresh = heard(verified(clock)), heard(verified(clock))
    listener = hearing(office, (RequestVerified, diary.begin))
    await listener.handle([known])
    await listener.handle([known, fresh, fresh])
    assert [len(batch) for batch in diary.batches] == [1, 1]
    assert await noted(office) == 2


async def test_an_event_of_another_right_or_type_is_not_heard(open_office: OpenOffice, clock: SetClock) -> None:
    listener = hearing(await open_office(), (RequestVerified, Diary().begin))
    withdrawn = RequestWithdrawn(request_id=uuid7(), occurred_at=clock.now(), right=Right.ERASURE, subject=uuid7())
    nobodys = Heard("dsr.requests", b"", b"", {**heard(verified(clock)).headers, "ce_right": "oblivion"})

    assert listener.wants(as_sent(heard(verified(clock))))
    assert not listener.wants(as_sent(heard(verified(clock, Right.ACCESS))))
    assert not listener.wants(as_sent(heard(withdrawn)))
    assert listener.wants(as_sent(nobodys)), "a right that nobody knows is set aside, not passed over"


async def test_a_record_that_cannot_be_read_is_set_aside_alone_and_never_told_in_the_log(
    open_office: OpenOffice, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    office, diary = await open_office(), Diary()
    good = [heard(verified(clock)) for _ in range(4)]
    bad = spoiled(verified(clock))
    with caplog.at_level(logging.DEBUG):
        await hearing(office, (RequestVerified, diary.begin)).handle([*good[:2], bad, *good[2:]])
    letters = await dead_letters(office)
    assert [(letter["topic"], letter["value"]) for letter in letters] == [("dsr.dead-letters.erasure", bad.value)]
    assert b'"dsr_reason":"ValidationError"' in letters[0]["headers"]
    assert await noted(office) == 4
    assert "set aside" in caplog.text
    assert PERSONAL not in caplog.text


async def test_a_record_that_breaks_its_handler_is_set_aside_alone_and_the_handlers_effect_with_it(
    open_office: OpenOffice, clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    office, diary = await open_office(), Diary()
    events = [verified(clock) for _ in range(5)]
    diary.breaks_on = lambda event: IllegalTransition(PERSONAL) if event == events[3] else None
    with caplog.at_level(logging.DEBUG):
        await hearing(office, (RequestVerified, diary.begin)).handle([heard(event) for event in events])
    letters = await dead_letters(office)
    assert [letter["value"] for letter in letters] == [heard(events[3]).value]
    assert b'"dsr_reason":"illegal_transition"' in letters[0]["headers"]
    assert await noted(office) == 4
    assert PERSONAL not in caplog.text


async def test_a_value_that_the_database_refuses_is_the_records_fault_and_no_outage(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office = await open_office()

    async def insert(events: Sequence[Event], tx: Transaction) -> None:
        for event in events:
            await tx.connection.execute("SELECT $1::int", str(event.request_id))

    async with asyncio.timeout(10):
        await hearing(office, (RequestVerified, insert)).handle([heard(verified(clock))])
    assert len(await dead_letters(office)) == 1


async def test_while_the_database_is_away_records_wait_and_none_is_set_aside(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office = await open_office()
    tried = asyncio.Event()
    attempts: list[int] = []

    async def begin(events: Sequence[Event], tx: Transaction) -> None:
        attempts.append(len(events))
        for event in events:
            tx.record(event.request_id, "noted", {})
        if len(attempts) == 1:
            async with office.pool.acquire() as other:
                ended = await tx.connection.fetchval("SELECT pg_backend_pid()")
                await other.execute("SELECT pg_terminate_backend($1)", ended)
            tried.set()

    async with asyncio.timeout(20):
        await hearing(office, (RequestVerified, begin)).handle([heard(verified(clock)) for _ in range(3)])
    assert tried.is_set()
    assert attempts == [3, 3]
    assert await noted(office) == 3
    assert await dead_letters(office) == []


async def test_events_of_one_request_are_never_put_out_of_order(open_office: OpenOffice, clock: SetClock) -> None:
    office, order = await open_office(), list[tuple[str, Event]]()

    async def begin(events: Sequence[Event], _tx: Transaction) -> None:
        order.extend(("begin", event) for event in events)

    async def cancel(events: Sequence[Event], _tx: Transaction) -> None:
        order.extend(("cancel", event) for event in events)

    first, second = verified(clock), verified(clock)
    withdrawn = RequestWithdrawn(
        request_id=first.request_id, occurred_at=clock.now(), right=Right.ERASURE, subject=first.subject
    )
    again = first.model_copy(update={"event_id": uuid7()})
    listener = hearing(office, (RequestVerified, begin), (RequestWithdrawn, cancel))
    await listener.handle([heard(event) for event in (first, withdrawn, second, again)])
    of_first = [(name, event) for name, event in order if event.request_id == first.request_id]
    assert of_first == [("begin", first), ("cancel", withdrawn), ("begin", again)]
    assert ("begin", second) in order
