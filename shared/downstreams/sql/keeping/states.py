"""In which state of the subject's rows nothing of theirs may be erased: asked in every table before a row goes."""

from collections.abc import Collection, Sequence
from uuid import UUID

from shared.domain.errors import Refused
from shared.downstreams.contract import Task
from shared.downstreams.refusals import ErasureRefused
from shared.downstreams.sql.declaration.declared import Refusal
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.finding.paths import holds
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def refusals(session: Session, tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Tasks of whose subject a row is in a state that the dataset names."""
    refused: dict[UUID, Refused] = {}
    for table in session.tables:
        for state in table.table.refuse_when:
            for position in await _of(session, table, state, tasks) if tasks else ():
                said = f"{session.system} has a row of {table.name} that must stay now: {state.reason}"
                refused.setdefault(tasks[position].task_id, ErasureRefused(said))
    return refused


async def _of(session: Session, table: Statements, state: Refusal, tasks: Sequence[Task]) -> Collection[int]:
    """The tasks, by position, of which a row is in that state."""
    found: set[int] = set()
    also = f" AND {holds(state, 't')}"
    if asked := table.wanted(tasks):
        keys = table.table.primary_key
        rows = await session.connection.fetch(table.select(keys, also=also), *asked.arrays)
        found.update(position for _, owners in each_row(rows, len(keys), table, asked) for position in owners)
    for position, task in enumerate(tasks):
        if examination.by_former([table], task):
            count, *arguments = table.count_one(table.keys(task))
            if await session.connection.fetchval(count + also, *arguments):
                found.add(position)
    return found
