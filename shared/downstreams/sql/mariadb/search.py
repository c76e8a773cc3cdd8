"""Whose rows there are: the server finds candidates by its indexes, and each is read here before it counts."""

from collections.abc import Iterator, Sequence
from itertools import product

import orjson

from shared.domain.errors import NotSupported
from shared.domain.operations import Limit
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.search_keys import Coverage, SearchKey
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.joining import led
from shared.downstreams.sql.mariadb.names import marks, parts, quoted
from shared.downstreams.sql.mariadb.rows import Found, Key, Rows, primary, read_rows
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.mariadb.values import Row

_NUMERIC = frozenset({"smallint", "mediumint", "int", "integer", "bigint", "decimal", "boolean", "real", "bit"})
_LONGEST_INTEGER = 18
_TIMES_AS_MANY = 3
"""As one request may touch, so many rows are read at most to see whose they are: a number has had other holders."""


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
        for number, route in enumerate(session.routes[table.name]):
            for row, ends in await led(session, table, number, route, rows, lock=lock):
                known = found.setdefault(primary(table, row), Found(row))
                known.parties.add(route.path.party)
                known.ends[number] = ends
    return rows


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
    at = values.moment(table, row)
    held = _held(table, keys, row)
    return {table.table.columns[name].party for name, key in held if key.covers(at, at) is Coverage.INSIDE}


def _held(table: Searched, keys: Sequence[SearchKey], row: Row) -> Iterator[tuple[str, SearchKey]]:
    """The columns that hold one of the keys."""
    for name in table.search:
        held = values.compared(table, name, row)
        if held is not None:
            identity = table.table.columns[name].identity
            yield from ((name, key) for key in keys if key.type is identity and key.value == held)
