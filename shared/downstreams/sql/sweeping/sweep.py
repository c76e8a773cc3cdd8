"""Deletes or anonymises what is due, window by window of its age, each in a transaction of its own.

Nothing needs to be noted to go on after a crash: what is gone is no longer due. Each window is as large as the last one
was quick, so that it holds its locks for about half of the time that it may; one that takes longer than that is halved.
"""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeVar

import asyncpg

from shared.domain.errors import Refused
from shared.downstreams.contract import Task
from shared.downstreams.sql.catalog import DatasetOutdated, refuse_unmapped
from shared.downstreams.sql.declaration.anonymisation import Anonymisation
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.quoting import Condition, quoted
from shared.downstreams.sql.statements import Call, Statements
from shared.downstreams.sql.store import Session
from shared.downstreams.sql.sweeping.anonymous import blank, cut, drawn
from shared.downstreams.sql.sweeping.rows import DueRows, Key, Moment
from shared.downstreams.sweepable import Counted, Due, GoOn, Spared, Swept


def anonymise(rows: DueRows, declared: Anonymisation, since: Moment, until: Moment) -> Call:
    """Takes the people out of the rows of a time; who is alone in what is rare would be known by it: that goes too."""
    table, condition = rows.table, Condition()
    where = rows.window(condition, since, until)
    values = {name: blank(table, name) for name in declared.blank}
    values |= {name: drawn(table, name) for name in declared.redraw}
    values |= {name: cut(table, name, unit) for name, unit in declared.coarsen.items()}
    if not declared.rare:
        return f"UPDATE {table.source} t SET {_assigned(values)} WHERE {where}", *condition.arguments
    for name in declared.rare:
        common = f"dsr_crowd.n >= {declared.people}"
        values[name] = f"CASE WHEN {common} THEN t.{quoted(name)} ELSE {blank(table, name)} END"
    told = [cut(table, name, unit) for name, unit in declared.coarsen.items()]
    told += [f"t.{quoted(name)}" for name in (*declared.same, *declared.rare)]
    keys = [quoted(name) for name in table.table.primary_key]
    named = ", ".join(f"t.{key} AS dsr_k{n}" for n, key in enumerate(keys))
    same = " AND ".join(f"t.{key} = dsr_due.dsr_k{n}" for n, key in enumerate(keys))
    # For the planner alone: without it all partitions would be read.
    within = f"{rows.moment} < $1::{rows.type} AND {rows.moment} >= $2::{rows.type}"
    due = f"SELECT {named}, ROW({', '.join(told)})::text AS told, t.{quoted(declared.person or '')} AS who"
    crowd = "SELECT told, count(DISTINCT who) AS n FROM dsr_due GROUP BY told"
    found = f"WITH dsr_due AS MATERIALIZED ({due} FROM {table.source} t WHERE {where}), dsr_crowd AS ({crowd})"
    joined = f"FROM dsr_due JOIN dsr_crowd USING (told) WHERE {same} AND {within}"
    return f"{found} UPDATE {table.source} t SET {_assigned(values)} {joined}", *condition.arguments


def _assigned(values: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())


T = TypeVar("T")

# Windows are ranges of one column: a plan for these very values, by whatever way is shortest.
_BEGUN = """
SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
       set_config('enable_seqscan', 'on', true), set_config('enable_nestloop', 'on', true),
       set_config('plan_cache_mode', 'force_custom_plan', true)
"""
_AT_FIRST = 20_000
"""Rows of the first window, about."""
_WANTED, _WIDER, _NARROWER = 0.5, 4.0, 0.5
"""Of the time that a lock may be held, how much a window takes; how much larger or smaller the next one is at most."""
_SHORTEST: Mapping[str, timedelta] = {"date": timedelta(days=1)}
_SHORTEST_BY_DEFAULT = timedelta(seconds=1)
_AT_A_TIME = 100
"""Tasks whose rows are sought by one query."""
_AT_LEAST_A_DAY = timedelta(days=1)
"""Of what is anonymised: the fewer people there are in a window, the more of it is rare."""


async def count(session: Session, due: Sequence[Due], spared: Spared) -> list[Counted | Refused]:
    """How much is due of each, of how many rows."""
    return [await _each(session, each, partial(_counted, session, spared)) for each in due]


async def sweep(session: Session, due: Sequence[Due], spared: Spared, go_on: GoOn) -> list[Swept | Refused]:
    """Lets each go, those first that refer to others, and what goes before what stays; what became of each."""
    place = {name: n for n, name in enumerate(session.references.order)}
    done: dict[Due, Swept | Refused] = {}
    for each in sorted(due, key=lambda each: (place.get(each.table, 0), each.then != "delete")):
        done[each] = await _each(session, each, partial(_swept, session, spared, go_on))
    return [done[each] for each in due]


async def _each(session: Session, due: Due, do: Callable[[DueRows], Awaitable[T]]) -> T | Refused:
    try:
        return await do(_rows(session, due))
    except Refused as refused:
        return refused
    except asyncpg.ForeignKeyViolationError:
        return Refused(f"{session.system}: rows of {due.table} that are due are still referred to")


def _rows(session: Session, due: Due) -> DueRows:
    table = _table(session, due.table)
    if due.then == "anonymise":
        if table.table.anonymise is None:
            raise DatasetOutdated(f"{due.table} does not say what becomes of its columns: write anonymise, or delete")
        refuse_unmapped(table.table, table.name, table.relation, reading=True)
    return DueRows(table, due, session.references.to(due.table))


def _table(session: Session, name: str) -> Statements:
    return next(table for table in session.tables if table.name == name)


async def _counted(session: Session, spared: Spared, rows: DueRows) -> Counted:
    rows, _ = await _sparing(session, spared, rows)
    async with session.connection.transaction():
        await _begin(session, session.settings.timeout_seconds)
        query, *arguments = rows.count()
        # With a limit, as of ``fetchval``, PostgreSQL does not share a query among its workers.
        [(due,)] = await session.connection.fetch(query, *arguments)
        [(there,)] = await session.connection.fetch(f"SELECT count(*) FROM {rows.table.source}")  # quoted
        unknown = await session.connection.fetchval(*asked) if (asked := rows.undetermined()) else 0
        return Counted(due, max(due, there), unknown)


async def _swept(session: Session, spared: Spared, go_on: GoOn, rows: DueRows) -> Swept:
    rows, stay = await _sparing(session, spared, rows)
    if in_use := rows.in_use():
        query, *arguments = in_use
        stay += await session.connection.fetchval(query, *arguments)
    gone = await _Windows(session, rows, go_on).run()
    return Swept(gone, stay, complete=not rows.tied_by and gone >= rows.due.about)


async def _sparing(session: Session, spared: Spared, rows: DueRows) -> tuple[DueRows, int]:
    """The same without the rows that stay, and how many these are."""
    keys = await _spared_keys(session, rows, spared.get(rows.table.table.category, ()))
    return rows.sparing(keys), len(keys)


class _Windows:
    """The rows of one table, a window of their age at a time."""

    def __init__(self, session: Session, rows: DueRows, go_on: GoOn) -> None:
        self._session = session
        self._rows = rows
        self._go_on = go_on
        self._anonymise = rows.table.table.anonymise if rows.due.then == "anonymise" else None
        shortest = _SHORTEST.get(rows.type, _SHORTEST_BY_DEFAULT)
        self._shortest = max(shortest, _AT_LEAST_A_DAY) if self._anonymise else shortest

    async def run(self) -> int:
        """How many rows are gone."""
        query, *arguments = self._rows.first()
        async with self._session.connection.transaction():
            await _begin(self._session, self._session.settings.timeout_seconds)
            since = await self._session.connection.fetchval(query, *arguments)
        if since is None:
            return 0
        before, gone = self._rows.before, 0
        width = max(self._shortest, _span(since, before) / math.ceil(max(1, self._rows.due.about) / _AT_FIRST))
        wanted, limit = self._session.settings.lock_seconds * _WANTED, self._session.settings.lock_seconds
        now = asyncio.get_running_loop().time
        while since < before:
            await self._go_on(self._rows.due, 0)
            until = before if _span(since, before) <= width else since + width
            began = now()
            try:
                done = await self._remove(since, until, limit)
            except asyncpg.QueryCanceledError:
                if width <= self._shortest and limit > self._session.settings.lock_seconds:
                    raise
                limit = self._session.settings.timeout_seconds if width <= self._shortest else limit
                width = max(self._shortest, width / 2)
                continue
            gone, since, limit = gone + done, until, self._session.settings.lock_seconds
            width *= min(_WIDER, max(_NARROWER, wanted / (now() - began)))
            width = max(self._shortest, width)
            await self._go_on(self._rows.due, done)
        return gone

    async def _remove(self, since: Moment, until: Moment, limit: float) -> int:
        if self._anonymise:
            query, *arguments = anonymise(self._rows, self._anonymise, since, until)
        else:
            query, *arguments = self._rows.delete(since, until)
        async with self._session.connection.transaction():
            await _begin(self._session, limit)
            status = await self._session.connection.execute(query, *arguments)
        return int(status.rpartition(" ")[2])


async def _begin(session: Session, limit: float) -> None:
    limits = (str(max(2, round(limit * seconds))) for seconds in (1000, 500))
    await session.connection.execute(_BEGUN, *limits)


def _span(since: Moment, until: Moment) -> timedelta:
    return _instant(until) - _instant(since)


def _instant(moment: date | datetime) -> datetime:
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=None)
    return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001  # a day, to subtract from


async def _spared_keys(session: Session, rows: DueRows, spared: Sequence[Task]) -> set[Key]:
    """The primary keys of the rows that are due and stay, since they are about a subject of these tasks."""
    found: set[Key] = set()
    for first in range(0, len(spared), _AT_A_TIME):
        found |= await _theirs(session, rows, spared[first : first + _AT_A_TIME])
    return found


async def _theirs(session: Session, rows: DueRows, tasks: Sequence[Task]) -> set[Key]:
    """The keys of the rows that are due and belong to the subjects of these tasks."""
    table, keys = rows.table, rows.table.table.primary_key
    found: set[Key] = set()
    if asked := table.wanted(tasks):
        condition = Condition([*asked.arrays])
        also = f" AND {rows.window(condition, None, rows.before)}"
        read = await session.connection.fetch(table.select(keys, also=also), *condition.arguments)
        found.update(tuple(row)[: len(keys)] for row, owners in each_row(read, len(keys), table, asked) if owners)
    return found
