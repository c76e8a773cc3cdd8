"""What a store shows as restricted, or as wanting no marketing: in all, and of the subjects of some tasks."""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from shared.domain.operations import Operation
from shared.downstreams.contract import Task
from shared.downstreams.sql.changing.switching import count_shown, select_shown
from shared.downstreams.sql.declaration.declared import RowSwitch, SideTable, Switch
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def shown(session: Session, operation: Operation) -> int:
    """How many rows show it; of a table beside the data, how many requests stand in it.

    Erasures of which a rule keeps something stand there, too: they are none that somebody has asked to restrict.
    """
    if operation is Operation.RESTRICT and (side := session.restriction):
        request = f"t.{quoted(side.request)}"
        kept = f"SELECT FROM dsr_platform.kept k WHERE k.system = $1 AND k.request_id::text = {request}::text"
        query = f"SELECT count(DISTINCT {request}) FROM {_place(session, side)} t WHERE NOT EXISTS ({kept})"
        return await _number(session, query, session.system)
    calls = (count_shown(table, switch) for table, switch in _switches(session, operation))
    return sum([await _number(session, *call) for call in calls if call])


async def shown_of(session: Session, tasks: Sequence[Task]) -> Collection[str]:
    """Those of the subjects of these tasks, which have the same operation, by table and primary key."""
    operation = tasks[0].operation
    if operation is Operation.RESTRICT and (side := session.restriction):
        request, ours = quoted(side.request), [task.request_id for task in tasks]
        query = f"SELECT DISTINCT {request} FROM {_place(session, side)} WHERE {request} = ANY($1)"
        rows = await session.connection.fetch(query, ours)
        return {f"{side.table} {row[0]}" for row in rows}
    found: set[str] = set()
    for table, switch in _switches(session, operation):
        for keys in filter(None, map(table.keys, tasks)):
            call = select_shown(table, keys, switch)
            rows = await session.connection.fetch(*call) if call else []
            found |= {f"{table.name} {tuple(row)}" for row in rows}
    return found


def _switches(session: Session, operation: Operation) -> Iterator[tuple[Statements, Switch | RowSwitch]]:
    name = "restriction" if operation is Operation.RESTRICT else "marketing"
    return ((table, switch) for table in session.tables if (switch := getattr(table.table, name)))


def _place(session: Session, side: SideTable) -> str:
    return f"{quoted(session.settings.namespace)}.{quoted(side.table)}"


async def _number(session: Session, *call: Any) -> int:
    return int(await session.connection.fetchval(*call))
