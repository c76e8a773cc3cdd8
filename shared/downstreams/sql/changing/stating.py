"""Putting a person's statements beside rows of theirs: those that an access would show them, no others (Art. 16)."""

from collections.abc import Sequence

from shared.domain.cells import names
from shared.domain.errors import NotSupported, SystemRefused
from shared.domain.operations import Change
from shared.domain.policy import Policy
from shared.downstreams.contract import Record, Task
from shared.downstreams.sql.changing import stated
from shared.downstreams.sql.export import Sheet, batches
from shared.downstreams.sql.finding.attribution import owners_of
from shared.downstreams.sql.keeping.reducing import hiding
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Meant = dict[tuple[str, stated.Key], tuple[Statements, tuple[str, str]]]
"""Rows, by table and primary key: by which column and value each is the subject's."""


async def state(session: Session, policy: Policy, task: Task) -> list[int]:
    """Puts each statement of a task beside every row that it means; of each, beside how many. Within a transaction.

    Raises:
        NotSupported: tables with such records of theirs keep no statements: a person sees to it there.
        SystemRefused: the records have no such field; which they have.
    """
    counts = []
    meant = await _meant(session, policy, task)
    await _refuse_unkept(session, task, meant)
    for change, rows in zip(task.changes, meant, strict=True):
        _refuse_unknown_field(change, [table for table, _ in rows.values()])
        put = [await stated.attach(session, table, key, by, task, change) for (_, key), (table, by) in rows.items()]
        counts.append(sum(put))
    return counts


async def count(session: Session, task: Task) -> int:
    """Beside how many rows what a task says stands."""
    query = (
        "SELECT count(*) FROM dsr_platform.stated s WHERE s.system = $1"
        " AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN s.said) > 0)"
    )
    said = [change.asserted for change in task.changes]
    found: int = await session.connection.fetchval(query, session.system, said)
    return found


def _refuse_unknown_field(change: Change, tables: Sequence[Statements]) -> None:
    """Nobody reads a statement about what their record does not show."""
    shown = {column.label or n for each in tables for n, column in each.table.columns.items() if column.shown}
    if tables and change.field not in shown:
        table = tables[0]
        raise SystemRefused(
            f"a record of {table.table.category} shows no field of the name that was stated: it has"
            f" {', '.join(sorted(shown))}"
        )


async def _refuse_unkept(session: Session, task: Task, meant: Sequence[Meant]) -> None:
    """Where no record that bears statements is meant, one that bears none may be."""
    open_ = {
        change.record.category for change, rows in zip(task.changes, meant, strict=True) if change.record and not rows
    }
    bare = [t for t in session.tables if t.table.category in open_ and not t.table.stated]
    found = [t.name for t in bare if (keys := t.keys(task)) and await session.connection.fetchval(*t.count_one(keys))]
    if found:
        raise NotSupported(
            f"{', '.join(sorted(found))} of {session.system} holds records of theirs and keeps no statements beside"
            " them: see to it by hand that the subject's statement stands with the record, and enter what was done"
        )


async def _meant(session: Session, policy: Policy, task: Task) -> list[Meant]:
    """The rows that each statement of a task means."""
    meant: list[Meant] = [{} for _ in task.changes]
    zone = str(task.details.get("zone", "UTC"))
    wanted = {change.record.category for change in task.changes if change.record}
    for table in (t for t in hiding(session).tables if t.table.stated and t.table.category in wanted):
        if not (asked := table.wanted([task])):
            continue
        columns = tuple(table.table.columns)
        sheet = Sheet(session.system, table, policy.redacts(table.table.category))
        async for rows in batches(session, table.select(columns), asked.arrays):
            for row in rows:
                parties = owners_of(row, len(columns), table, asked).get(0)
                by = stated.found_by(row, len(columns), table, asked)
                if parties and by:
                    record = sheet.record(row, parties)
                    for each in (m for m, c in zip(meant, task.changes, strict=True) if is_meant(record, c, zone)):
                        each[table.name, sheet.key(row)] = table, by
    return meant


def is_meant(record: Record, change: Change, zone: str) -> bool:
    """Whether a statement is about a record, by what that shows; ``zone``: in which its times are shown to them."""
    sought, data = change.record, record.data
    if sought is None or record.category != sought.category:
        return False
    return all(name in data and names(name, data[name], said, zone) for name, said in sought.fields.items())
