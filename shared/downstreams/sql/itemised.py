"""The calls made from a line that several people use, as an itemised bill shows them to its subscriber.

Nobody can tell who of them made a call, so more is nobody's to see: neither who called in nor the whole number dialled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.release import ITEMISED, Match, read_number
from shared.downstreams.contract import Record, Task
from shared.downstreams.sql.declaration.bill import ITEMISED_BILL, Itemised, ShortenedNumbers
from shared.downstreams.sql.declaration.readable import readable
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import Row, owners_of
from shared.downstreams.sql.finding.search_keys import spelled
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def read(session: Session, tasks: Sequence[Task], policy: ShortenedNumbers) -> Mapping[UUID, list[Record]]:
    """The calls of the lines of each task's subject, by task."""
    records: dict[UUID, list[Record]] = {task.task_id: [] for task in tasks}
    billed = [_of_lines(task) for task in tasks]
    for table, bill in _billed(session):
        asked = table.wanted(billed)
        if not asked:
            continue
        columns = _columns(table, bill)
        party = table.table.columns[bill.by[0]].party
        for row in await session.connection.fetch(table.select(columns, bill.by), *asked.arrays):
            for position, parties in owners_of(row, len(columns), table, asked).items():
                task = billed[position]
                if party in parties and (record := _record(session.system, table, bill, row, task, policy)):
                    records[task.task_id].append(record)
    return records


def _billed(session: Session) -> Sequence[tuple[Statements, Itemised]]:
    return [(table, table.table.itemised) for table in session.tables if table.table.itemised]


def _of_lines(task: Task) -> Task:
    return replace(task, identities=task.lines)


def _columns(table: Statements, bill: Itemised) -> tuple[str, ...]:
    """What is read of each call: the number dialled first, and last for whom it was served."""
    return (bill.dialled, *bill.columns, *((table.table.tenant,) if table.table.tenant else ()))


def _record(
    system: str, table: Statements, bill: Itemised, row: Row, task: Task, policy: ShortenedNumbers
) -> Record | None:
    """One call, if it is by a line of the task's subject; read off the row whose line it was, not off the search."""
    columns = _columns(table, bill)
    found, region = row[len(columns) :], table.table.region
    values = [found[at] for at, name in enumerate(table.search) if name in bill.by and found[at] is not None]
    line = next((line for line in task.lines if set(values).intersection(spelled(line, table.table))), None)
    if line is None:
        return None
    moment = examination.as_utc(found[len(table.finders)], table.table.timezone)
    declared = table.table.columns
    data = {
        declared[name].label or name: readable(value, declared[name], table.table)
        for name, value in zip(bill.columns, row[1:], strict=False)
    }
    number, dialled = policy.shortened(row[0] or "", line), declared[bill.dialled].label or bill.dialled
    data |= {"line": line.value, dialled: number}
    hidden = {} if number == row[0] else {dialled: ITEMISED}
    owner = table.tenancy.owner(row[len(columns) - 1]) if table.table.tenant else None
    matched = tuple(Match(ITEMISED, read_number(value, region) if region else value, moment, owner) for value in values)
    return Record(ITEMISED_BILL, f"{system}.{table.name}", data, matched=matched, hidden=hidden)
