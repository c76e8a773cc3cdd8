"""Nobody is left in silence (Art. 12(4)): a question without an answer is reminded of, and then comes the last notice.

A notice belongs to the start of its day in the controller's zone.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from services.deadline.settings import DeadlineSettings
from shared.app import service
from shared.domain.events import QuestionUnanswered
from shared.domain.rights import Right
from shared.domain.suspension import silence
from shared.domain.time_limit import Arrival, receipt_date
from shared.domain.time_limit_policy import Question, TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import run_periodically
from shared.storage.postgres import Connection

_OPEN = """
SELECT question_id, request_id, asked_at, reminded_until FROM question
WHERE request_id = ANY($1) AND answered_at IS NULL AND last_notice_at IS NULL ORDER BY question_id FOR UPDATE
"""
_PLAN = """
UPDATE question q SET next_notice_at = p.next_notice_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS p (question_id, next_notice_at) WHERE q.question_id = p.question_id
"""
COME = """
SELECT q.question_id, q.request_id, q.question, q.asked_at, q.reminded_until,
       c."right", c.traceparent, c.received_at, c.zones, c.calendar, c.due_on
FROM question q JOIN clock c USING (request_id)
WHERE q.next_notice_at <= $1 AND c.responded_at IS NULL
ORDER BY q.next_notice_at LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_TOLD = """
UPDATE question q SET reminded_until = t.reminded_until, last_notice_at = t.last_notice_at,
                      next_notice_at = t.next_notice_at
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
     AS t (question_id, reminded_until, last_notice_at, next_notice_at)
WHERE q.question_id = t.question_id
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is due to be told from ``at`` on (UTC)."""

    at: datetime
    kind: Literal["reminder", "last_notice"]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question of a running clock that has come to a notice."""

    question_id: UUID
    request_id: UUID
    question: Question
    asked_at: datetime
    reminded_until: datetime | None
    right: Right
    traceparent: str | None
    arrival: Arrival
    due_on: date


@dataclass(frozen=True, slots=True)
class Waited:
    """When and where a request arrived, and by when it is due as its dates stand now."""

    request_id: UUID
    arrival: Arrival
    due_on: date


def notices(
    asked_at: datetime, arrival: Arrival, due_on: date, policy: TimeLimitPolicy, reminded_until: datetime | None
) -> list[Notice]:
    """Every notice of a question that was not told yet, in the order of time; the last notice is the last; pure."""
    zone = ZoneInfo(policy.commitment.controller_zone)
    found = silence(asked_at, arrival, due_on, policy)
    reminders = (Notice(_start_of(day, zone), "reminder") for day in found.reminders)
    fresh = [notice for notice in reminders if reminded_until is None or notice.at > reminded_until]
    return [*fresh, Notice(_start_of(found.last_notice, zone), "last_notice")]


async def plan(connection: Connection, waited: Iterable[Waited], policy: TimeLimitPolicy) -> None:
    """Computes anew when to look at the open questions of these requests: they were asked, or the dates have moved."""
    dated = {each.request_id: each for each in waited}
    rows = await connection.fetch(_OPEN, list(dated))
    if rows:
        await connection.execute(
            _PLAN,
            [row["question_id"] for row in rows],
            [
                notices(row["asked_at"], each.arrival, each.due_on, policy, row["reminded_until"])[0].at
                for row, each in ((row, dated[row["request_id"]]) for row in rows)
            ],
        )


class Silences:
    """Looks at open questions, a batch in a transaction; several instances at once share the work."""

    def __init__(
        self,
        unit_of_work: UnitOfWorkFactory,
        policy: TimeLimitPolicy,
        batch: int,
        stopping: asyncio.Event,
        heartbeats: Heartbeats,
    ) -> None:
        self._transactions = unit_of_work
        self._policy = policy
        self._batch = batch
        self._stopping = stopping
        self._heartbeats = heartbeats
        self._zone = ZoneInfo(policy.commitment.controller_zone)

    async def look(self) -> None:
        """Tells everything that has come by now, batch by batch, until told to stop."""
        looked_at = self._batch
        while looked_at == self._batch and not self._stopping.is_set():
            self._heartbeats.beat("silence")
            looked_at = await self.tick()

    async def tick(self) -> int:
        """Tells one batch, of each question only the latest that matters; returns how many questions it looked at."""
        async with self._transactions.begin() as tx:
            come = await _come(tx.connection, tx.now, self._batch)
            told: list[tuple[UUID, datetime | None, datetime | None, datetime | None]] = []
            for each in come:
                ahead = notices(each.asked_at, each.arrival, each.due_on, self._policy, each.reminded_until)
                fresh = [notice for notice in ahead if notice.at <= tx.now]
                after = next((notice.at for notice in ahead if notice.at > tx.now), None)
                if not fresh:
                    told.append((each.question_id, each.reminded_until, None, after))
                    continue
                notice = fresh[-1]
                if notice.kind == "reminder":
                    told.append((each.question_id, notice.at, None, after))
                else:
                    told.append((each.question_id, each.reminded_until, tx.now, None))
                event = self._unanswered(each, notice, tx.now)
                tx.traces[each.request_id] = each.traceparent
                detail = {"question": event.question, "notice": event.notice, "days_open": event.days_open}
                tx.log_evidence(each.request_id, "deadline.question_unanswered", detail)
                tx.publish(event)
            if told:
                await tx.connection.execute(_TOLD, *map(list, zip(*told, strict=True)))
        return len(come)

    def _unanswered(self, each: Unanswered, notice: Notice, now: datetime) -> QuestionUnanswered:
        open_since = receipt_date(each.asked_at, each.arrival.zones)
        return QuestionUnanswered(
            request_id=each.request_id,
            occurred_at=now,
            right=each.right,
            question_id=each.question_id,
            question=each.question.value,
            notice=notice.kind,
            days_open=(now.astimezone(self._zone).date() - open_since).days,
        )


async def keep_telling(around: service.Running, policy: TimeLimitPolicy, settings: DeadlineSettings) -> None:
    """Looks at open questions for as long as the service runs."""
    silences = Silences(around.unit_of_work, policy, settings.batch, around.stopping, around.heartbeats)
    await run_periodically(silences.look, "silence", settings.sweep_seconds, around.stopping, around.heartbeats)


async def _come(connection: Connection, now: datetime, limit: int) -> Sequence[Unanswered]:
    rows = await connection.fetch(COME, now, limit)
    return [
        Unanswered(
            *(row["question_id"], row["request_id"], Question(row["question"]), row["asked_at"]),
            *(row["reminded_until"], Right(row["right"]), row["traceparent"]),
            Arrival(row["received_at"], tuple(row["zones"]), row["calendar"]),
            row["due_on"],
        )
        for row in rows
    ]


def _start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
