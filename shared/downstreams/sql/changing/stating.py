"""Putting a person's statements beside rows of theirs: those that an access would show them, no others (Art. 16)."""

from collections.abc import Mapping

from shared.domain.operations import Change, ShownRecord
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
    """Puts each statement of a task beside every row that it means; of each, beside how many. Within a transaction."""
    counts = []
    for change, rows in zip(task.changes, await _meant(session, policy, task), strict=True):
        put = [await stated.attach(session, table, key, by, task, change) for (_, key), (table, by) in rows.items()]
        counts.append(sum(put))
    return counts


async def count(session: Session, task: Task) -> int:
    """How many statements of the request of a task stand there."""
    query = "SELECT count(*) FROM dsr_platform.stated WHERE system = $1 AND request_id = $2"
    found: int = await session.connection.fetchval(query, session.system, task.request_id)
    return found


async def _meant(session: Session, policy: Policy, task: Task) -> list[Meant]:
    """The rows that each statement of a task means."""
    meant: list[Meant] = [{} for _ in task.changes]
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
                    for each in (m for m, c in zip(meant, task.changes, strict=True) if is_meant(record, c)):
                        each[table.name, sheet.key(row)] = table, by
    return meant


def is_meant(record: Record, change: Change) -> bool:
    """Whether a statement is about a record, by what that shows."""
    sought = change.record
    return sought is not None and record.category == sought.category and _shows(record.data, sought)


def _shows(data: Mapping[str, object], sought: ShownRecord) -> bool:
    return all(
        name in data and (data[name] == value or str(data[name]) == str(value)) for name, value in sought.fields.items()
    )
