"""What a restriction reaches in a store where some tables bear a switch and others do not (Art. 18)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from shared.domain.errors import DoneBefore, NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import TaskOutcome
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.store import Session


async def rows(session: Session, task: Task) -> Mapping[str, int]:
    """By table how many rows of the subject stand there."""
    found: dict[str, int] = {}
    for table in session.tables:
        if keys := table.keys(task):
            count, *arguments = table.count_one(keys)
            found[table.name] = await session.connection.fetchval(count, *arguments)
    return found


def result(task: Task, searched: Sequence[Searched], switched: Mapping[str, int], found: Mapping[str, int]) -> Result:
    """What came of a restriction, or of its lift: everything of theirs, or a person's task in the tables left; pure.

    ``switched``: by category how many rows were; ``found``: by table how many are the subject's. Rows that lead to
    what was switched are counted with it: who has them from us is told of them too (Art. 19).
    """
    tables = {each.name: each.table for each in searched if found.get(each.name)}
    reached = reach(tables)
    counts = Counter(switched)
    for name in reached:
        if not tables[name].restriction:
            counts[tables[name].category] += found[name]
    if bare := tables.keys() - reached:
        return _left(bare, reached, counts.total(), sum(found[name] for name in bare))
    return Receipt.counted(task, TaskOutcome.AMENDED, counts)


def reach(tables: Mapping[str, Table]) -> frozenset[str]:
    """Of the tables in which somebody has rows, those whose readers know of a switch; pure.

    They bear it; or lead to such a table, through however many; or name the account of which such a table has one row.
    """
    reached = {name for name, table in tables.items() if table.restriction}
    accounts = any(_is_of_one_account(tables[name]) for name in reached)
    if accounts:
        reached |= {name for name, table in tables.items() if IdentityType.ACCOUNT_ID in table.types}
    while led := {name for name in tables.keys() - reached if _leads(tables[name], reached)}:
        reached |= led
    return frozenset(reached)


def _is_of_one_account(table: Table) -> bool:
    column = table.searched.get(table.primary_key[0])
    return len(table.primary_key) == 1 and column is not None and column.identity is IdentityType.ACCOUNT_ID


def _leads(table: Table, reached: Iterable[str]) -> bool:
    return any(step.table in reached for _, path in table.paths for step in path)


def _left(bare: Iterable[str], reached: Iterable[str], changed: int, left: int) -> NotSupported:
    """Why a person must see to it in tables, with how many rows were switched before, or lead to such, elsewhere."""
    named, done = (", ".join(sorted(each)) for each in (bare, reached))
    before = f"; in {done} it is done" if changed else ""
    reason = NotSupported(f"nothing in {named} tells who is restricted: do it by hand, and enter what was done{before}")
    reason.done_before = DoneBefore(changed + left, changed, left) if changed else None
    return reason
