"""What is held of a value that is to be corrected, and no correction reaches (Art. 16).

No column of a store can be corrected so, or the rows are those that an erasure has left for a rule alone. Such a field
is not "not held": whoever is found by the very value would be told that we hold nothing of it.
"""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Change
from shared.domain.text import forms
from shared.downstreams.contract import Task
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
    """The columns that hold such a value as it is today, where no column of the store is corrected by it; pure.

    Not what is derived from another column, nor a record of what was at a time: that is not rewritten.
    """
    if not any(column.rectifies == change.field for table in tables for column in table.table.columns.values()):
        yield from ((table, name) for table in tables for name in _columns(table.table, change))


def _columns(table: Table, change: Change) -> Iterator[str]:
    identity = _HELD_AS.get(change.field)
    if change.record or identity is None or table.stated or table.occurred or table.period or table.view:
        return
    for name, column in table.columns.items():
        derived = column.generated or column.of or column.former or column.domain
        if column.identity is identity and not derived:
            yield name


async def must_reach(session: Session, task: Task) -> None:
    """Checks that no row of the subject's holds what is to be corrected where no correction reaches.

    Raises:
        NotSupported: in which columns one does: a person corrects it there.
    """
    stuck = [
        f"{table.name}.{column}"
        for table, column, call in _calls(session.tables, task)
        if await session.connection.fetchval(*call)
    ]
    if stuck:
        raise refused(stuck)


def refused(stuck: Sequence[str]) -> NotSupported:
    """Why a person corrects it, in which columns."""
    held = ", ".join(sorted(set(stuck)))
    return NotSupported(
        f"{held} holds what is to be corrected, and nothing declares it as correctable (`rectifies`): correct all of it"
        " by hand, and enter what was done"
    )


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
