"""Who does not answer a question is reminded twice and told at last; and what a later answer does to a clock."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import asyncpg
import pytest
from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from services.deadline import handlers, silence
from services.deadline.silence import Silences
from shared.events import (
    AnyEvent,
    QuestionAnswered,
    QuestionSent,
    QuestionUnanswered,
    RequestClosed,
    RequestExtended,
    RequestReceived,
    RequestReopened,
)
from shared.rights import Outcome
from shared.transaction import Transactions
from tests.fixtures.deadline_work import (
    ARRIVED,
    POLICY,
    HandClock,
    clock,
    hear,
    office,
    pool,
    received,
    stop,
    sweep_all,
    sweep_of,
    told,
)

__all__ = ["clock", "office", "pool"]
asked, answered, extend, reopen = (
    partial(handler, policy=POLICY) for handler in (handlers.asked, handlers.answered, handlers.extend, handlers.reopen)
)
ASKED = ARRIVED + timedelta(days=1)  # 6 March: reminders on the 13th and 20th, last notice on 1 April
LAST = datetime(2026, 4, 1, 4, tzinfo=UTC)  # midnight in New York


def question(event: RequestReceived, at: datetime = ASKED, kind: str = "identity") -> QuestionSent:
    return QuestionSent.model_validate(
        {
            "request_id": event.request_id,
            "occurred_at": at,
            "right": event.right,
            "question_id": uuid7(),
            "question": kind,
            "asked_at": at,
            "condition_recorded": True,
        }
    )


def reply(sent: QuestionSent, at: datetime) -> QuestionAnswered:
    return QuestionAnswered(
        request_id=sent.request_id, occurred_at=at, right=sent.right, question_id=sent.question_id, answered_at=at
    )


def given_up(event: RequestReceived, at: datetime) -> RequestClosed:
    return RequestClosed(
        request_id=event.request_id,
        subject=event.subject,
        occurred_at=at,
        right=event.right,
        outcome=Outcome.UNIDENTIFIED,
        responded_at=at,
        resumable=True,
    )


def resumed(event: RequestReceived, sent: QuestionSent, at: datetime, due_on: date) -> RequestReopened:
    return RequestReopened(
        request_id=event.request_id,
        subject=event.subject,
        occurred_at=at,
        right=event.right,
        question_id=sent.question_id,
        answered_at=at,
        due_on=due_on,
    )


async def ask(office: Transactions, *questions: QuestionSent) -> None:
    async with office.begin() as tx:
        await asked(questions, tx)


async def one_asked(office: Transactions) -> tuple[RequestReceived, QuestionSent]:
    event = received()
    await hear(office, event)
    sent = question(event)
    await ask(office, sent)
    return event, sent


def silences(office: Transactions, batch: int = 1_000) -> Silences:
    return Silences(office, POLICY, batch)


async def notices(pool: asyncpg.Pool) -> list[QuestionUnanswered]:
    rows = await pool.fetch("SELECT value FROM outbox ORDER BY position")
    said = [TypeAdapter(AnyEvent).validate_json(row["value"]) for row in rows]
    return [event for event in said if isinstance(event, QuestionUnanswered)]


def days(found: Sequence[QuestionUnanswered]) -> list[tuple[str, int]]:
    return [(event.notice, event.days_open) for event in found]


async def on_record(pool: asyncpg.Pool, action: str) -> list[dict[str, object]]:
    rows = await pool.fetch("SELECT detail FROM evidence.entry WHERE action = $1 ORDER BY seq", action)
    return [json.loads(row[0]) for row in rows]


async def test_two_reminders_and_the_last_notice_come_each_once_at_the_start_of_their_day(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(office)
    look = silences(office).look
    counts = []
    for start in (datetime(2026, 3, 13, 4, tzinfo=UTC), datetime(2026, 3, 20, 4, tzinfo=UTC), LAST):
        for clock.at in (start - timedelta(microseconds=1), start, start + timedelta(hours=5)):
            await look()
            counts.append(len(await notices(pool)))
    clock.at = LAST + timedelta(days=100)
    await look()

    found = await notices(pool)
    assert counts == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert days(found) == [("reminder", 7), ("reminder", 14), ("last_notice", 26)]
    assert {(event.question_id, event.question) for event in found} == {(sent.question_id, "identity")}
    assert [entry["notice"] for entry in await on_record(pool, "deadline.question_unanswered")] == [
        "reminder",
        "reminder",
        "last_notice",
    ]


@pytest.mark.parametrize(
    ("back_at", "expected"),
    [
        (datetime(2026, 3, 25, tzinfo=UTC), [("reminder", 18)]),
        (datetime(2026, 4, 20, tzinfo=UTC), [("last_notice", 44)]),
    ],
)
async def test_after_downtime_only_the_latest_that_matters_is_told(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock, back_at: datetime, expected: list[tuple[str, int]]
) -> None:
    await one_asked(office)
    clock.at = back_at
    await silences(office).look()
    await silences(office).look()
    assert days(await notices(pool)) == expected


async def test_who_answers_in_time_hears_nothing_more(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    _, sent = await one_asked(office)
    clock.at = datetime(2026, 3, 14, tzinfo=UTC)
    await silences(office).look()
    async with office.begin() as tx:
        await answered([reply(sent, clock.at)], tx)
    clock.at = LAST + timedelta(days=10)
    await silences(office).look()
    assert days(await notices(pool)) == [("reminder", 7)]


async def test_a_request_that_was_closed_or_withdrawn_is_not_asked_again(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(office)
    late, _ = await one_asked(office)
    async with office.begin() as tx:
        await stop([given_up(event, ASKED + timedelta(days=1)), given_up(late, ASKED + timedelta(days=1))], tx)
    await ask(office, question(late, ASKED + timedelta(days=2)))  # heard after the closure
    clock.at = LAST + timedelta(days=10)
    await silences(office).look()
    assert await notices(pool) == []


async def test_dates_that_move_move_the_last_notice_and_repeat_no_reminder(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sent = await one_asked(office)
    clock.at = datetime(2026, 3, 21, tzinfo=UTC)
    await silences(office).look()
    extension = RequestExtended(
        request_id=event.request_id,
        occurred_at=clock.at,
        right=event.right,
        reason="VOLUME",
        due_on=date(2026, 6, 4),
        told_at=clock.at,
    )
    async with office.begin() as tx:
        await extend([extension], tx)
    clock.at = LAST + timedelta(days=1)
    await silences(office).look()
    before = days(await notices(pool))
    clock.at = datetime(2026, 6, 2, 4, tzinfo=UTC)  # two working days before Thursday 4 June
    await silences(office).look()
    (*_, last) = await notices(pool)
    assert before == [("reminder", 14)]
    assert (last.notice, last.question_id) == ("last_notice", sent.question_id)


async def test_what_was_told_at_last_is_not_told_again_when_the_dates_move_later(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, _ = await one_asked(office)
    clock.at = LAST
    await silences(office).look()
    await ask(office, question(event, LAST + timedelta(hours=1), "clarification"))
    clock.at = LAST + timedelta(hours=2)
    await silences(office).look()
    assert days(await notices(pool)) == [("last_notice", 26)]


async def test_several_instances_share_the_work_and_tell_each_notice_once(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received() for _ in range(40)]
    await hear(office, *events)
    await ask(office, *(question(event) for event in events))
    clock.at = LAST
    await asyncio.gather(*(silences(office, batch=7).look() for _ in range(3)))
    await silences(office).look()  # what each left in the hands of the others
    found = await notices(pool)
    assert len(found) == len({event.request_id for event in found}) == 40


async def test_a_look_reads_what_is_due_and_not_what_is_open(office: Transactions, pool: asyncpg.Pool) -> None:
    events = [received() for _ in range(300)]
    await hear(office, *events)
    await ask(office, *(question(event) for event in events))
    await pool.execute("VACUUM ANALYZE question")
    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {silence.COME}", ASKED, 1_000)
    assert "question_next_notice" in (plan if isinstance(plan, str) else json.dumps(plan))


async def test_a_reopened_request_runs_until_its_new_day_and_what_its_dates_were_stays(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event, sent = await one_asked(office)
    answered_at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    async with office.begin() as tx:
        await stop([given_up(event, LAST)], tx)
    clock.at = answered_at
    async with office.begin() as tx:
        await reopen([resumed(event, sent, answered_at, date(2026, 5, 19))], tx)

    row = await pool.fetchrow("SELECT * FROM clock")
    before = await pool.fetch("SELECT * FROM clock_before WHERE cause = 'reopened'")
    assert row is not None
    assert (row["responded_at"], row["outcome"], row["timeliness"]) == (None, None, None)
    assert (row["due_on"], row["work_by"]) == (date(2026, 5, 19), date(2026, 5, 19))
    assert row["statutory_due_on"] == date(2026, 5, 20)  # 45 days from 5 April
    assert [each["due_on"] for each in before] == [date(2026, 4, 4)]
    assert await pool.fetchval("SELECT answered_at FROM question") == answered_at
    assert await on_record(pool, "deadline.reopened") == [{"due_on": "2026-05-19"}]

    clock.at = datetime(2026, 6, 1, tzinfo=UTC)
    await sweep_all(sweep_of(office))
    await silences(office).look()
    assert (await told(pool))[event.request_id] == [
        "approaching 7",
        "approaching 3",
        "approaching 1",
        "overdue commitment",
        "overdue statutory",
    ]
    assert await notices(pool) == []
    async with office.begin() as tx:
        await stop([given_up(event, datetime(2026, 5, 20, 4, tzinfo=UTC))], tx)
    assert await pool.fetchval("SELECT timeliness FROM clock") == "late_commitment"


async def test_the_law_is_never_said_to_end_before_the_commitment_of_a_reopened_request(
    office: Transactions, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(office, event)
    sent = question(event, ARRIVED + timedelta(days=10))  # asked too late to stop the statutory clock
    await ask(office, sent)
    clock.at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    async with office.begin() as tx:
        await stop([given_up(event, LAST)], tx)
        await reopen([resumed(event, sent, clock.at, date(2026, 5, 10))], tx)
    assert await pool.fetchval("SELECT statutory_due_on FROM clock") == date(2026, 5, 10)
    again = question(event, clock.at, "clarification")
    await ask(office, again)
    async with office.begin() as tx:
        await answered([reply(again, clock.at + timedelta(days=1))], tx)
    assert await pool.fetchval("SELECT (due_on, statutory_due_on) FROM clock") == (
        date(2026, 5, 10),
        date(2026, 5, 10),
    )
