"""Whose rows there are: the server finds candidates by its indexes, and each is read here before it counts.

Rows that joins lead to are reached from the end of the path: from the rows there that are theirs, table by table.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import product
from typing import Any

import orjson

from shared.domain.errors import NotSupported
from shared.domain.operations import Limit
from shared.downstreams.contract import Task
from shared.downstreams.sql.declared import Join, RowTest
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.names import marks, parts, place_of, quoted
from shared.downstreams.sql.mariadb.store import Route, Session
from shared.downstreams.sql.mariadb.values import Row
from shared.downstreams.sql.search_keys import Coverage, SearchKey
from shared.downstreams.sql.searching import Searched

Key = tuple[Any, ...]
"""A primary key, or the columns of a join as text."""
_NUMERIC = frozenset({"smallint", "mediumint", "int", "integer", "bigint", "decimal", "boolean", "real", "bit"})
_LONGEST_INTEGER = 18
_TIMES_AS_MANY = 3
"""As one request may touch, so many rows are read at most to see whose they are: a number has had other holders."""


@dataclass(eq=False, slots=True)
class Found:
    """A row of the subject: as which of its parties, and by path what it leads to that is theirs as well."""

    row: Row
    parties: set[str | None] = field(default_factory=set)
    ends: dict[int, list["Found"]] = field(default_factory=dict)


@dataclass(slots=True)
class Rows:
    """Everything that a store has about one subject, by table and primary key.

    ``doubtful``: by table, rows that hold a former address of theirs and nothing else; ``trace``: by table and path
    the keys by which rows were found.
    """

    of: dict[str, dict[Key, Found]] = field(default_factory=dict)
    doubtful: dict[str, set[Key]] = field(default_factory=dict)
    trace: dict[tuple[str, int], set[Key]] = field(default_factory=dict)

    def counts(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.of.values()))


async def find(session: Session, task: Task, *, lock: bool = False) -> Rows:
    """The rows of one subject; ``lock``: nobody else can change them until the transaction ends."""
    rows = Rows()
    most = _TIMES_AS_MANY * max(session.settings.max_rows, task.confirmed.get(Limit.MAX_ROWS, 0))
    tables = {table.name: table for table in session.tables}
    for table in (tables[name] for name in session.found_in_order if name in tables):
        found = rows.of.setdefault(table.name, {})
        keys = [key for key in table.keys(task) if key.table == table.name]
        for row in await _candidates(session, table, keys, most, lock=lock) if keys else ():
            if parties := _parties(table, keys, row):
                found.setdefault(primary(table, row), Found(row)).parties |= parties
            elif _is_doubtful(table, keys, row):
                rows.doubtful.setdefault(table.name, set()).add(primary(table, row))
        for number, route in enumerate(session.routes[table.name]):
            for row, ends in await _led(session, table, number, route, rows, lock=lock):
                known = found.setdefault(primary(table, row), Found(row))
                known.parties.add(route.path.party)
                known.ends[number] = ends
        rows.doubtful[table.name] = rows.doubtful.get(table.name, set()) - found.keys()
    return rows


def primary(table: Searched, row: Row) -> Key:
    """What tells a row from the others."""
    return tuple(row[column] for column in table.table.primary_key)


async def read_rows(
    session: Session, table: Searched, condition: str, arguments: Sequence[object], *, lock: bool = False
) -> Sequence[Row]:
    """Rows of a declared table, ``t`` in the condition."""
    columns = [name for name, column in table.table.columns.items() if not column.json_]
    shown = ", ".join(f"t.{quoted(name)}" for name in columns)
    ending = " FOR UPDATE" if lock else ""
    statement = f"SELECT {shown} FROM {place_of(session.place(table))} t WHERE {condition}{ending}"
    zoned = [name for name in columns if table.relation.types[name] == values.WITH_ZONE]
    rows = [dict(zip(columns, row, strict=True)) for row in await session.connection.fetch(statement, *arguments)]
    for row, name in product(rows, zoned):  # of what has a zone we are told the time in UTC
        row[name] = row[name] and row[name].replace(tzinfo=UTC)
    return rows


def identified(table: Searched, keys: Sequence[Key], alias: str = "t") -> tuple[str, list[object]]:
    """The condition that a row has one of these primary keys, and its parameters."""
    columns = table.table.primary_key
    if len(columns) == 1:
        return f"{alias}.{quoted(columns[0])} IN ({marks(keys)})", [key[0] for key in keys]
    each = " AND ".join(f"{alias}.{quoted(column)} = ?" for column in columns)
    return f"({' OR '.join([f'({each})'] * len(keys))})", [part for key in keys for part in key]


# By what the table itself holds.


async def _candidates(
    session: Session, table: Searched, keys: Sequence[SearchKey], most: int, *, lock: bool
) -> list[Row]:
    rows: dict[Key, Row] = {}
    for column in table.search:
        wanted = [*dict.fromkeys(key.value for key in keys if key.type is table.table.columns[column].identity)]
        for some in parts(wanted):
            for expression, arguments in _asked(table, column, some):
                condition = f"{expression} IN ({marks(arguments)}) LIMIT {most + 1}"
                for row in await read_rows(session, table, condition, arguments, lock=lock) if arguments else ():
                    rows[primary(table, row)] = row
                if len(rows) > most:
                    raise NotSupported(
                        f"more than {most} rows of {table.name} hold what the subject is known by, at whatever time: do"
                        " it by hand for all of the store, and enter what was done"
                    )
    return [*rows.values()]


def _asked(table: Searched, name: str, wanted: Sequence[str]) -> Iterator[tuple[str, Sequence[object]]]:
    """What the server compares, and with what, so that it finds every row that ``compared`` takes for one of these."""
    column, asked = table.table.columns[name], [*wanted]
    if column.domain:
        asked = [value.removeprefix("sip:").rpartition("@")[0] for value in wanted]
    for plain in _plain(table, name):
        match column.match:
            case "lower":
                yield (plain if name in table.relation.loose and not column.json_ else f"LOWER({plain})"), asked
            case "trimmed":
                yield f"LOWER(TRIM({plain}))", asked
            case "digits":
                yield f"REGEXP_REPLACE({plain}, '[^0-9+]', '')", asked
            case "exact" if not column.json_ and table.relation.types[name] in _NUMERIC:
                yield plain, [int(each) for each in asked if each.isascii() and each.isdigit() and _fits(each)]
            case "exact":
                yield plain, asked


def _fits(digits: str) -> bool:
    return len(digits) <= _LONGEST_INTEGER


def _plain(table: Searched, name: str) -> Iterator[str]:
    """A column, or a part of a document: a number in its path may be a key or a place in a list."""
    column = table.table.columns[name]
    if column.json_ is None:
        yield f"t.{quoted(name)}"
        return
    steps = [
        [f".{orjson.dumps(step).decode()}", *([f"[{step}]"] if step.isascii() and step.isdigit() else [])]
        for step in values.steps(name, column)
    ]
    for path in product(*steps):
        said = "$" + "".join(path)
        literal = said.replace("\\", "\\\\").replace("'", "''")
        yield f"JSON_UNQUOTE(JSON_EXTRACT(t.{quoted(column.json_)}, '{literal}'))"


def _parties(table: Searched, keys: Sequence[SearchKey], row: Row) -> set[str | None]:
    """As whom the subject is in a row, by its own columns."""
    if not values.counts(table, row):
        return set()
    return {
        table.table.columns[name].party for name, key in _held(table, keys, row) if _is_theirs(table, name, key, row)
    }


def _held(table: Searched, keys: Sequence[SearchKey], row: Row) -> Iterator[tuple[str, SearchKey]]:
    """The columns that hold one of the keys."""
    for name in table.search:
        held = values.compared(table, name, row)
        if held is not None:
            identity = table.table.columns[name].identity
            yield from ((name, key) for key in keys if key.type is identity and key.value == held)


def _is_theirs(table: Searched, name: str, key: SearchKey, row: Row) -> bool:
    """Whether it was the subject's when the row happened; of a former address, whether their name stands beside it."""
    at = values.moment(table, row)
    if key.covers(at, at) is not Coverage.INSIDE:
        return False
    if key.names is None:
        return True
    former = table.table.columns[name].former
    beside = values.read(table, former, row) if former else None
    return beside is not None and beside.strip(" ").lower() in key.names


def _is_doubtful(table: Searched, keys: Sequence[SearchKey], row: Row) -> bool:
    held = _held(table, keys, row)
    return values.counts(table, row) and any(
        key.names is not None and table.table.columns[name].former for name, key in held
    )


# By what its joins lead to.


async def _led(
    session: Session, table: Searched, number: int, route: Route, rows: Rows, *, lock: bool
) -> list[tuple[Row, list[Found]]]:
    """The rows of a table that lead to the subject's by one path, each with those."""
    path, last = route.path, route.joins[-1]
    found = [each for each in rows.of.get(path.end.name, {}).values() if path.of is None or path.of in each.parties]
    led: list[tuple[Row, list[Found]]] = [(each.row, [each]) for each in found if _all_hold(last.where, each.row)]
    for position in range(len(route.joins) - 1, -1, -1):
        join = route.joins[position]
        ends = _by_key(join, led)
        if not ends:
            return []
        if position:
            place, columns = route.places[position - 1], columns_of(route, position - 1)
            met = await _nearer(session, place, columns, join, ends)
            led = [(row, theirs) for row, theirs in met if _all_hold(route.joins[position - 1].where, row)]
        else:
            rows.trace.setdefault((table.name, number), set()).update(ends)
            met = [(row, theirs) async for row, theirs in _first(session, table, join, ends, lock=lock)]
            led = [(row, theirs) for row, theirs in met if values.counts(table, row)]
    return led


def _all_hold(tests: Iterable[RowTest], row: Row) -> bool:
    return all(values.holds(test, row) for test in tests)


def _by_key(join: Join, led: Iterable[tuple[Row, list[Found]]]) -> dict[Key, list[Found]]:
    """What rows at the farther side of a join hold in its columns, and whose they are; NULL joins nothing."""
    ends: dict[Key, list[Found]] = {}
    for row, theirs in led:
        key = tuple(values.as_text(row[far]) for _, far in join.columns)
        if None not in key:
            ends.setdefault(key, []).extend(each for each in theirs if each not in ends[key])
    return ends


def columns_of(route: Route, position: int) -> tuple[str, ...]:
    """What is read of the table to which a join of a path leads: the columns of this join and of the next."""
    join = route.joins[position]
    names = [*(far for _, far in join.columns), *(test.column for test in join.where)]
    if position + 1 < len(route.joins):
        names += route.joins[position + 1].on
    return tuple(dict.fromkeys(names))


async def _nearer(
    session: Session, place: tuple[str, str], columns: Sequence[str], join: Join, ends: Mapping[Key, list[Found]]
) -> list[tuple[Row, list[Found]]]:
    """The rows of a table that lead to one of these keys by a join, with whose they are."""
    shown = ", ".join(f"t.{quoted(name)}" for name in columns)
    allowed = await _allowed(session, join)
    met: list[tuple[Row, list[Found]]] = []
    for some in parts([*ends]):
        condition, arguments = near_condition(join, some)
        statement = f"SELECT {shown} FROM {place_of(place)} t WHERE {condition}"
        for read in await session.connection.fetch(statement, *arguments):
            row = dict(zip(columns, read, strict=True))
            if (theirs := ends.get(near_key(join, row))) and _meets(allowed, row):
                met.append((row, theirs))
    return met


async def _first(
    session: Session, table: Searched, join: Join, ends: Mapping[Key, list[Found]], *, lock: bool
) -> AsyncIterator[tuple[Row, list[Found]]]:
    allowed = await _allowed(session, join)
    for some in parts([*ends]):
        condition, arguments = near_condition(join, some)
        for row in await read_rows(session, table, condition, arguments, lock=lock):
            if (theirs := ends.get(near_key(join, row))) and _meets(allowed, row):
                yield row, theirs


def near_condition(join: Join, keys: Collection[Key]) -> tuple[str, list[object]]:
    """That a nearer row may hold one of these keys, and the parameters."""
    held = [[*dict.fromkeys(key[position] for key in keys)] for position, _ in enumerate(join.columns)]
    each = [f"t.{quoted(near)} IN ({marks(some)})" for (near, _), some in zip(join.columns, held, strict=True)]
    return " AND ".join(each), [value for some in held for value in some]


def near_key(join: Join, row: Row) -> Key:
    """What a nearer row holds in the columns of a join, as text."""
    return tuple(values.as_text(row[near]) for near, _ in join.columns)


async def _allowed(session: Session, join: Join) -> Mapping[str, Collection[str | None]]:
    """By nearer column what it must hold besides, as the join says."""
    allowed: dict[str, Collection[str | None]] = {}
    for near, constant in join.constants:
        if constant.table is None:
            allowed[near] = {constant.word}
            continue
        names = [constant.column, *(test.column for test in constant.where)]
        place = place_of((constant.schema_ or session.database, constant.table))
        query = f"SELECT {', '.join(map(quoted, names))} FROM {place}"
        rows = [dict(zip(names, each, strict=True)) for each in await session.connection.fetch(query)]
        chosen = (row[constant.column] for row in rows if _all_hold(constant.where, row))
        allowed[near] = {values.as_text(each) for each in chosen if each is not None}
    return allowed


def _meets(allowed: Mapping[str, Collection[str | None]], row: Row) -> bool:
    return all(values.as_text(row[near]) in words for near, words in allowed.items())
