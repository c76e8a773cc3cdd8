"""Rows that joins lead to are gathered by primary key before anything goes: what leads to them may have to go first."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.statements import Call, Statements
from shared.downstreams.sql.store import Session

Key = tuple[Any, ...]


class Gathered:
    """By table, the primary keys of rows, each with the tasks (by position) and the parties whose they are."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Key, dict[int, set[str | None]]]] = {}

    @classmethod
    async def of(cls, session: Session, tasks: Sequence[Task]) -> "Gathered":
        """What joins lead to now."""
        gathered = cls()
        for table in (table for table in session.tables if table.paths):
            rows = gathered._rows.setdefault(table.name, {})
            keys, asked = table.table.primary_key, table.wanted(tasks)
            found = await session.connection.fetch(table.select(keys), *asked.arrays) if asked else ()
            for row, owners in each_row(found, len(keys), table, asked):
                for position, parties in owners.items():
                    rows.setdefault(tuple(row[: len(keys)]), {}).setdefault(position, set()).update(parties)
        return gathered

    def counts(self, table: Statements) -> Mapping[int, int]:
        """How many rows of each task there are in a table."""
        return Counter(position for owners in self._rows[table.name].values() for position in owners)

    def removals(self, table: Statements) -> list[Call]:
        """What deletes the rows of a table, or blanks whose they are where somebody else is left."""
        rows = self._rows[table.name]
        if not rows:
            return []
        if table.table.erase == "delete":
            return [(f"DELETE FROM {table.source} t WHERE {table.among}", *_columns(rows))]
        calls: list[Call] = []
        for party in table.table.parties or (None,):
            theirs = [key for key, owners in rows.items() if any(party in parties for parties in owners.values())]
            if theirs:
                calls += [(statement, *_columns(theirs)) for statement in table.blanking(party, table.among)]
        return calls

    def emptied(self, table: Statements, assigned: str) -> list[Call]:
        """What changes a column in the rows of a table."""
        rows = self._rows[table.name]
        return [(f"UPDATE {table.source} t SET {assigned} WHERE {table.among}", *_columns(rows))] if rows else []


def _columns(keys: Iterable[Key]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
