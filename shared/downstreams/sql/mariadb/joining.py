"""Rows that joins lead to: reached from the end of the path, from the rows there that are theirs, table by table."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from shared.downstreams.sql.declaration.declared import Join, RowTest
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.names import marks, parts, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Key, Rows, read_rows
from shared.downstreams.sql.mariadb.store import Route, Session
from shared.downstreams.sql.mariadb.values import Row


async def led(
    session: Session, table: Searched, number: int, route: Route, rows: Rows, *, lock: bool
) -> list[tuple[Row, list[Found]]]:
    """The rows of a table that lead to the subject's by one path, each with those."""
    path, last = route.path, route.joins[-1]
    found = [each for each in rows.of.get(path.end.name, {}).values() if path.of is None or path.of in each.parties]
    so_far: list[tuple[Row, list[Found]]] = [(each.row, [each]) for each in found if _all_hold(last.where, each.row)]
    for position in range(len(route.joins) - 1, -1, -1):
        join = route.joins[position]
        ends = _by_key(join, so_far)
        if not ends:
            return []
        if position:
            place, columns = route.places[position - 1], columns_of(route, position - 1)
            met = await _nearer(session, place, columns, join, ends)
            so_far = [(row, theirs) for row, theirs in met if _all_hold(route.joins[position - 1].where, row)]
        else:
            rows.trace.setdefault((table.name, number), set()).update(ends)
            met = [(row, theirs) async for row, theirs in _first(session, table, join, ends, lock=lock)]
            so_far = [(row, theirs) for row, theirs in met if values.counts(table, row)]
    return so_far


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
    met: list[tuple[Row, list[Found]]] = []
    for some in parts([*ends]):
        condition, arguments = near_condition(join, some)
        statement = f"SELECT {shown} FROM {place_of(place)} t WHERE {condition}"
        for read in await session.connection.fetch(statement, *arguments):
            row = dict(zip(columns, read, strict=True))
            if (theirs := ends.get(near_key(join, row))) and _meets(join, row):
                met.append((row, theirs))
    return met


async def _first(
    session: Session, table: Searched, join: Join, ends: Mapping[Key, list[Found]], *, lock: bool
) -> AsyncIterator[tuple[Row, list[Found]]]:
    for some in parts([*ends]):
        condition, arguments = near_condition(join, some)
        for row in await read_rows(session, table, condition, arguments, lock=lock):
            if (theirs := ends.get(near_key(join, row))) and _meets(join, row):
                yield row, theirs


def near_condition(join: Join, keys: Collection[Key]) -> tuple[str, list[object]]:
    """That a nearer row may hold one of these keys, and the parameters."""
    held = [[*dict.fromkeys(key[position] for key in keys)] for position, _ in enumerate(join.columns)]
    each = [f"t.{quoted(near)} IN ({marks(some)})" for (near, _), some in zip(join.columns, held, strict=True)]
    return " AND ".join(each), [value for some in held for value in some]


def near_key(join: Join, row: Row) -> Key:
    """What a nearer row holds in the columns of a join, as text."""
    return tuple(values.as_text(row[near]) for near, _ in join.columns)


def _meets(join: Join, row: Row) -> bool:
    """Whether a nearer row holds the words that the join names."""
    return all(values.as_text(row[near]) == word for near, word in join.words)
