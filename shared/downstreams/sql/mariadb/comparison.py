"""What a MariaDB shows as restricted, or as wanting no marketing: in all, and of the subjects of some tasks."""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import suppress

from shared.domain.identities import Identity, MalformedIdentity, normalise
from shared.domain.operations import Operation
from shared.downstreams.contract import Task
from shared.downstreams.sql.declaration.declared import Switch
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.amendment import holds
from shared.downstreams.sql.mariadb.names import marks, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Key, primary, read_rows
from shared.downstreams.sql.mariadb.search import find
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.mariadb.values import Row

_AT_A_TIME = 5_000


async def shown(session: Session, operation: Operation) -> int:
    """How many rows show it."""
    counts = 0
    for table, switch in _switches(session, operation):
        query = f"SELECT count(*) FROM {place_of(session.place(table))} t WHERE t.{quoted(switch.column)} = ?"
        counts += int(await session.connection.value(query, switch.value))
    return counts


async def shown_of(session: Session, tasks: Sequence[Task]) -> Collection[str]:
    """Those of the subjects of these tasks, which have the same operation, by table and primary key."""
    found: set[str] = set()
    switches = [*_switches(session, tasks[0].operation)] if tasks else []
    for task in tasks if switches else ():
        rows = await find(session, task)
        for table, switch in switches:
            theirs = rows.of[table.name].items()
            found |= {f"{table.name} {key}" for key, each in theirs if holds(each, switch)}
    return found


def _switches(session: Session, operation: Operation) -> Iterator[tuple[Searched, Switch]]:
    for table in session.tables:
        switch = table.table.restriction if operation is Operation.RESTRICT else table.table.marketing
        if isinstance(switch, Switch):
            yield table, switch


async def would_get_marketing(session: Session) -> AsyncIterator[list[list[Identity]]]:
    """Our own people whose rows show no stop, by what is known of them there: page by page, by primary key."""
    for table, switch in _switches(session, Operation.SUPPRESS):
        columns = [name for name, column in table.table.searched.items() if column.mails]
        condition, arguments = "TRUE", list[object]()
        while columns and (rows := await _page(session, table, condition, arguments)):
            condition, arguments = _after(table, primary(table, rows[-1]))
            found = [Found(row) for row in rows if values.counts(table, row)]
            yield [[*_known(session.system, table, columns, each)] for each in found if not holds(each, switch)]


async def _page(session: Session, table: Searched, condition: str, arguments: Sequence[object]) -> Sequence[Row]:
    order = ", ".join(f"t.{quoted(name)}" for name in table.table.primary_key)
    return await read_rows(session, table, f"{condition} ORDER BY {order} LIMIT {_AT_A_TIME}", arguments)


def _after(table: Searched, last: Key) -> tuple[str, list[object]]:
    key = ", ".join(f"t.{quoted(name)}" for name in table.table.primary_key)
    return f"({key}) > ({marks(last)})", [*last]


def _known(system: str, table: Searched, columns: Sequence[str], found: Found) -> Iterator[Identity]:
    for name in columns:
        column, value = table.table.columns[name], values.compared(table, name, found.row)
        if value is not None and column.identity:
            with suppress(MalformedIdentity):
                yield Identity(column.identity, normalise(column.identity, value, column.region), source=system)
