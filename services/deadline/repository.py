"""Reads and writes the tables of the deadline service: clocks, timers and questions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import asyncpg

from services.deadline.clock import STEPPING, AskedQuestion, RequestClock, Timer
from shared.domain.rights import Right
from shared.domain.time_limit_policy import Question
from shared.storage.postgres import Connection, column_types, update_rows

EVERY_REQUEST = UUID(int=0)
"""The request id of a timer that is about all requests."""

_COLUMNS = tuple(field.name for field in fields(RequestClock) if field.name not in {"questions", "timers"})
_QUESTION_COLUMNS = tuple(field.name for field in fields(AskedQuestion))
_FIXED = {"request_id", "subject_ref", "right", "traceparent", "questions", "timers"}
_TYPES = {name: kind for name, kind in column_types(RequestClock).items() if name not in _FIXED}
_CLOCK = ", ".join(f'c."{name}"' for name in _COLUMNS)
_LISTS = ("zones", "met", "outstanding")

_TIMER = "request_id, kind, ref, due_at, reported, detail"
# Skips timers that another instance has locked. Targets are judged only up to what was consumed. Retained data are
# not due before the answer, since work on the request may continue until then.
DUE = f"""
SELECT {_TIMER} FROM timer t
WHERE due_at <= $1 AND reported <> 'released' AND (kind <> 'target' OR due_at <= $2)
      AND (kind <> 'retention' OR EXISTS (SELECT FROM clock c WHERE c.request_id = t.request_id
                                          AND c.responded_at IS NOT NULL))
ORDER BY due_at LIMIT $3 FOR UPDATE OF t SKIP LOCKED
"""  # noqa: S608  # our own names
_PUT_TIMERS = f"""
INSERT INTO timer ({_TIMER})
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::jsonb[])
ON CONFLICT (request_id, kind, ref) DO UPDATE
SET due_at = EXCLUDED.due_at, reported = EXCLUDED.reported, detail = EXCLUDED.detail
"""  # noqa: S608
_DROP_TIMERS = """
DELETE FROM timer t USING unnest($1::uuid[], $2::text[], $3::text[]) AS r (request_id, kind, ref)
WHERE t.request_id = r.request_id AND t.kind = r.kind AND t.ref = r.ref
"""
_FLAG = """
INSERT INTO timer (request_id, kind, due_at) SELECT request_id, 'flag', $2 FROM clock
WHERE request_id = ANY($1) AND responded_at IS NULL ON CONFLICT DO NOTHING
"""
_MET = """
UPDATE clock SET met = concat_ws(',', nullif(met, ''), $2::text)
WHERE request_id = ANY($1) AND responded_at IS NULL AND NOT string_to_array($2, ',') <@ string_to_array(met, ',')
"""
_ANSWER = """
UPDATE question q SET answered_at = a.answered_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS a (question_id, answered_at)
WHERE q.question_id = a.question_id AND ($3 OR q.answered_at IS NULL)
"""
_END_QUESTIONS = """
UPDATE question q SET answered_at = c.responded_at
FROM unnest($1::uuid[], $2::timestamptz[]) AS c (request_id, responded_at)
WHERE q.request_id = c.request_id AND q.answered_at IS NULL RETURNING q.request_id
"""


OPEN_BY_RIGHT = """
SELECT "right", count(*) AS open, count(*) FILTER (WHERE due_at > $1 AND due_at <= $2) AS soon,
       count(*) FILTER (WHERE due_at <= $1) AS overdue
FROM (SELECT "right", due_at FROM clock WHERE responded_at IS NULL
      UNION ALL SELECT "right", due_at FROM clock WHERE outstanding <> '') AS owed GROUP BY "right" ORDER BY "right"
"""
# By right, as the index of open requests is ordered; by time first, since the index has no days.
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


async def insert(connection: Connection, clocks: Sequence[RequestClock]) -> None:
    """Stores the clocks of received requests, with their timers."""
    rows = _rows(clocks, _COLUMNS)
    await connection.copy_records_to_table("clock", records=rows, columns=_COLUMNS)
    await put_timers(connection, [(clock.request_id, each) for clock in clocks for each in clock.timers])


async def lock_clocks(
    connection: Connection, requests: Sequence[UUID], *, stopped: bool = False, wait: bool = True
) -> list[RequestClock]:
    """Returns the clocks of these requests, locked, with questions and timers; ``stopped``: also those that stopped."""
    skip = "" if wait else " SKIP LOCKED"
    rows = await connection.fetch(
        f"SELECT {_CLOCK} FROM clock c WHERE request_id = ANY($1) AND ($2 OR responded_at IS NULL)"  # noqa: S608
        f" ORDER BY request_id FOR UPDATE{skip}",
        *(requests, stopped),
    )
    if not rows:
        return []
    asked, timers = defaultdict[UUID, list[AskedQuestion]](list), defaultdict[UUID, list[Timer]](list)
    query = f"SELECT {', '.join(_QUESTION_COLUMNS)} FROM question WHERE request_id = ANY($1) ORDER BY asked_at, 5"  # noqa: S608
    for question, *others in await connection.fetch(query, [row[0] for row in rows]):
        each = AskedQuestion(Question(question), *others)
        asked[each.request_id].append(each)
    for about, timer in await timers_of(connection, [row[0] for row in rows]):
        timers[about].append(timer)
    return [_clock_of(row, tuple(asked[row[0]]), tuple(timers[row[0]])) for row in rows]


async def of(connection: Connection, requests: Sequence[UUID]) -> dict[UUID, RequestClock]:
    """Returns the clocks of these requests, running or stopped, without a lock."""
    rows = await connection.fetch(f"SELECT {_CLOCK} FROM clock c WHERE request_id = ANY($1)", requests)  # noqa: S608
    return {row[0]: _clock_of(row) for row in rows}


async def save(connection: Connection, before: Sequence[RequestClock], after: Sequence[RequestClock]) -> None:
    """Writes changed clocks and timers; columns that never change are left out."""
    await update_rows(connection, "clock", "request_id", _TYPES, _rows(after, ("request_id", *_TYPES)))
    old = {(clock.request_id, each.kind, each.ref): each for clock in before for each in clock.timers}
    new = {(clock.request_id, each.kind, each.ref): each for clock in after for each in clock.timers}
    await put_timers(connection, [(key[0], each) for key, each in new.items() if old.get(key) != each])
    await drop_timers(connection, [key for key in old if key not in new])


async def due_timers(
    connection: Connection, until: datetime, judged_until: datetime, limit: int
) -> list[tuple[UUID, Timer]]:
    """Returns up to ``limit`` due timers, the longest due first; targets up to ``judged_until``."""
    return [_timer_of(row) for row in await connection.fetch(DUE, until, judged_until, limit)]


async def timers_of(
    connection: Connection, requests: Sequence[UUID], kinds: Sequence[str] = tuple(STEPPING)
) -> list[tuple[UUID, Timer]]:
    """Returns the timers of these requests and kinds; by default those with steps."""
    query = f"SELECT {_TIMER} FROM timer WHERE request_id = ANY($1) AND kind = ANY($2) ORDER BY request_id, kind, ref"  # noqa: S608
    return [_timer_of(row) for row in await connection.fetch(query, requests, kinds)]


async def of_other_policies(connection: Connection, version: str) -> list[tuple[UUID, Timer]]:
    """Returns retention timers that were computed by another version of the policy."""
    rows = await connection.fetch(
        f"SELECT {_TIMER} FROM timer WHERE kind = 'retention' AND due_at IS NOT NULL AND reported = ''"  # noqa: S608
        " AND detail ->> 'policy' <> $1 AND detail -> 'kept' <> '[]' ORDER BY request_id, ref LIMIT 1000 FOR UPDATE",
        version,
    )
    return [_timer_of(row) for row in rows]


async def put_timers(connection: Connection, timers: Sequence[tuple[UUID, Timer]]) -> None:
    """Stores timers by request, kind and reference."""
    if timers:
        rows = [(about, str(t.kind), t.ref, t.due_at, ",".join(t.reported), t.detail) for about, t in timers]
        await connection.execute(_PUT_TIMERS, *map(list, zip(*rows, strict=True)))


async def drop_timers(connection: Connection, keys: Sequence[tuple[UUID, str, str]]) -> None:
    """Removes timers by request, kind and reference."""
    if keys:
        await connection.execute(_DROP_TIMERS, *map(list, zip(*keys, strict=True)))


async def flag(connection: Connection, requests: Sequence[UUID], at: datetime) -> None:
    """Schedules the flag in the CRM for each open request, once."""
    await connection.execute(_FLAG, requests, at)


async def meet(connection: Connection, requests: Sequence[UUID], *targets: str) -> None:
    """Records that these targets were met."""
    await connection.execute(_MET, requests, ",".join(targets))


async def insert_questions(connection: Connection, asked: Iterable[AskedQuestion]) -> None:
    """Stores questions that were sent."""
    rows = map(attrgetter(*_QUESTION_COLUMNS), asked)
    await connection.copy_records_to_table("question", records=rows, columns=_QUESTION_COLUMNS)


async def answer(connection: Connection, answered_at: Mapping[UUID, datetime], *, late: bool = False) -> None:
    """Records answers by question; the first one counts, unless it came after the closure (``late``)."""
    await connection.execute(_ANSWER, list(answered_at), list(answered_at.values()), late)


async def end_questions(connection: Connection, responded_at: Mapping[UUID, datetime]) -> set[UUID]:
    """Closes the open questions of answered requests; returns those requests."""
    rows = await connection.fetch(_END_QUESTIONS, list(responded_at), list(responded_at.values()))
    return {row[0] for row in rows}


def _rows(clocks: Iterable[RequestClock], names: tuple[str, ...]) -> list[list[object]]:
    values = map(attrgetter(*names), clocks)
    return [[",".join(value) if isinstance(value, tuple) else value for value in row] for row in values]


def _clock_of(
    row: asyncpg.Record, asked: tuple[AskedQuestion, ...] = (), timers: tuple[Timer, ...] = ()
) -> RequestClock:
    lists = {name: _list(row[name]) for name in _LISTS}
    return RequestClock(**{**row, "right": Right(row["right"]), "questions": asked, "timers": timers, **lists})


def _timer_of(row: asyncpg.Record) -> tuple[UUID, Timer]:
    about, kind, ref, due_at, reported, detail = row
    return about, Timer(kind, ref, due_at, _list(reported), detail)


def _list(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))
