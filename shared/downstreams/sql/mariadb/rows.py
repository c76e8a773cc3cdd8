"""Rows of a subject as they were found, and rows as they are read."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import product
from typing import Any

from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.names import marks, place_of, quoted
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.mariadb.values import Row

Key = tuple[Any, ...]
"""A primary key, or the columns of a join as text."""


@dataclass(eq=False, slots=True)
class Found:
    """A row of the subject: as which of its parties, and by path what it leads to that is theirs as well."""

    row: Row
    parties: set[str | None] = field(default_factory=set)
    ends: dict[int, list["Found"]] = field(default_factory=dict)


@dataclass(slots=True)
class Rows:
    """Everything that a store has about one subject, by table and primary key.

    ``trace``: by table and path the keys by which rows were found.
    """

    of: dict[str, dict[Key, Found]] = field(default_factory=dict)
    trace: dict[tuple[str, int], set[Key]] = field(default_factory=dict)

    def counts(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.of.values()))


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
