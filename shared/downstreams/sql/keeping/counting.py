"""How many rows of each subject a part of a table has, and from when to when they are."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import judged
from shared.downstreams.sql.finding.search_keys import Coverage
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


@dataclass(slots=True)
class _Sum:
    """The rows of one subject so far: of a batch thousands of groups come together."""

    count: int = 0
    first: Any = None
    last: Any = None
    undated: int = 0

    def add(self, n: int, first: Any, last: Any, undated: int) -> None:
        self.count += n
        self.undated += undated
        if self.first is None or (first is not None and first < self.first):
            self.first = first
        if self.last is None or (last is not None and last > self.last):
            self.last = last

    def rows(self) -> Rows:
        return Rows(self.count, self.first, self.last, undated=self.undated)


async def count(session: Session, table: Statements, tasks: Sequence[Task]) -> dict[UUID, Rows]:
    """What a table has of each task; those of whom it has nothing are left out."""
    asked = table.wanted(tasks)
    sums: defaultdict[int, _Sum] = defaultdict(_Sum)
    alone = set[int]()
    if asked:
        n = len(table.finders)
        groups = await session.connection.fetch(table.count_undated, *asked.arrays)
        for group, found, strays, _ in judged(groups, table, asked):
            mine = [position for position, coverage in found.items() if coverage is Coverage.INSIDE]
            for position in mine:
                sums[position].add(group[n], group[n + 1], group[n + 2], group[-1])
            alone.update(strays)
            if not table.to_one:  # a row that leads to several is met once for each of them
                alone.update(mine)
    rows = {position: each.rows() for position, each in sums.items()}
    for position in alone:
        if keys := table.keys(tasks[position]):
            many, first, last, undated = (await session.connection.fetch(*table.count_one(keys)))[0]
            rows[position] = Rows(many, first, last, alone=True, undated=undated)
    return {tasks[position].task_id: found for position, found in rows.items() if found.count}
