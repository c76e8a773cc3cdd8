"""What joins led to cannot be found again once they are gone: their keys are noted before, and looked for after."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import owners_of
from shared.downstreams.sql.finding.searching import Path, by_keys
from shared.downstreams.sql.quoting import Condition
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Key = tuple[Any, ...]


@dataclass(slots=True)
class Traces:
    """By task, for each path of each table, the keys by which rows of the subject were found."""

    _keys: dict[UUID, dict[tuple[str, int], set[Key]]] = field(default_factory=dict)

    async def note(self, session: Session, tasks: Sequence[Task]) -> None:
        """Note by which keys rows of these tasks are found now."""
        for table in (table for table in session.tables if table.paths):
            for number, path in enumerate(table.paths):
                found = await (_of_one if len(tasks) == 1 else _of_many)(session, table, path, tasks)
                for task_id, keys in found.items():
                    self._keys.setdefault(task_id, {}).setdefault((table.name, number), set()).update(keys)

    async def left(self, session: Session, tasks: Iterable[UUID]) -> Collection[UUID]:
        """The tasks of which rows are left that have one of these keys."""
        known = {task_id: keys for task_id in tasks if (keys := self._keys.get(task_id))}
        found: set[UUID] = set()
        for table in (table for table in session.tables if table.paths):
            for number, path in enumerate(table.paths):
                here = (table.name, number)
                own = {task_id: each[here] for task_id, each in known.items() if each.get(here)}
                if own and await _count(session, table, path, set().union(*own.values())):
                    found |= {task_id for task_id, keys in own.items() if await _count(session, table, path, keys)}
        return found


async def _of_one(
    session: Session, table: Statements, path: Path, tasks: Sequence[Task]
) -> Mapping[UUID, Iterable[Key]]:
    condition, keys = Condition(), table.keys(tasks[0])
    rows = path.rows(by_keys(keys, condition), values=False)
    found = await session.connection.fetch(f"SELECT * FROM ({rows}) r", *condition.arguments) if keys else ()
    return {tasks[0].task_id: [tuple(row) for row in found]}


async def _of_many(
    session: Session, table: Statements, path: Path, tasks: Sequence[Task]
) -> Mapping[UUID, Iterable[Key]]:
    asked, found = table.wanted(tasks), dict[UUID, list[Key]]()
    width = len(path.hops[0].pairs)
    for row in await session.connection.fetch(table.leading(path), *asked.arrays) if asked else ():
        for position, parties in owners_of(row, width, path.end, asked).items():
            if path.of is None or path.of in parties:
                found.setdefault(tasks[position].task_id, []).append(tuple(row[:width]))
    return found


async def _count(session: Session, table: Statements, path: Path, keys: Iterable[Key]) -> int:
    pairs = path.hops[0].pairs
    arrays = ", ".join(f"${i + 1}::{pair.type}[]" for i, pair in enumerate(pairs))
    names = ", ".join(f"dsr_j{i}" for i, _ in enumerate(pairs))
    where = f"{path.hops[0].found('t', f'unnest({arrays}) AS k ({names})')}{table.theirs}"
    columns = [list(column) for column in zip(*keys, strict=True)]
    return int(await session.connection.fetchval(f"SELECT count(*) FROM {table.source} t WHERE {where}", *columns))
