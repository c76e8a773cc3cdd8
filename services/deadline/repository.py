"""The tables of the deadline service: clocks, questions, steps, missed targets, notifications and deferrals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

import asyncpg

from services.deadline.clock import AskedQuestion, Clock, Due, Step
from shared.domain.operations import TaskReport
from shared.domain.rights import Right
from shared.domain.time_limit_policy import Question
from shared.storage.postgres import Connection, column_types, update_rows

_COLUMNS = tuple(field.name for field in fields(Clock) if field.name != "questions")
_QUESTION_COLUMNS = tuple(field.name for field in fields(AskedQuestion))
_TYPES = {  # of the columns that may change
    name: kind
    for name, kind in column_types(Clock).items()
    if name not in {"request_id", "subject_ref", "right", "traceparent", "questions"}
}
_NOTICES = dict.fromkeys(("next_notice_at", "reminded_until", "last_notice_at"), "timestamptz")

_CLOCK = ", ".join(f'c."{name}"' for name in _COLUMNS)
_QUESTION = ", ".join(f"q.{name}" for name in _QUESTION_COLUMNS)

# What is in the hands of another instance is left to it.
_DUE = "SELECT {} FROM clock c WHERE {} <= $1 ORDER BY {} LIMIT $2 FOR UPDATE SKIP LOCKED"
DUE_MILESTONES = _DUE.format(_CLOCK, *["next_milestone_at"] * 2)
DUE_TARGETS = _DUE.format(_CLOCK, *["next_target_at"] * 2)
DUE_QUESTIONS = (
    f"SELECT {_CLOCK}, {_QUESTION} FROM question q JOIN clock c USING (request_id)"  # noqa: S608  # names of ours
    " WHERE q.next_notice_at <= $1 AND c.responded_at IS NULL ORDER BY q.next_notice_at LIMIT $2 FOR UPDATE SKIP LOCKED"
)
# Not before the answer: until then the work on the request itself may go on.
DUE_DEFERRALS = (
    f"SELECT {_CLOCK}, d.system, d.due_at FROM deferral d JOIN clock c USING (request_id)"  # noqa: S608
    " WHERE d.state = 'scheduled' AND d.due_at <= $1 AND c.responded_at IS NOT NULL"
    " ORDER BY d.due_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED"
)

OPEN_BY_RIGHT = """
SELECT "right", count(*) AS open, count(*) FILTER (WHERE due_at > $1 AND due_at <= $2) AS soon,
       count(*) FILTER (WHERE due_at <= $1) AS overdue
FROM (SELECT "right", due_at FROM clock WHERE responded_at IS NULL
      UNION ALL SELECT "right", due_at FROM clock WHERE outstanding <> '') AS owed GROUP BY "right" ORDER BY "right"
"""
# By right, as the index of what is open is ordered; and by instants first, since days are not in it.
NEAREST = """
SELECT request_id, due_on, due_at <= $4 AS overdue
FROM (
    SELECT nearest.* FROM unnest($1::text[]) AS r (name) CROSS JOIN LATERAL (
        SELECT request_id, due_on, due_at FROM clock
        WHERE responded_at IS NULL AND "right" = r.name AND due_at <= $2 AND due_on <= $3 ORDER BY due_at LIMIT $5
    ) nearest
    UNION ALL SELECT request_id, due_on, due_at FROM clock WHERE outstanding <> '' AND due_at <= $2 AND due_on <= $3
) AS owed ORDER BY due_at, request_id LIMIT $5
"""
NUMBER_DUE = """
SELECT (SELECT count(*) FROM clock WHERE responded_at IS NULL AND "right" = ANY($1) AND due_at <= $2 AND due_on <= $3)
     + (SELECT count(*) FROM clock WHERE outstanding <> '' AND due_at <= $2 AND due_on <= $3)
"""


async def insert(connection: Connection, clocks: Iterable[Clock]) -> None:
    """Stores the clocks of requests that have just been received."""
    await connection.copy_records_to_table("clock", records=_rows(clocks, _COLUMNS), columns=_COLUMNS)


async def hold(connection: Connection, requests: Sequence[UUID], *, stopped: bool = False) -> list[Clock]:
    """The clocks of these requests with their questions, locked; those that have stopped only if told so."""
    rows = await connection.fetch(
        f"SELECT {_CLOCK} FROM clock c WHERE request_id = ANY($1) AND ($2 OR responded_at IS NULL)"  # noqa: S608
        " ORDER BY request_id FOR UPDATE",
        requests,
        stopped,
    )
    asked: dict[UUID, list[AskedQuestion]] = {row[0]: [] for row in rows}
    if rows:
        query = f"SELECT {_QUESTION} FROM question q WHERE request_id = ANY($1) ORDER BY asked_at, question_id"  # noqa: S608
        for row in await connection.fetch(query, list(asked)):
            asked[row["request_id"]].append(_question_of(row[:]))
    return [_clock_of(row, tuple(asked[row[0]])) for row in rows]


async def of(connection: Connection, requests: Sequence[UUID]) -> dict[UUID, Clock]:
    """The clocks of these requests, whether or not they run; not locked."""
    rows = await connection.fetch(f"SELECT {_CLOCK} FROM clock c WHERE request_id = ANY($1)", requests)  # noqa: S608
    return {row[0]: _clock_of(row) for row in rows}


async def due_clocks(connection: Connection, query: str, until: datetime, limit: int) -> list[Clock]:
    """Up to ``limit`` clocks that are due by ``DUE_MILESTONES`` or ``DUE_TARGETS``, the longest due first."""
    return [_clock_of(row) for row in await connection.fetch(query, until, limit)]


async def save(connection: Connection, clocks: Iterable[Clock]) -> None:
    """Writes clocks whole, but for what never changes."""
    await update_rows(connection, "clock", "request_id", _TYPES, _rows(clocks, ("request_id", *_TYPES)))


async def update(connection: Connection, names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
    """Writes some columns of clocks; each row is the request and then a value per column."""
    await update_rows(connection, "clock", "request_id", {name: _TYPES[name] for name in names}, rows)


async def keep_before(connection: Connection, clocks: Iterable[Clock], cause: str) -> None:
    """Notes by when these requests were due before their dates moved."""
    if rows := [(clock.request_id, cause, clock.due_on) for clock in clocks]:
        await connection.copy_records_to_table("clock_before", records=rows, columns=("request_id", "cause", "due_on"))


async def take(connection: Connection, step: Step, requests: Sequence[UUID]) -> None:
    """Notes that the step was taken, whether or not the request is known here yet."""
    query = "INSERT INTO step (request_id, step) SELECT id, $1 FROM unnest($2::uuid[]) AS t (id) ON CONFLICT DO NOTHING"
    await connection.execute(query, step, requests)


async def steps_and_misses(connection: Connection, clocks: Iterable[Clock]) -> dict[UUID, tuple[set[str], set[str]]]:
    """Of each request the steps that were taken, and the targets that were said to be missed."""
    found: dict[UUID, tuple[set[str], set[str]]] = {clock.request_id: (set(), set()) for clock in clocks}
    query = (
        "SELECT request_id, 0, step FROM step WHERE request_id = ANY($1)"
        " UNION ALL SELECT request_id, 1, target FROM missed_target WHERE request_id = ANY($1)"
    )
    for request_id, place, name in await connection.fetch(query, list(found)):
        found[request_id][place].add(name)
    return found


async def miss(connection: Connection, missed: Iterable[tuple[Clock, Due]]) -> None:
    """Notes the targets that were said to be missed."""
    if rows := [(clock.request_id, due.name) for clock, due in missed]:
        await connection.copy_records_to_table("missed_target", records=rows, columns=("request_id", "target"))


async def insert_questions(connection: Connection, asked: Iterable[AskedQuestion]) -> None:
    """Stores questions that were sent."""
    rows = map(attrgetter(*_QUESTION_COLUMNS), asked)
    await connection.copy_records_to_table("question", records=rows, columns=_QUESTION_COLUMNS)


async def answer(connection: Connection, answered_at: Mapping[UUID, datetime], *, late: bool = False) -> None:
    """Notes answers by question; the first one counts, but for one that came after the closure (``late``)."""
    await connection.execute(
        "UPDATE question q SET answered_at = a.answered_at, next_notice_at = NULL"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS a (question_id, answered_at)"
        " WHERE q.question_id = a.question_id AND ($3 OR q.answered_at IS NULL)",
        *(list(answered_at), list(answered_at.values()), late),
    )


async def end_questions(connection: Connection, responded_at: Mapping[UUID, datetime]) -> set[UUID]:
    """Closes the open questions of requests that were answered all the same; returns those requests."""
    rows = await connection.fetch(
        "UPDATE question q SET answered_at = c.responded_at, next_notice_at = NULL"
        " FROM unnest($1::uuid[], $2::timestamptz[]) AS c (request_id, responded_at)"
        " WHERE q.request_id = c.request_id AND q.answered_at IS NULL RETURNING q.request_id",
        *(list(responded_at), list(responded_at.values())),
    )
    return {row[0] for row in rows}


async def due_questions(connection: Connection, until: datetime, limit: int) -> list[tuple[Clock, AskedQuestion]]:
    """Up to ``limit`` questions of running clocks that have come to a notice, the longest due first."""
    rows = await connection.fetch(DUE_QUESTIONS, until, limit)
    return [(_clock_of(row), _question_of(row[len(_COLUMNS) :])) for row in rows]


async def save_notices(connection: Connection, asked: Iterable[AskedQuestion]) -> None:
    """Writes how far the requesters were reminded, and when they will be next."""
    rows = [attrgetter("question_id", *_NOTICES)(question) for question in asked]
    await update_rows(connection, "question", "question_id", _NOTICES, rows)


async def notified(connection: Connection, kind: str, day: date) -> bool:
    """Whether the notification of that day was opened."""
    query = "SELECT EXISTS (SELECT FROM notification WHERE kind = $1 AND day = $2)"
    return bool(await connection.fetchval(query, kind, day))


async def claim_notification(connection: Connection, kind: str, day: date) -> bool:
    """Whether it is for us to open the notification of that day: it is opened once."""
    query = "INSERT INTO notification (kind, day) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING day"
    return await connection.fetchval(query, kind, day) is not None


async def known_deferrals(connection: Connection, requests: Sequence[UUID]) -> dict[tuple[UUID, str], tuple[UUID, str]]:
    """What is known of these requests by system, locked: the task whose receipt says so, and the state."""
    query = (
        "SELECT request_id, system, task_id, state FROM deferral WHERE request_id = ANY($1) ORDER BY 1, 2 FOR UPDATE"
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in await connection.fetch(query, requests)}


async def withdrawn(connection: Connection, requests: Sequence[UUID]) -> set[UUID]:
    """Those of the requests that were withdrawn or refused."""
    query = "SELECT request_id FROM clock WHERE request_id = ANY($1) AND outcome IN ('withdrawn', 'refused')"
    return {row[0] for row in await connection.fetch(query, requests)}


async def put_deferral(
    connection: Connection,
    request_id: UUID,
    report: TaskReport,
    ground: str,
    due_at: datetime | None,
    state: str,
    policy: str,
) -> None:
    """Stores what a system had to keep; it takes the place of what the same system said before."""
    kept = [each.model_dump(mode="json", exclude_none=True) for each in report.kept] if report.kept else None
    await connection.execute(
        "INSERT INTO deferral (request_id, system, task_id, ground, until, due_at, state, kept, policy)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (request_id, system) DO UPDATE SET task_id = EXCLUDED.task_id, ground = EXCLUDED.ground,"
        " until = EXCLUDED.until, due_at = EXCLUDED.due_at, state = EXCLUDED.state, kept = EXCLUDED.kept,"
        " policy = EXCLUDED.policy",
        *(request_id, report.system, report.task_id, ground, report.until, due_at, state, kept, policy),
    )


async def set_deferrals(connection: Connection, places: Sequence[tuple[UUID, str]], state: str) -> None:
    """Sets the state of deferrals, by request and system."""
    await connection.execute(
        "UPDATE deferral d SET state = $3 FROM unnest($1::uuid[], $2::text[]) AS r (request_id, system)"
        " WHERE d.request_id = r.request_id AND d.system = r.system",
        *([place[0] for place in places], [place[1] for place in places], state),
    )


async def drop_deferrals(connection: Connection, requests: Sequence[UUID]) -> None:
    """Forgets what was to be erased later of these requests."""
    await connection.execute("DELETE FROM deferral WHERE request_id = ANY($1) AND state <> 'done'", requests)


async def of_other_policies(
    connection: Connection, version: str, limit: int
) -> list[tuple[UUID, str, list[dict[str, Any]], datetime]]:
    """Up to ``limit`` scheduled systems whose day another version gave: request, system, what is kept, and its end."""
    rows = await connection.fetch(
        "SELECT request_id, system, kept, due_at FROM deferral WHERE state = 'scheduled' AND kept IS NOT NULL"
        " AND (policy < $1 OR policy > $1) LIMIT $2 FOR UPDATE SKIP LOCKED",
        *(version, limit),
    )
    return [tuple(row) for row in rows]


async def move_deferrals(connection: Connection, version: str, moved: Sequence[tuple[UUID, str, datetime]]) -> None:
    """Sets the days of deferrals, by request and system, as of this version of the policy."""
    await connection.execute(
        "UPDATE deferral d SET due_at = m.due_at, policy = $1"
        " FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS m (request_id, system, due_at)"
        " WHERE d.request_id = m.request_id AND d.system = m.system",
        *(version, *([each[part] for each in moved] for part in range(3))),
    )


async def let_go(connection: Connection, requests: Sequence[UUID], now: datetime) -> list[tuple[UUID, str]]:
    """Schedules what is held without a day, of requests that were answered; returns request and system."""
    rows = await connection.fetch(
        "UPDATE deferral d SET state = 'scheduled', due_at = $2 FROM clock c"
        " WHERE d.request_id = ANY($1) AND d.state = 'held'"
        " AND c.request_id = d.request_id AND c.responded_at IS NOT NULL RETURNING d.request_id, d.system",
        *(requests, now),
    )
    return [(row[0], row[1]) for row in rows]


async def due_deferrals(connection: Connection, until: datetime, limit: int) -> list[tuple[Clock, str, datetime]]:
    """Up to ``limit`` systems whose day is over, of requests that were answered, with the instant at which it was."""
    rows = await connection.fetch(DUE_DEFERRALS, until, limit)
    return [(_clock_of(row), row[-2], row[-1]) for row in rows]


def _rows(clocks: Iterable[Clock], names: tuple[str, ...]) -> list[list[object]]:
    values = map(attrgetter(*names), clocks)
    return [
        [",".join(value) if isinstance(value, tuple) else value for value in row] for row in values
    ]  # zones, systems


def _clock_of(row: asyncpg.Record, asked: tuple[AskedQuestion, ...] = ()) -> Clock:
    known = dict(zip(_COLUMNS, row, strict=False))
    lists = {name: tuple(filter(None, row[name].split(","))) for name in ("zones", "outstanding")}
    return Clock(**known | {"right": Right(row["right"]), "questions": asked} | lists)


def _question_of(row: Sequence[Any]) -> AskedQuestion:
    question, *others = row
    return AskedQuestion(Question(question), *others)
