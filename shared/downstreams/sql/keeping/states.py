"""In which state of the subject's rows nothing of theirs may be erased: asked in every table before a row goes."""

from collections.abc import Collection, Sequence
from uuid import UUID

from shared.domain.errors import GroundUnknown, Refused
from shared.downstreams.contract import Task
from shared.downstreams.refusals import ErasureRefused
from shared.downstreams.sql.declaration.declared import Refusal
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.finding.paths import holds, untold
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def refusals(session: Session, tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Tasks of whose subject a row is in a state that the dataset names, or does not tell whether it is."""
    refused: dict[UUID, Refused] = {}
    declared = [(table, state) for table in session.tables for state in table.table.refuse_when]
    for table, state in declared if tasks else ():
        for position in await _of(session, table, holds(state, "t"), tasks):
            said = f"{session.system} has a row of {table.name} that must stay now: {state.reason}"
            refused.setdefault(tasks[position].task_id, ErasureRefused(said))
    for table, state in declared if tasks else ():
        for position in await _of(session, table, unclear, tasks) if (unclear := untold(state, "t")) else ():
            refused.setdefault(tasks[position].task_id, GroundUnknown(says_neither(session.system, table.name, state)))
    return refused


def says_neither(system: str, table: str, state: Refusal) -> str:
    """What a person reads of a row that does not tell whether a state lasts."""
    return (
        f"{system} has a row of {table} that does not say whether {state.reason}: enter it there, or name its word in"
        " the dataset, and try again; nothing was done"
    )


async def _of(session: Session, table: Statements, condition: str, tasks: Sequence[Task]) -> Collection[int]:
    """The tasks, by position, of which a row meets a condition."""
    found: set[int] = set()
    also = f" AND {condition}"
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
