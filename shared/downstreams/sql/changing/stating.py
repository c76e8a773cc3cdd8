"""Putting a person's statements beside rows of theirs: those that an access would show them, no others (Art. 16)."""

from shared.domain.cells import names
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
