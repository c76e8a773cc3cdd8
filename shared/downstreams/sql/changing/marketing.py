"""To whom a store would send marketing: rows of a switched table that show no stop, by what is known of them there."""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from shared.domain.identities import Identity, MalformedIdentity, normalise
from shared.downstreams.sql.changing.switching import shows_no_stop
from shared.downstreams.sql.declaration.declared import RowSwitch, Switch
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

_AT_A_TIME = 5_000


async def would_get_marketing(session: Session) -> AsyncIterator[list[list[Identity]]]:
    """Page by page in the order of the primary key; a value that can be no identity reaches nobody."""
    for table in session.tables:
        columns = [name for name, column in table.table.searched.items() if column.mails]
        switch = table.table.marketing
        if switch is None or not columns:
            continue
        last: Sequence[Any] = ()
        while rows := await session.connection.fetch(*_page(table, switch, columns, last)):
            last = rows[-1][: len(table.table.primary_key)]
            yield [list(_known(session.system, table, columns, tuple(row))) for row in rows]


def _page(
    table: Statements, switch: Switch | RowSwitch, columns: Sequence[str], last: Sequence[Any]
) -> tuple[Any, ...]:
    key = ", ".join(f"t.{quoted(name)}" for name in table.table.primary_key)
    open_, *values = shows_no_stop(table, switch)
    places = [f"${len(values) + number}" for number in range(1, len(last) + 1)]
    after = f" AND ({key}) > ({', '.join(places)})" if last else ""
    shown = ", ".join(f"{table.expression(name)}::text" for name in columns)
    query = f"SELECT {key}, {shown} FROM {table.source} t WHERE ({open_}){table.theirs}{after} ORDER BY {key}"
    return f"{query} LIMIT {_AT_A_TIME}", *values, *last


def _known(system: str, table: Statements, columns: Sequence[str], row: Sequence[Any]) -> Iterator[Identity]:
    for name, value in zip(columns, row[len(table.table.primary_key) :], strict=True):
        column = table.table.columns[name]
        if value is not None and column.identity:
            with suppress(MalformedIdentity):
                yield Identity(column.identity, normalise(column.identity, value, column.region), source=system)
