"""Texts in which people write about people: what names the subject there is taken out, in whoever's row it stands.

A name is left: it is others' too. An address or a number is the subject's alone, at the time of the row.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.domain.assignments import NUMBERS
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.finding.examination import as_utc
from shared.downstreams.sql.finding.search_keys import Coverage, SearchKey, spoken_of
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

_SIGNS = r"[\s().\-/]*"
"""What may stand between the digits of a number in a text."""
_IN_TEXTS = frozenset({IdentityType.EMAIL, *NUMBERS})
_DIGITS_ONLY = "regexp_replace({}, '[^0-9+]', '', 'g')"


@dataclass(frozen=True, slots=True)
class _Mention:
    """A text of one row in which somebody is named: where it stands, and what it is without them."""

    key: tuple[Any, ...]
    column: str
    before: str
    after: str
    whose: frozenset[int]


def named(tables: Sequence[Statements], task: Task) -> bool:
    """Whether the task's subject may be named in a text of one of the tables."""
    return any(table.table.scrubbed and _keys(table, task) for table in tables)


async def spoken(session: Session, tasks: Sequence[Task]) -> list[Task]:
    """The tasks with what the rows of their subjects say of them besides: nobody is searched by it, but in texts.

    Of rows with a time nothing is taken: whose a number was at another time they do not tell.
    """
    if not any(each.table.scrubbed for each in session.tables):
        return [*tasks]
    known = {task.task_id: [*task.identities] for task in tasks}
    telling = [t for t in session.tables if t.search and not t.table.occurred]
    for table in telling if tasks else ():
        columns = tuple(table.table.columns)
        asked = table.wanted(tasks)
        rows = await session.connection.fetch(table.select(columns), *asked.arrays) if asked else ()
        for row, owners in each_row(rows, len(columns), table, asked):
            for position, parties in owners.items():
                known[tasks[position].task_id] += _told(table, dict(zip(columns, row, strict=False)), parties)
    return [replace(task, identities=tuple(dict.fromkeys(known[task.task_id]))) for task in tasks]


def _told(table: Statements, row: Mapping[str, Any], parties: Collection[str | None]) -> Iterator[Identity]:
    period = table.table.period
    zone = (period and period.timezone) or table.table.timezone
    times = (row[period.valid_from], row[period.valid_to]) if period else (None, None)
    since, until = (time and as_utc(time, zone) for time in times)
    for name, column in table.table.searched.items():
        if column.identity in _IN_TEXTS and column.party in parties and row[name] is not None:
            with suppress(MalformedIdentity):  # what is no address or number stands in no text as one
                value = normalise(column.identity, str(row[name]), column.region)
                yield Identity(column.identity, value, *((since, until) if column.identity in NUMBERS else ()))


async def scrub(session: Session, table: Statements, tasks: Sequence[Task]) -> Mapping[int, int]:
    """Takes the subjects out of the texts of a table; in how many rows for each task, by position."""
    rows: dict[tuple[Any, ...], set[int]] = {}
    for mention in await _mentions(session, table, tasks):
        same = " AND ".join(f"t.{quoted(c)} = ${i + 3}" for i, c in enumerate(table.table.primary_key))
        column = quoted(mention.column)
        update = f"UPDATE {table.source} t SET {column} = $1 WHERE t.{column} = $2 AND {same}"
        await session.connection.execute(update, mention.after, mention.before, *mention.key)
        rows.setdefault(mention.key, set()).update(mention.whose)
    return Counter(position for whose in rows.values() for position in whose)


async def left(session: Session, tasks: Sequence[Task]) -> set[UUID]:
    """The tasks whose subject is still named in a text."""
    found: set[UUID] = set()
    for table in (table for table in session.tables if table.table.scrubbed):
        for mention in await _mentions(session, table, tasks):
            found |= {tasks[position].task_id for position in mention.whose}
    return found


async def _mentions(session: Session, table: Statements, tasks: Sequence[Task]) -> list[_Mention]:
    keys = [(position, key) for position, task in enumerate(tasks) for key in _keys(table, task)]
    patterns = [(position, key, _pattern(key)) for position, key in keys]
    numbers = [f"%{_digits(key.value)}%" for _, key in keys if key.type is IdentityType.PHONE]
    others = [f"%{_like(key.value)}%" for _, key in keys if key.type is not IdentityType.PHONE]
    primary, found = table.table.primary_key, list[_Mention]()
    for name, column in table.table.scrubbed.items() if keys else ():
        text = f"t.{quoted(name)}"
        shown = ", ".join([*(f"t.{quoted(c)}" for c in primary), text, table.moment])
        candidates = f"({text} ILIKE ANY($1::text[]) OR {_DIGITS_ONLY.format(text)} LIKE ANY($2::text[])){table.theirs}"
        query = f"SELECT {shown} FROM {table.source} t WHERE {candidates}"
        for row in await session.connection.fetch(query, others, numbers):
            *key, before, at = row
            after, whose = _without(before, at, patterns, column.blank or "")
            if whose:
                found.append(_Mention(tuple(key), name, before, after, whose))
    return found


def _without(
    text: str, at: datetime | None, patterns: Sequence[tuple[int, SearchKey, re.Pattern[str]]], blank: str
) -> tuple[str, frozenset[int]]:
    """The text without those whose it was at the time of its row, and who they are."""
    whose: set[int] = set()
    after = text
    for position, key, pattern in patterns:
        if key.covers(at, at) is Coverage.INSIDE and pattern.search(text):
            after = pattern.sub(lambda _: blank, after)
            whose.add(position)
    return after, frozenset(whose)


def _keys(table: Statements, task: Task) -> Sequence[SearchKey]:
    """What names the subject in the texts of a table, each with the time in which it does."""
    keys = spoken_of(task, table.name, table.table, table.relation, _IN_TEXTS)
    return [key for key in keys if key.names is None]


def _pattern(key: SearchKey) -> re.Pattern[str]:
    """A spelling of an identity in a text, and nothing that it is a part of."""
    if key.type is IdentityType.PHONE:
        digits = _SIGNS.join(map(re.escape, _digits(key.value)))
        return re.compile(rf"(?<![\w+])(?:\+|00)?{_SIGNS if key.value[0] == '+' else ''}{digits}(?!\w)")
    return re.compile(rf"(?<![\w.+-]){re.escape(key.value)}(?![\w-]|\.\w)", re.IGNORECASE)


def _digits(number: str) -> str:
    return number.removeprefix("+")


def _like(value: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", value)
