"""What is held of a value that is to be corrected, and no correction reaches (Art. 16).

No column of a table can be corrected so, or the rows are those that an erasure has left for a rule alone. Such a field
is not "not held": whoever is found by the very value would be told that we hold nothing of it.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from shared.domain.errors import DoneBefore, NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.text import forms
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.results import of_corrections
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.quoting import Condition
from shared.downstreams.sql.statements import Call, Statements
from shared.downstreams.sql.store import Session

_HELD_AS: Final[Mapping[str, IdentityType]] = {
    "email": IdentityType.EMAIL,
    "name": IdentityType.NAME,
    "phone": IdentityType.PHONE,
}
"""What stands in a column of such an identity, by the field of a correction."""


def columns(tables: Sequence[Statements], change: Change) -> Iterator[tuple[Statements, str]]:
    """The columns that may hold such a value as it is today, and are not corrected by it; pure.

    Where another table is, only the very value that is said to be wrong counts. Where no column of the store is
    declared as correctable at all, nobody has said which field stands where: so does what else identifies them.
    """
    if change.record:
        return
    declared = {column.rectifies for table in tables for column in table.table.columns.values()}
    for table in tables:
        if not any(column.rectifies == change.field for column in table.table.columns.values()):
            yield from ((table, name) for name in _columns(table.table, change, declared))


def _columns(table: Table, change: Change, declared: Collection[str | None]) -> Iterator[str]:
    identity, undeclared = _HELD_AS.get(change.field), not any(declared)
    known = identity is not None and any(column.identity is identity for column in table.columns.values())
    for name, column in table.tells_of_person:
        said = change.current is not None
        if column.rectifies:
            continue
        if identity is not None and column.identity is identity:
            if said or change.field not in declared:
                yield name
        elif undeclared and column.identity is None and (said or not known):
            yield name


def nothing_changed(task: Task, tables: Sequence[Table], stuck: Mapping[str, int], rows: int) -> Result:
    """What comes of a change in place for which a store declares no column; ``rows``: how many are the subject's; pure.

    A person corrects what is ``stuck``. Where none of its columns can be corrected and some identify people, whoever is
    found there is told so, also where it holds no value that was to be corrected.
    """
    if stuck:
        return refused(stuck)
    declared = any(column.rectifies for table in tables for column in table.columns.values())
    if task.operation is Operation.RECTIFY and not declared and any(True for t in tables for _ in t.tells_of_person):
        return of_corrections(task, {}, [0] * len(task.changes), rows)
    return Receipt(task.task_id, TaskOutcome.NOT_HELD)


async def stuck(session: Session, task: Task) -> Counter[str]:
    """By column how many rows of the subject's hold what is to be corrected, and no correction reaches it."""
    found = Counter[str]()
    for table, column, call in _calls(session.tables, task):
        found[f"{table.name}.{column}"] += await session.connection.fetchval(*call)
    return +found


def refused(stuck: Mapping[str, int], done: Receipt | None = None) -> NotSupported:
    """Why a person corrects it, in which columns; ``done``: what has been corrected elsewhere in that store."""
    held, before = ", ".join(sorted(stuck)), done is not None and done.changed
    how = "correct that by hand, and enter what was done; the rest is done" if before else ""
    reason = NotSupported(
        f"{held} holds what is to be corrected, and nothing declares it as correctable (`rectifies`): "
        + (how or "correct all of it by hand, and enter what was done")
    )
    if done is not None and before:
        left = sum(stuck.values())
        reason.done_before = DoneBefore(done.changed + left, done.changed, left)
    return reason


def with_left(result: Result, stuck: Mapping[str, int]) -> Result:
    """What came of a correction, or the person's task that it leaves in these columns."""
    return refused(stuck, result) if stuck and isinstance(result, Receipt) else result


def only_left(tables: Collection[str]) -> NotSupported:
    """Why a person looks at it: the rows in these tables are kept for a rule alone."""
    return NotSupported(
        f"{', '.join(sorted(tables))} holds of theirs only what an erasure has left, which a rule of the policy"
        " keeps: it is not written into again; look whether what is kept is wrong, correct all of it by hand if so, and"
        " enter what was done"
    )


def _calls(tables: Sequence[Statements], task: Task) -> Iterator[tuple[Statements, str, Call]]:
    for change in task.changes:
        for table, name in columns(tables, change):
            if keys := table.keys(task):
                yield table, name, _count(table, keys, name, change)


def _count(table: Statements, keys: Sequence[SearchKey], column: str, change: Change) -> Call:
    """How many rows hold the value that is said to be wrong, or else any that is not the right one."""
    condition = Condition()
    party = table.table.columns[column].party
    rows = table.mine(keys, condition, table.columns_of(party) if party else None)
    held = f"{table.read(column)}::text"
    if change.current is None:
        wrong = f"{held} <> {condition.place(change.asserted, 'text')}"
    else:
        wrong = f"{held} = ANY ({condition.place([*forms(change.current)], 'text[]')})"
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {wrong}", *condition.arguments
