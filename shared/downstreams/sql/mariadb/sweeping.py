"""What is past a ceiling goes by night, a chunk of rows by their age in each transaction, whoever they are about.

Each row is read before it goes, so that no collation takes a row for another; what others still refer to stays, and
goes once they are gone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any, TypeVar

from shared.domain.errors import NotSupported, Refused
from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.finding.search_keys import ZONELESS, wall_clock
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.changing import delete
from shared.downstreams.sql.mariadb.names import marks, parts, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Key, primary, read_rows
from shared.downstreams.sql.mariadb.search import find
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.mariadb.values import Row
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sweepable import Counted, Due, GoOn, Spared, Swept

CHUNK = 500
"""Rows in one transaction."""
_TYPES = frozenset({"date", ZONELESS, values.WITH_ZONE})
T = TypeVar("T")


async def count(session: Session, due: Sequence[Due], spared: Spared) -> list[Counted | Refused]:
    """How much is due of each, of how many rows."""
    return [await _or_refused(partial(_count, session, each, spared)) for each in due]


async def sweep(session: Session, due: Sequence[Due], spared: Spared, go_on: GoOn) -> list[Swept | Refused]:
    """Lets each go, those first that refer to others."""
    place = {name: n for n, name in enumerate(session.references.order)}
    done: dict[Due, Swept | Refused] = {}
    for each in sorted(due, key=lambda each: place.get(each.table, 0)):
        done[each] = await _or_refused(partial(_sweep, session, each, spared, go_on))
    return [done[each] for each in due]


async def _or_refused(step: Callable[[], Awaitable[T]]) -> T | Refused:
    try:
        return await step()
    except Refused as refused:
        return refused


async def _count(session: Session, due: Due, spared: Spared) -> Counted:
    table = _table(session, due)
    stay, n, unknown = await _spared(session, table, spared), 0, 0
    async for rows in _chunks(session, table, due):
        theirs = [row for row in rows if _concerned(table, due, row)]
        n += sum(primary(table, row) not in stay and not _in_use(table, row) for row in theirs)
        unknown += sum(_country(table, row) is None for row in rows) if due.country else 0
    # The server's own figure is an estimate, and it decides whether so many may go.
    there = await session.connection.value(f"SELECT count(*) FROM {place_of(session.place(table))}")  # noqa: S608
    return Counted(n, max(n, int(there)), unknown)


async def _sweep(session: Session, due: Due, spared: Spared, go_on: GoOn) -> Swept:
    table = _table(session, due)
    stay = await _spared(session, table, spared)
    gone, left = 0, set[Key]()
    tied = True
    while tied:  # what a row that has gone now referred to goes in the next round
        tied, before = False, gone
        chunks = aiter(_chunks(session, table, due, lock=True))
        while True:
            await go_on(due, 0)
            async with session.connection.transaction():
                rows = await anext(chunks, None)
                theirs = [row for row in rows or () if _concerned(table, due, row)]
                going = [row for row in theirs if primary(table, row) not in stay and not _in_use(table, row)]
                left |= {primary(table, row) for row in theirs} - {primary(table, row) for row in going}
                free = await _free(session, table, going)
                tied |= len(free) < len(going)
                await delete(session, table, [primary(table, row) for row in free])
            if rows is None:
                break
            gone += len(free)
            await go_on(due, len(free))
        tied &= gone > before
    return Swept(gone, len(left))


def _concerned(table: Statements, due: Due, row: Row) -> bool:
    """Whether a row is under the law whose ceiling it is."""
    return due.country in {None, _country(table, row)}


def _country(table: Statements, row: Row) -> str | None:
    """Which country's law a row is under, as it says; None: nobody can tell."""
    declared = table.table.jurisdiction
    return declared.of(values.as_text(row[declared.column])) if declared else None


def _in_use(table: Statements, row: Row) -> bool:
    """Whether a row is in a state in which an erasure is refused, or may be."""
    declared = table.table.refuse_when
    return any(values.holds(state, row) or not state.tells(values.as_text(row[state.column])) for state in declared)


async def _free(session: Session, table: Statements, rows: Sequence[Row]) -> list[Row]:
    """Those of the rows to which no other refers."""
    held: set[Key] = set()
    for key in (*session.references.to(table.name), *session.references.loosened(table.name)):
        shown = ", ".join(f"c.{quoted(column)}" for column in key.columns)
        each = " AND ".join(f"c.{quoted(column)} = ?" for column in key.columns)
        by = {tuple(row[column] for column in key.to): primary(table, row) for row in rows}
        for some in parts([one for one in by if None not in one]):
            condition = f"c.{quoted(key.columns[0])} IN ({marks(some)})" if len(key.columns) == 1 else ""
            condition = condition or " OR ".join([f"({each})"] * len(some))
            query = f"SELECT DISTINCT {shown} FROM {place_of(key.place)} c WHERE {condition}"  # noqa: S608  # quoted
            read = await session.connection.fetch(query, *(part for one in some for part in one))
            held |= {by[tuple(one)] for one in read if tuple(one) in by}
            if any(tuple(one) not in by for one in read):  # the server takes more for equal than we do
                held |= {*by.values()}
    return [row for row in rows if primary(table, row) not in held]


async def _chunks(session: Session, table: Statements, due: Due, *, lock: bool = False) -> AsyncIterator[Sequence[Row]]:
    """The rows that are past it and are ours, by age, some at a time."""
    anchor = table.table.anchors[due.anchor].column
    order, last = (anchor, *(name for name in table.table.primary_key if name != anchor)), None
    before = _before(table, due)
    while True:
        condition, arguments = f"t.{quoted(anchor)} < ?", [before]
        if last is not None:
            further, more = _after(order, last)
            condition, arguments = f"{condition} AND {further}", [*arguments, *more]
        by = ", ".join(f"t.{quoted(name)}" for name in order)
        rows = await read_rows(session, table, f"{condition} ORDER BY {by} LIMIT {CHUNK}", arguments, lock=lock)
        if not rows:
            return
        last = [_plain(rows[-1][name]) for name in order]
        yield [row for row in rows if values.counts(table, row)]


def _after(order: Sequence[str], last: Sequence[Any]) -> tuple[str, list[Any]]:
    """That a row comes after one, in that order."""
    said, arguments = [], list[Any]()
    for n, name in enumerate(order):
        same = "".join(f"t.{quoted(each)} = ? AND " for each in order[:n])
        said.append(f"({same}t.{quoted(name)} > ?)")
        arguments += [*last[:n], last[n]]
    return f"(t.{quoted(order[0])} >= ? AND ({' OR '.join(said)}))", [last[0], *arguments]


def _plain(value: object) -> object:
    """An instant as the server compares it: without its zone, in UTC."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value


async def _spared(session: Session, table: Statements, spared: Spared) -> set[Key]:
    """The rows of the table that belong to people whose data stay."""
    found: set[Key] = set()
    for task in spared.get(table.table.category, ()):
        found |= (await find(session, task)).of.get(table.name, {}).keys()
    return found


def _table(session: Session, due: Due) -> Statements:
    if due.then == "anonymise":
        raise NotSupported(f"{due.table} is to be anonymised by night, which is not carried out on MariaDB")
    return next(table for table in session.tables if table.name == due.table)


def _before(table: Statements, due: Due) -> date | datetime:
    """Where the rows end that are due, in the terms of the column: exclusive."""
    anchor = table.table.anchors[due.anchor]
    type_ = table.relation.types[anchor.column]
    if type_ not in _TYPES:
        raise DatasetOutdated(f"{table.name}: anchor {due.anchor} names {anchor.column}, which is no date and no time")
    if type_ == "date":
        return due.first_kept
    midnight = datetime.combine(due.first_kept, time(), due.zone)
    if type_ == ZONELESS:
        return wall_clock(midnight, anchor.timezone, earliest=True)
    return midnight.astimezone(UTC).replace(tzinfo=None)
