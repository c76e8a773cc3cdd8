"""Whose rows stay although they are due: found as for a request of theirs, by columns, joins and periods alike."""

from collections.abc import Sequence

from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.quoting import Condition
from shared.downstreams.sql.store import Session
from shared.downstreams.sql.sweeping.rows import DueRows, Key

_AT_A_TIME = 100


async def spared_keys(session: Session, rows: DueRows, spared: Sequence[Task]) -> set[Key]:
    """The primary keys of the rows that are due and stay, since they are about a subject of these tasks."""
    found: set[Key] = set()
    for first in range(0, len(spared), _AT_A_TIME):
        found |= await _theirs(session, rows, spared[first : first + _AT_A_TIME])
    return found


async def _theirs(session: Session, rows: DueRows, tasks: Sequence[Task]) -> set[Key]:
    """The keys of the rows that are due and belong to the subjects of these tasks."""
    table, keys = rows.table, rows.table.table.primary_key
    found: set[Key] = set()
    if asked := table.wanted(tasks):
        condition = Condition([*asked.arrays])
        also = f" AND {rows.window(condition, None, rows.before)}"
        read = await session.connection.fetch(table.select(keys, also=also), *condition.arguments)
        found.update(tuple(row)[: len(keys)] for row, owners in each_row(read, len(keys), table, asked) if owners)
    return found
