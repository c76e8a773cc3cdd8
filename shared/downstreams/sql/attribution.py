"""Whose are the rows that were found: every hit is re-checked against the subject's own identities and periods."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import asyncpg

from shared.downstreams.sql.keys import Wanted
from shared.downstreams.sql.statements import Statements

Row = asyncpg.Record


@dataclass(slots=True)
class Attribution:
    """Rows per task (by position), and the tasks that need a statement of their own.

    ``strays``: a value of theirs also found rows outside their period, which belong to somebody else.
    """

    rows: Counter[int] = field(default_factory=Counter)
    strays: set[int] = field(default_factory=set)
    mixed: set[int] = field(default_factory=set)
    parties: int = 0
    """How often a party of a row was found, over all rows."""


def attribute(groups: Iterable[Row], statements: Statements, wanted: Wanted) -> Attribution:
    """Count groups of rows (values found by, number, first and last time) for the tasks that own them."""
    result = Attribution()
    columns = tuple(statements.table.searched.values())
    owners = [wanted.owners[column.identity] if column.identity else {} for column in columns]
    by_party = statements.table.erase == "blank"
    for group in groups:
        n, first, last = group[len(columns)], group[len(columns) + 1], group[len(columns) + 2]
        claims: dict[int, bool | None] = {}
        disputed: set[int] = set()
        parties = set()
        for value, own, column in zip(group, owners, columns, strict=False):
            if value is None:
                continue
            parties.add(column.party)
            held = [(position, key.holds(first, last)) for position, key in own.get(value, ())]
            for position, holds in held:
                claims[position] = claims.get(position, False) or holds
            # A row of which another task owns one party still has the other party, who may be nobody's here.
            if by_party and not any(holds for _, holds in held):
                disputed.update(position for position, _ in held)
        rightful = any(claims.values())
        result.parties += n * len(parties)
        result.strays |= disputed
        for position, holds in claims.items():
            if holds:
                result.rows[position] += n
            elif holds is None:
                result.mixed.add(position)
            if holds is None or not (holds or rightful):
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
            if key.holds(at, at):
                owners.setdefault(position, set()).add(column.party)
    return owners
