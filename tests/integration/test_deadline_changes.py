"""How a stored date moves, by an event alone; and what people elsewhere see of an open request."""

import json
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.deadline import company, digest, handlers
from shared.domain.events import QuestionAnswered, QuestionSent, RequestExtended, RequestReceived, RequestVerified
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment import queue as tasks
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWorkFactory
from tests.fixtures.deadline_work import (
    ARRIVED,
    POLICY,
    HandClock,
    clock,
    closed,
    harness,
    hear,
    pool,
    received,
    stop,
    sweep_all,
    sweep_of,
    told,
)

__all__ = ["clock", "harness", "pool"]
asked, answered, extend = (
    partial(handler, policy=POLICY) for handler in (handlers.asked, handlers.answered, handlers.extend)
)
LEASE = timedelta(seconds=30)


def question(event: RequestReceived, after: timedelta, *, recorded: bool = True) -> QuestionSent:
    at = ARRIVED + after
    return QuestionSent(
        request_id=event.request_id,
        occurred_at=at,
        right=event.right,
        question_id=uuid7(),
        question="identity",
        asked_at=at,
        condition_recorded=recorded,
    )


def reply(sent: QuestionSent, at: datetime) -> QuestionAnswered:
    return QuestionAnswered(
        request_id=sent.request_id, occurred_at=at, right=sent.right, question_id=sent.question_id, answered_at=at
    )


def extended(event: RequestReceived, due_on: date) -> RequestExtended:
    return RequestExtended(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=event.right,
        reason="VOLUME",
        due_on=due_on,
        told_at=ARRIVED,
    )


async def dates(pool: asyncpg.Pool, request_id: UUID) -> tuple[date, date]:
    row = await pool.fetchrow("SELECT due_on, statutory_due_on FROM clock WHERE request_id = $1", request_id)
    assert row is not None
    return row[0], row[1]


async def on_record(pool: asyncpg.Pool, request_id: UUID, action: str) -> list[dict[str, object]]:
    rows = await pool.fetch(
        "SELECT detail FROM evidence.entry WHERE request_id = $1 AND action = $2 ORDER BY seq", request_id, action
    )
    return [json.loads(row[0]) for row in rows]


async def waiting(pool: asyncpg.Pool, operation: Operation) -> list[dict[str, object]]:
    rows = await pool.fetch(
        "SELECT f.details FROM fulfilment f JOIN task t USING (fulfilment_id)"
        " WHERE t.operation = $1 AND t.state = 'ready' ORDER BY t.task_id",
        operation,
    )
    return [row[0] for row in rows]


async def test_an_answered_question_moves_the_statutory_limit_alone_and_what_it_was_stays(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    sent = question(event, timedelta(days=1))
    async with harness.begin() as tx:
        await asked([sent], tx)
    assert await dates(pool, event.request_id) == (date(2026, 4, 4), date(2026, 4, 7))
    async with harness.begin() as tx:
        await answered([reply(sent, ARRIVED + timedelta(days=11))], tx)
    assert await dates(pool, event.request_id) == (date(2026, 4, 4), date(2026, 4, 15))  # ten days from 5 April
    before = await pool.fetchrow("SELECT cause, statutory_due_on, due_on FROM clock_before")
    assert before is not None
    assert tuple(before) == ("question_answered", date(2026, 4, 7), date(2026, 4, 4))
    assert await on_record(pool, event.request_id, "deadline.question_sent") == [
        {"question": "identity", "not_counted": None}
    ]
    (recomputed,) = await on_record(pool, event.request_id, "deadline.recomputed")
    assert recomputed["cause"] == "question_answered"


@pytest.mark.parametrize(
    ("after", "recorded", "reason"),
    [(6, True, "asked_too_late"), (1, False, "condition_not_recorded")],
)
async def test_a_question_that_does_not_count_moves_nothing_and_the_reason_is_on_record(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, after: int, recorded: object, reason: str
) -> None:
    event = received()
    await hear(harness, event)
    sent = question(event, timedelta(days=after), recorded=bool(recorded))
    async with harness.begin() as tx:
        await asked([sent], tx)
        await answered([reply(sent, ARRIVED + timedelta(days=20))], tx)
    assert await dates(pool, event.request_id) == (date(2026, 4, 4), date(2026, 4, 7))
    assert await pool.fetchval("SELECT count(*) FROM clock_before") == 0
    assert (await on_record(pool, event.request_id, "deadline.question_sent"))[0]["not_counted"] == reason


async def test_while_a_question_is_open_only_the_commitment_can_be_overdue(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    sent = question(event, timedelta(days=1))
    async with harness.begin() as tx:
        await asked([sent], tx)
    clock.at = ARRIVED + timedelta(days=60)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id][-1] == "overdue commitment"
    async with harness.begin() as tx:
        await answered([reply(sent, clock.at)], tx)
    clock.at += timedelta(days=40)
    await sweep_all(sweep_of(harness))
    assert (await told(pool))[event.request_id][-2:] == ["overdue commitment", "overdue statutory"]


async def test_an_answer_given_while_a_question_is_open_is_judged_with_the_days_of_the_question(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await asked([question(event, timedelta(days=1))], tx)
        await stop([closed(event, ARRIVED + timedelta(days=40))], tx)
    assert await pool.fetchval("SELECT timeliness FROM clock") == "late_commitment"


async def test_an_extension_moves_both_clocks_and_the_warnings_start_anew(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    clock.at = ARRIVED + timedelta(days=28)
    await sweep_all(sweep_of(harness))
    async with harness.begin() as tx:
        await extend([extended(event, date(2026, 6, 4))], tx)
    assert await dates(pool, event.request_id) == (date(2026, 6, 4), date(2026, 6, 5))
    clock.at = datetime(2026, 6, 20, tzinfo=UTC)
    await sweep_all(sweep_of(harness))
    again = ["approaching 7", "approaching 3", "approaching 1", "overdue commitment", "overdue statutory"]
    assert (await told(pool))[event.request_id] == ["approaching 7", "approaching 3", *again]
    assert await on_record(pool, event.request_id, "deadline.extended") == [{"reason": "VOLUME"}]


async def test_a_clock_that_has_stopped_moves_no_more(harness: UnitOfWorkFactory, pool: asyncpg.Pool) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await stop([closed(event, ARRIVED)], tx)
        await extend([extended(event, date(2026, 6, 4))], tx)
    assert await dates(pool, event.request_id) == (date(2026, 4, 4), date(2026, 4, 7))


async def test_a_ticket_that_may_exist_is_resolved_with_the_answer(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    warned, quiet = received(), received()
    await hear(harness, warned, quiet)
    clock.at = ARRIVED + timedelta(days=28)
    await sweep_all(sweep_of(harness))
    async with harness.begin() as tx:
        await stop([closed(quiet, clock.at)], tx)  # its warning is withdrawn before anybody saw it
    async with pool.acquire() as connection:
        (claim,) = await tasks.claim(connection, ("ticketing", "escalate"), 10, clock.at, LEASE)
    assert claim.request_id == warned.request_id
    async with harness.begin() as tx:
        await stop([closed(warned, clock.at)], tx)
    assert await waiting(pool, Operation.ESCALATE) == [{"level": "resolved", "outcome": "fulfilled"}]


async def test_a_flag_is_set_once_it_is_known_who_asks_and_taken_away_with_the_answer(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    events = [received(), received()]
    await hear(harness, *events)
    async with harness.begin() as tx:
        await company.flag([verified(event) for event in events], tx)
    assert await waiting(pool, Operation.FLAG) == [{"open": True}] * 2
    async with pool.acquire() as connection:
        (claim,) = await tasks.claim(connection, ("crm", "flag"), 1, clock.at, LEASE)
    async with harness.begin() as tx:
        await stop([closed(event, clock.at) for event in events], tx)
    assert await waiting(pool, Operation.FLAG) == [{"open": False}]  # the other one was never begun
    assert claim.request_id in {event.request_id for event in events}


async def test_a_flag_that_another_worker_was_setting_meanwhile_is_taken_away_once_more(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    event = received()
    await hear(harness, event)
    async with harness.begin() as tx:
        await company.flag([verified(event)], tx)
    async with pool.acquire() as connection:
        await tasks.claim(connection, ("crm", "flag"), 1, clock.at, LEASE)
    async with harness.begin() as tx:
        await stop([closed(event, clock.at)], tx)
    async with pool.acquire() as connection:
        (claim,) = await tasks.claim(connection, ("crm", "flag"), 1, clock.at, LEASE)
    async with harness.begin() as tx:
        conclusion = tasks.Conclusion(claim, "done", {"outcome": "no_match"}, None, clock.at)
        await tasks.conclude(tx.connection, [conclusion], clock.at)
        await company.flagged([completed(claim)], tx)
    assert await waiting(pool, Operation.FLAG) == [{"open": False}]


async def test_the_digest_counts_by_right_once_a_day_however_long_the_service_was_away(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool, clock: HandClock
) -> None:
    due = received(received_at=ARRIVED - timedelta(days=25))
    overdue = received(received_at=ARRIVED - timedelta(days=40), right=Right.ERASURE)
    done = received()
    await hear(harness, due, overdue, received(), done)
    async with harness.begin() as tx:
        await stop([closed(done, ARRIVED)], tx)
    sweep = sweep_of(harness)
    clock.at = datetime(2026, 3, 5, 10, tzinfo=UTC)  # five in the morning in New York
    assert not await sweep.report()
    clock.at = datetime(2026, 3, 5, 12, tzinfo=UTC)
    assert [await sweep.report() for _ in range(3)] == [True, False, False]
    clock.at += timedelta(days=5)
    assert [await sweep.report() for _ in range(2)] == [True, False]
    (first, second) = await waiting(pool, Operation.ESCALATE)
    assert first["level"] == "digest"
    lines = first["lines"]
    assert isinstance(lines, list)
    assert lines[0] == "access: 2 open, 1 due in 7 days, 0 overdue"
    assert lines[2] == "erasure: 1 open, 0 due in 7 days, 1 overdue"
    assert lines[-1] == "all: 3 open, 1 due in 7 days, 1 overdue"
    assert len(lines) == len(Right) + 1
    assert first != second


async def test_the_digest_reads_what_is_open_and_not_what_was_answered(
    harness: UnitOfWorkFactory, pool: asyncpg.Pool
) -> None:
    await hear(harness, *(received() for _ in range(500)))
    await pool.execute("UPDATE clock SET responded_at = received_at")
    await hear(harness, received())
    await pool.execute("VACUUM ANALYZE clock")
    plan = await pool.fetchval(f"EXPLAIN (FORMAT JSON) {digest.COUNTS}", ARRIVED, ARRIVED + digest.SOON)
    assert "clock_open" in (plan if isinstance(plan, str) else json.dumps(plan))


def verified(event: RequestReceived) -> RequestVerified:
    return RequestVerified(
        request_id=event.request_id,
        occurred_at=ARRIVED,
        right=event.right,
        subject=event.subject,
        due_on=event.due_on,
    )


def completed(claim: tasks.Claim) -> Completed:
    return Completed(
        claim.fulfilment_id,
        claim.request_id,
        claim.subject_ref,
        Right(claim.right),
        Operation.FLAG,
        claim.details,
        reports=(),
    )
