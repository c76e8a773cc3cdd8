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
from shared.domain.operations import Change, TaskOutcome
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


def declared(tables: Sequence[Statements], change: Change) -> Iterator[tuple[Statements, str]]:
    """The columns that a correction of this field changes; pure."""
    if not change.record:
        yield from ((t, name) for t in tables for name, c in t.table.columns.items() if c.rectifies == change.field)


def columns(tables: Sequence[Statements], change: Change, wrong: Collection[str]) -> Iterator[tuple[Statements, str]]:
    """The columns that may hold such a value as it is today, and are not corrected by it; pure.

    ``wrong``: the values that are to be replaced; with them any column may hold one. Without them the columns of the
    kind of identity may, those that are called like the field, or else those that identify and of which nobody has said
    which field they are.
    """
    if change.record or (not wrong and any(declared(tables, change))):
        return
    bare = not any(column.rectifies for table in tables for column in table.table.columns.values())
    for table in tables:
        yield from ((table, name) for name in _columns(table.table, change, wrong, bare=bare))


def _columns(table: Table, change: Change, wrong: Collection[str], *, bare: bool) -> Iterator[str]:
    identity = _HELD_AS.get(change.field)
    known = identity is not None and any(column.identity is identity for column in table.columns.values())
    if wrong:
        yield from (name for name, column in table.current_facts if column.rectifies != change.field)
        return
    for name, column in table.current_facts:
        unnamed = column.identity is None and column.personal == "A" and (identity is None or (bare and not known))
        called = name == change.field.rpartition(".")[2]
        if not column.rectifies and (unnamed or called or (identity is not None and column.identity is identity)):
            yield name


def nothing_changed(task: Task, stuck: Mapping[str, int] | None, rows: int) -> Result:
    """What comes of a correction for which a store declares no column; ``rows``: how many are the subject's; pure.

    A person corrects what is ``stuck``; where nothing was searched for the value it is not held.
    """
    if stuck:
        return refused(stuck)
    if stuck is None:
        return Receipt(task.task_id, TaskOutcome.NOT_HELD)
    return of_corrections(task, {}, [0] * len(task.changes), rows)


async def stuck(session: Session, task: Task) -> Mapping[str, int] | None:
    """By column how many rows of the subject's hold what no correction reaches; None: no column might hold it."""
    found = Counter[str]()
    for change in task.changes:
        wrong = await _wrong(session, task, change)
        for table, column in columns(session.tables, change, wrong):
            keys = table.keys(task)
            rows = await session.connection.fetchval(*_count(table, keys, column, change, wrong)) if keys else 0
            found[f"{table.name}.{column}"] += rows
    return +found if found else None


async def _wrong(session: Session, task: Task, change: Change) -> set[str]:
    """The values to be replaced: what is said to be wrong, or else what the columns hold that are corrected."""
    if change.current:
        return {*forms(change.current)}
    held = set[str]()
    for table, column in declared(session.tables, change):
        if keys := table.keys(task):
            held |= {row[0] for row in await session.connection.fetch(*_others(table, keys, column, change.asserted))}
    return held - {""}


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


def _count(table: Statements, keys: Sequence[SearchKey], column: str, change: Change, wrong: Collection[str]) -> Call:
    """How many rows hold one of the values to be replaced, in any case; where none is known, any but the right one."""
    condition = Condition()
    rows, held = _mine(table, keys, column, condition), f"{table.read(column)}::text"
    holds = f"{held} NOT IN ('', {condition.place(change.asserted, 'text')})"
    if wrong:
        values = condition.place(sorted(wrong), "text[]")
        holds += f" AND lower(btrim({held})) = ANY (ARRAY(SELECT lower(btrim(v)) FROM unnest({values}) v))"
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {holds}", *condition.arguments


def _others(table: Statements, keys: Sequence[SearchKey], column: str, right: str) -> Call:
    """The values that one subject's rows hold there, but the right one."""
    condition = Condition()
    rows, held = _mine(table, keys, column, condition), f"{table.read(column)}::text"
    other = f"{held} <> {condition.place(right, 'text')}"
    return f"SELECT DISTINCT {held} FROM {table.source} t WHERE ({rows}) AND {other}", *condition.arguments


def _mine(table: Statements, keys: Sequence[SearchKey], column: str, condition: Condition) -> str:
    party = table.table.columns[column].party
    return table.mine(keys, condition, table.columns_of(party) if party else None)
