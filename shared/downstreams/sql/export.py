"""What the subject is shown of their rows (Art. 15, 20), and what of other people's is not (Art. 15(4))."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from shared.downstreams.contract import Receipt, Record, Result, Task, TaskOutcome
from shared.downstreams.sql import examination
from shared.downstreams.sql.attribution import Row, owners_of
from shared.downstreams.sql.dataset import Column, Table
from shared.downstreams.sql.keys import keys_of, wanted
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session
from shared.errors import BlastRadius

WITHHELD = "withheld"


async def export(system: str, settings: SqlSettings, session: Session, tasks: Sequence[Task]) -> list[Result]:
    """Every row of every subject: one query per table for all of them, split by subject."""
    results: dict[UUID, Result] = dict(await examination.refusals(session.connection, session.tables, tasks, settings))
    records: dict[int, list[Record]] = {}
    for table in session.tables:
        keys = [keys_of(task, table.table, table.relation) for task in tasks]
        asked = wanted(enumerate(keys), table.table)
        if not asked:
            continue
        columns = tuple(table.table.columns)
        for row in await session.connection.fetch(table.select(columns), *asked.arrays):
            for position, parties in owners_of(row, len(columns), table, asked).items():
                record = _record(system, table, row, parties)
                records.setdefault(position, []).append(record)
    for position, task in enumerate(tasks):
        if task.task_id not in results:
            results[task.task_id] = _receipt(system, settings, task, records.get(position, []), session.tables)
    return [results[task.task_id] for task in tasks]


def _receipt(
    system: str, settings: SqlSettings, task: Task, found: Sequence[Record], tables: Sequence[Statements]
) -> Result:
    if len(found) > settings.max_rows:
        return BlastRadius(f"{system}: more than {settings.max_rows} rows; nothing was exported")
    if not found:
        searched = any(keys_of(task, table.table, table.relation) for table in tables)
        return Receipt(task.task_id, TaskOutcome.NO_MATCH) if searched else examination.nothing_to_search(task)
    counts: dict[str, int] = {}
    for record in found:
        counts[record.category] = counts.get(record.category, 0) + 1
    n = len(found)
    return Receipt(task.task_id, TaskOutcome.EXPORTED, found=n, remaining=n, by_category=counts, records=tuple(found))


def _record(system: str, statements: Statements, row: Row, mine: set[str | None]) -> Record:
    table = statements.table
    values = dict(zip(table.columns, row, strict=False))
    hidden = _hidden(table, values, mine)
    data: dict[str, JsonValue] = {}
    portable = False
    for name, column in table.columns.items():
        if not column.shown:
            continue
        if column.party is None or column.party in mine:
            shown = _readable(values[name], column, table)
        elif column.others == "strip":
            continue
        elif column.party in hidden:
            shown = WITHHELD
        else:
            shown = _readable(values[name], column, table)
        data[column.label or name] = shown
        portable |= column.portable
    secrets = {str(v) for party in hidden for v in _identifying(table, values, party)}
    if secrets:  # nor may it stand in some other field, such as a call id
        data = {
            label: WITHHELD if isinstance(value, str) and any(secret in value for secret in secrets) else value
            for label, value in data.items()
        }
    return Record(table.category, f"{system}.{statements.name}", data, portable)


def _hidden(table: Table, values: Mapping[str, Any], mine: set[str | None]) -> set[str]:
    """Other parties of the row who withheld their number; a requester always sees what they dialled themselves."""
    return {
        name
        for name, party in table.parties.items()
        if name not in mine and party.withheld and str(values[party.withheld.column]) in party.withheld.values
    }


def _identifying(table: Table, values: Mapping[str, Any], party: str) -> list[Any]:
    nobody = {None, *table.parties[party].nobody}
    held = (values[name] for name, column in table.columns.items() if column.party == party and column.personal == "A")
    return [value for value in held if value not in nobody]


def _readable(value: Any, column: Column, table: Table) -> JsonValue:
    readable: JsonValue
    match value:
        case datetime():
            readable = (value if value.tzinfo else value.replace(tzinfo=table.timezone)).isoformat()
        case date() | time():
            readable = value.isoformat()
        case timedelta():
            readable = value.total_seconds()
        case Decimal():
            readable = float(value)
        case str() | int():
            readable = column.codes.get(str(value), value)
        case float() | None:
            readable = value
        case list():
            readable = [_readable(item, column, table) for item in value]
        case _:
            readable = str(value)
    return readable
