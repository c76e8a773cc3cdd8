"""The questions that were put to requesters, as rows: open from when they were sent until the answer was received."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.domain.events import QuestionAnswered, QuestionSent, RequestClosed, RequestReopened
from shared.domain.suspension import Suspension
from shared.domain.time_limit_policy import Question
from shared.storage.postgres import Connection


def suspension(event: QuestionSent) -> Suspension:
    """The suspension that a question opens."""
    return Suspension(Question(event.question), event.asked_at, None, event.condition_recorded)


async def ask(connection: Connection, events: Sequence[QuestionSent], in_time: Mapping[UUID, bool]) -> None:
    """Notes questions that were sent, and of those whose clock runs whether they were asked in time."""
    columns = ["question_id", "request_id", "question", "asked_at", "condition_recorded", "in_time"]
    rows = [
        (e.question_id, e.request_id, e.question, e.asked_at, e.condition_recorded, in_time.get(e.question_id))
        for e in events
    ]
    await connection.copy_records_to_table("question", records=rows, columns=columns)


async def answer(connection: Connection, events: Sequence[QuestionAnswered]) -> None:
    """Notes answers; the first one counts."""
    await connection.execute(
        "UPDATE question q SET answered_at = a.answered_at, next_notice_at = NULL"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS a (question_id, answered_at)"
        " WHERE q.question_id = a.question_id AND q.answered_at IS NULL",
        [event.question_id for event in events],
        [event.answered_at for event in events],
    )


async def end(connection: Connection, events: Sequence[RequestClosed]) -> list[UUID]:
    """Closes what is still open of requests that were answered all the same; returns those requests."""
    rows = await connection.fetch(
        "UPDATE question q SET answered_at = c.responded_at, next_notice_at = NULL"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS c (request_id, responded_at)"
        " WHERE q.request_id = c.request_id AND q.answered_at IS NULL RETURNING q.request_id",
        [event.request_id for event in events],
        [event.responded_at for event in events],
    )
    return [row[0] for row in rows]


async def answer_late(connection: Connection, events: Sequence[RequestReopened]) -> None:
    """Notes answers that came after the request was closed: the question was open until then all the same."""
    await connection.execute(
        "UPDATE question q SET answered_at = a.answered_at"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS a (question_id, answered_at)"
        " WHERE q.question_id = a.question_id",
        [event.question_id for event in events],
        [event.answered_at for event in events],
    )
