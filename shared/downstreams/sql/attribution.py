"""Whose are the rows that were found: every hit is re-checked against the subject's own identities and periods."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg

from shared.downstreams.sql.search_keys import Coverage, Wanted
from shared.downstreams.sql.statements import Statements

Row = asyncpg.Record


@dataclass(slots=True)
class Attribution:
    """Rows per task (by position), and the tasks that need a statement of their own.

    ``strays``: a value of theirs also found rows outside their period, which belong to somebody else; ``mixed``: those
    of them with a group of rows of which only some are theirs. ``parties``: how often a party of a row was found, over
    all rows.
    """

    rows: Counter[int] = field(default_factory=Counter)
    strays: set[int] = field(default_factory=set)
    mixed: set[int] = field(default_factory=set)
    parties: int = 0


def attribute(groups: Iterable[Row], statements: Statements, wanted: Wanted) -> Attribution:
    """Count groups of rows (values found by, number, first and last time) for the tasks that own them.

    Task 0 had +34600000001 until 1 March, task 1 has it since 1 April::

        value          rows  first    last
        +34600000001   3     3 Jan    9 Feb     inside 0, outside 1: three rows of task 0
        +34600000001   2     10 Feb   5 March   straddles 0, outside 1: mixed and a stray, 0 is asked for alone
        +34600000001   1     8 March  8 March   outside both: somebody else's row, both are strays

    A group that is wholly one task's makes no stray of another task that shares the value, unless rows are blanked by
    party: then the other party of the row may be nobody's here.
    """
    result = Attribution()
    columns = tuple(statements.table.searched.values())
    owners = [wanted.owners[column.identity] if column.identity else {} for column in columns]
    by_party = statements.table.erase == "blank"
    for group in groups:
        n, first, last = group[len(columns)], group[len(columns) + 1], group[len(columns) + 2]
        found: dict[int, Coverage] = {}
        parties = set()
        searched = zip(group, owners, columns, strict=False)
        for value, own, column in (each for each in searched if each[0] is not None):
            parties.add(column.party)
            covered = [(position, key.covers(first, last)) for position, key in own.get(value, ())]
            for position, coverage in covered:
                found[position] = max(coverage, found.get(position, Coverage.OUTSIDE))
            if by_party and all(coverage is not Coverage.INSIDE for _, coverage in covered):
                result.strays.update(position for position, _ in covered)
        result.parties += n * len(parties)
        owned = Coverage.INSIDE in found.values()
        for position, coverage in found.items():
            match coverage:
                case Coverage.INSIDE:
                    result.rows[position] += n
                case Coverage.STRADDLES:
                    result.mixed.add(position)
                    result.strays.add(position)
                case Coverage.OUTSIDE if not owned:
                    result.strays.add(position)
    return result


def owners_of(row: Row, start: int, statements: Statements, wanted: Wanted) -> dict[int, set[str | None]]:
    """Whose one row is, and as which party; ``start`` is where the values that it was found by begin."""
    columns = tuple(statements.table.searched.values())
    at = row[start + len(columns)]
    owners: dict[int, set[str | None]] = {}
    for offset, column in enumerate(columns):
        value = row[start + offset]
        if value is None or column.identity is None:
            continue
        for position, key in wanted.owners[column.identity].get(value, ()):
            if key.covers(at, at) is Coverage.INSIDE:
                owners.setdefault(position, set()).add(column.party)
    return owners
