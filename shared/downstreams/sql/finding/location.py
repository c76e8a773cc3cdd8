"""Finding a subject (Art. 12(2)): from what the requester gave to every identity that the store links to it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import TaskOutcome
from shared.downstreams.claims import adopted
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.following import FAR, endless, leading, shared_by
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.finding.claimed import said_by
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def locate(session: Session, tasks: Sequence[Task]) -> list[Result]:
    """Follow the links between the declared rows until nothing new is found.

    Found by a number alone, nobody is: it leads on only together with the period in which it was the subject's.
    """
    asked = {task.task_id: task for task in tasks}
    known = {**asked}
    tables = [table for table in session.tables if any(column.yields for column in table.table.columns.values())]
    found = dict.fromkeys(known, 0)
    results: dict[UUID, Result] = {}
    following = list(tasks)
    for _ in range(FAR):
        results |= await examination.refusals(session, following)
        following = [task for task in following if task.task_id not in results]
        if not following:
            break
        found |= dict.fromkeys((task.task_id for task in following), 0)
        for table in tables:
            # By what was known when it was seen whose all that is: nothing that it tells leads on before that is seen.
            for task_id, told in await _step(session, table, following):
                found[task_id] += 1
                known[task_id] = _with(known[task_id], told)
        onward = ((task, leading(asked[task.task_id], known[task.task_id])) for task in following)
        following = [task for before, task in onward if task.identities != before.identities]
    results |= {task.task_id: endless(session.system) for task in following}
    known |= await _with_shared(session, tables, [(task, known[task.task_id]) for task in tasks])
    searched = [leading(task, known[task.task_id]) for task in tasks]
    elsewhere = await examination.count(session, searched, but=[table.name for table in tables])
    rows = {task_id: found[task_id] + elsewhere[task_id] for task_id in known}
    return [results.get(task.task_id) or located(task, known[task.task_id], rows[task.task_id]) for task in tasks]


def _with(task: Task, told: Sequence[Identity]) -> Task:
    """The same with what is new of what a row tells."""
    fresh = [identity for identity in told if not knows(task, identity)]
    kept = tuple(i for i in task.identities if not superseded(i, fresh))
    return replace(task, identities=(*kept, *fresh)) if fresh else task


async def _with_shared(
    session: Session, tables: Sequence[Statements], located: Sequence[tuple[Task, Task]]
) -> dict[UUID, Task]:
    """Those of whom an address or a number was told that is not followed, with a mark where others have it, too."""
    marked: dict[UUID, Task] = {}
    for asked, known in located:
        if told := beside(asked, known):
            looked = replace(known, identities=told, beside=known.identities)
            rows = [each for table in tables for _, each in await _step(session, table, [looked])]
            marked[asked.task_id] = with_shared(known, shared_by(looked, rows))
    return marked


def beside(asked: Task, known: Task) -> tuple[Identity, ...]:
    """What rows have told since it was asked, and that was not followed."""
    return leading(asked, known).beside[len(asked.beside) :]


def with_shared(known: Task, shared: Collection[Identity]) -> Task:
    """The same with what others have as well marked so."""
    if not shared:
        return known
    return replace(known, identities=tuple(replace(i, shared=True) if i in shared else i for i in known.identities))


def located(asked: Task, known: Task, rows: int) -> Receipt:
    """What was found of the subject of a task, of whom more is known now."""
    if not rows:
        return Receipt(asked.task_id, TaskOutcome.NO_MATCH)
    new = tuple(identity for identity in known.identities if identity not in asked.identities)
    return Receipt(asked.task_id, TaskOutcome.LOCATED, found=rows, remaining=rows, identities=new)


async def _step(session: Session, table: Statements, tasks: Sequence[Task]) -> list[tuple[UUID, list[Identity]]]:
    asked = table.wanted(tasks)
    if not asked:
        return []
    columns = tuple(table.table.columns)
    rows = await session.connection.fetch(table.select(columns), *asked.arrays)
    return [
        (tasks[position].task_id, adopted(tasks[position], said_by(table, row[len(columns) :], parties), told))
        for row, owners in each_row(rows, len(columns), table, asked)
        for told in [list(yielded(session.system, table, dict(zip(columns, row, strict=False))))]
        for position, parties in owners.items()
    ]


def yielded(system: str, statements: Statements, values: dict[str, Any]) -> Iterator[Identity]:
    """What a row tells of its subject, with the period in which it holds."""
    table = statements.table
    since = until = None
    if (period := table.period) is not None:
        zone = period.timezone or table.timezone
        times = (values[period.valid_from], values[period.valid_to])
        since, until = (time and examination.as_utc(time, zone) for time in times)
    for name, column in table.columns.items():
        if not column.yields or column.identity is None or values[name] is None:
            continue
        try:
            value = normalise(column.identity, str(values[name]))
        except MalformedIdentity:
            continue  # what cannot be normalised cannot be searched for elsewhere
        if column.identity is IdentityType.PHONE:
            yield Identity(column.identity, value, since, until, system)
        else:
            yield Identity(column.identity, value, source=system, claimed=column.identity is IdentityType.ACCOUNT_ID)


def knows(task: Task, identity: Identity) -> bool:
    """Whether it is known already; an account that somebody only states is not: the register asks who has found it."""
    same = (known for known in task.identities if (known.type, known.value) == (identity.type, identity.value))
    if identity.type is IdentityType.ACCOUNT_ID:
        return any(known.source == identity.source for known in same)
    if identity.valid_from is None:
        return any(True for _ in same)
    return any((known.valid_from, known.valid_to) == (identity.valid_from, identity.valid_to) for known in same)


def superseded(known: Identity, fresh: Sequence[Identity]) -> bool:
    """A number whose period was not known is known now."""
    return known.valid_from is None and any(
        (new.type, new.value) == (known.type, known.value) and new.valid_from is not None for new in fresh
    )
