"""Whose are the rows that were found: every hit is re-checked against the subject's own identities and periods."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import asyncpg

from shared.downstreams.sql.finding.search_keys import Coverage, Wanted
from shared.downstreams.sql.finding.searching import Searched

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


def attribute(groups: Iterable[Row], statements: Searched, wanted: Wanted) -> Attribution:
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
    finders = statements.finders
    owners = [wanted.owners[finder.slot] for finder in finders]
    by_party, rows = statements.table.erase == "blank", len(finders)
    for group in groups:
        n = group[rows]
        found: dict[int, Coverage] = {}
        parties = set()
        searched = zip(group, owners, finders, strict=False)
        for value, own, finder in (each for each in searched if each[0] is not None):
            parties.add(finder.party)
            first, last = group[rows + 1 + 2 * finder.time], group[rows + 2 + 2 * finder.time]
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


def each_row(
    rows: Iterable[Row],
    start: int,
    statements: Searched,
    wanted: Wanted,
    met: set[tuple[object, ...]] | None = None,
) -> Iterator[tuple[Row, dict[int, set[str | None]]]]:
    """Each row that was read, once for each whose it is; ``start``: where the values that it was found by begin.

    A row that leads to several is read several times; which it is its primary key tells, which is read with it.
    ``met``: those that came before, of the same query.
    """
    met = set() if met is None else met
    for row in rows:
        owners = owners_of(row, start, statements, wanted)
        if not statements.to_one:
            key = tuple(row[column] for column in statements.table.primary_key)
            owners = {position: parties for position, parties in owners.items() if (*key, position) not in met}
            met.update((*key, position) for position in owners)
        yield row, owners


def owners_of(row: Row, start: int, statements: Searched, wanted: Wanted) -> dict[int, set[str | None]]:
    """Whose one row is, and as which party; ``start`` is where the values that it was found by begin."""
    times = start + len(statements.finders)
    owners: dict[int, set[str | None]] = {}
    for offset, finder in enumerate(statements.finders):
        value, at = row[start + offset], row[times + finder.time]
        if value is None:
            continue
        for position, key in wanted.owners[finder.slot].get(value, ()):
            if key.covers(at, at) is Coverage.INSIDE:
                owners.setdefault(position, set()).add(finder.party)
    return owners
