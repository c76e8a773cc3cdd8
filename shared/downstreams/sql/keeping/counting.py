"""How many rows of each subject a part of a table has, and from when to when they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import attribute
from shared.downstreams.sql.finding.examination import by_former
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows a subject has, and when the first and the last of them happened.

    ``alone``: a number of theirs was somebody else's before or after, so they need statements of their own.
    ``undated``: how many of them say no beginning from which their period could count.
    """

    count: int
    first: Any = None
    last: Any = None
    alone: bool = False
    undated: int = 0


async def count(session: Session, table: Statements, tasks: Sequence[Task]) -> dict[UUID, Rows]:
    """What a table has of each task; those of whom it has nothing are left out."""
    asked = table.wanted(tasks)
    rows: dict[int, Rows] = {}
    alone = {n for n, task in enumerate(tasks) if by_former([table], task)}
    if asked:
        for group in await session.connection.fetch(table.count, *asked.arrays):
            whose = attribute([group], table, asked)
            first, last = group[len(table.finders) + 1], group[len(table.finders) + 2]
            for position, n in whose.rows.items():
                rows[position] = _with(rows.get(position), n, first, last)
            alone |= whose.strays
            if not table.to_one:  # a row that leads to several is met once for each of them
                alone |= whose.rows.keys()
    for position in alone:
        if keys := table.keys(tasks[position]):
            n, first, last = (await session.connection.fetch(*table.count_one(keys)))[0]
            rows[position] = Rows(n, first, last, alone=True)
    return {tasks[position].task_id: found for position, found in rows.items() if found.count}


def _with(known: Rows | None, n: int, first: Any, last: Any) -> Rows:
    if known is None:
        return Rows(n, first, last)
    begins = [moment for moment in (known.first, first) if moment is not None]
    ends = [moment for moment in (known.last, last) if moment is not None]
    return Rows(known.count + n, min(begins, default=None), max(ends, default=None))
