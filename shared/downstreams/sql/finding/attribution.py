"""Whose are the rows that were found: every hit is re-checked against the subject's own identities and periods."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from shared.downstreams.sql.finding.search_keys import Coverage, Wanted
from shared.downstreams.sql.finding.searching import Searched

Row = asyncpg.Record
Judged = tuple[Row, Mapping[int, Coverage], Sequence[int], int]
"""A group of rows, how many of them are each task's, which tasks are strays by it, and how many parties were found."""


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
    n = len(statements.finders)
    for group, found, strays, parties in judged(groups, statements, wanted):
        result.parties += group[n] * parties
        result.strays.update(strays)
        for position, coverage in found.items():
            if coverage is Coverage.INSIDE:
                result.rows[position] += group[n]
            elif coverage is Coverage.STRADDLES:
                result.mixed.add(position)
    return result


def judged(groups: Iterable[Row], statements: Searched, wanted: Wanted) -> Iterator[Judged]:
    """Each group of rows as ``attribute`` judges it."""
    times = len(statements.finders) + 1
    finders = [(wanted.owners[finder.slot], finder.party, times + 2 * finder.time) for finder in statements.finders]
    by_party, inside = statements.table.erase == "blank", Coverage.INSIDE
    for group in groups:  # of a batch there are thousands
        found: dict[int, Coverage] = {}
        parties, strays, doubtful = set(), list[int](), False
        for value, (own, party, time) in zip(group, finders, strict=False):
            if value is None:
                continue
            parties.add(party)
            first, last, owners, theirs = group[time], group[time + 1], own.get(value, ()), False
            for position, key in owners:
                if (coverage := key.covers(first, last)) is inside:
                    found[position], theirs = inside, True
                else:
                    found[position], doubtful = max(coverage, found.get(position, coverage)), True
            if by_party and not theirs:
                strays += [position for position, _ in owners]
        if doubtful:
            owned = inside in found.values()
            strays += [
                position
                for position, coverage in found.items()
                if coverage is Coverage.STRADDLES or (coverage is Coverage.OUTSIDE and not owned)
            ]
        yield group, found, strays, len(parties)


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
