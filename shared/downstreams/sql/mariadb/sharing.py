"""Whether rows that are found by joins are the subject's alone: what leads to them may lead to others as well."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence

from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.joining import columns_of, near_key
from shared.downstreams.sql.mariadb.names import marks, parts, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Rows, primary, read_rows
from shared.downstreams.sql.mariadb.store import Route, Session
from shared.downstreams.sql.mariadb.values import Row


async def shared(session: Session, rows: Rows) -> str | None:
    """A table of which a row leads to somebody else as well, if there is one.

    By a single path along unique keys a row leads to nobody else.
    """
    for table in session.tables:
        routes = session.routes[table.name]
        for party in dict.fromkeys(route.path.party for route in routes):
            theirs = [route for route in routes if route.path.party == party]
            if len(theirs) == 1 and theirs[0].path.to_one:
                continue
            mine = [each for each in rows.of.get(table.name, {}).values() if party in each.parties and each.ends]
            for route in theirs:
                if mine and await _leads_on(session, route, mine, rows):
                    return table.name
    return None


async def _leads_on(session: Session, route: Route, mine: Sequence[Found], rows: Rows) -> bool:
    """Whether one of these rows leads to a row at the end of a path that is not the subject's."""
    near: list[Row] = [found.row for found in mine]
    for position, join in enumerate(route.joins):
        wanted = {key for key in (near_key(join, row) for row in near) if None not in key}
        held = [column for _, column in join.columns]
        last = position == len(route.joins) - 1
        near = []
        for some in parts(sorted(wanted, key=repr)):
            each = [[*dict.fromkeys(key[i] for key in some)] for i, _ in enumerate(held)]
            condition = " AND ".join(
                f"t.{quoted(column)} IN ({marks(of_it)})" for column, of_it in zip(held, each, strict=True)
            )
            arguments = [value for of_it in each for value in of_it]
            read = await _read(session, route, position, condition, arguments, last=last)
            near += [
                row
                for row in read
                if tuple(values.as_text(row[column]) for column in held) in wanted
                and all(values.holds(test, row) for test in join.where)
            ]
    return any(_is_others(route.path.end, row, route, rows) for row in near)


async def _read(
    session: Session, route: Route, position: int, condition: str, arguments: Sequence[object], *, last: bool
) -> Sequence[Row]:
    if last:
        return await read_rows(session, route.path.end, condition, arguments)
    columns = columns_of(route, position)
    shown = ", ".join(f"t.{quoted(name)}" for name in columns)
    statement = f"SELECT {shown} FROM {place_of(route.places[position])} t WHERE {condition}"
    return [dict(zip(columns, row, strict=True)) for row in await session.connection.fetch(statement, *arguments)]


def _is_others(end: Searched, row: Row, route: Route, rows: Rows) -> bool:
    """Whether a row at the end is about somebody, and not about the subject."""
    if not all(values.holds(test, row) for test in end.table.where):
        return False
    known = rows.of.get(end.name, {}).get(primary(end, row))
    return known is None or (route.path.of is not None and route.path.of not in known.parties)
