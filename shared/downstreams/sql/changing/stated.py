"""What a person has stated about a row of theirs (Art. 16), beside the data: the row itself is not rewritten.

A statement is of whom the row was found by: it names the row by its primary key, and the column with the value that is
the person's there. So nobody else who is in the row is shown it, and it is over once the row is gone, or holds that
value no more.
"""

# ruff: noqa: S608 - names are quoted, and every value a parameter

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from shared.domain.operations import Change
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import Row
from shared.downstreams.sql.finding.search_keys import Coverage, Wanted
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

FIELD: Final = "statement"
"""What it is called among the fields of a record."""
_TAKE_OUT = "DELETE FROM dsr_platform.stated s WHERE s.system = $1 AND s.place = $2 AND {orphaned}"
# Lines of one field, each but the last with its day, as they are shown.
_STANDS = (
    "position(E'\n' || excluded.field || ': ' || excluded.said || ' (' in"
    " E'\n' || s.field || ': ' || s.said || ' (') > 0"
)

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """One statement: by which column whoever has made it stands in the row, and what they say about which field."""

    found_by: str
    field: str
    said: str
    stated_on: date

    def __str__(self) -> str:
        return f"{self.field}: {self.said} ({self.stated_on.isoformat()})"


Stated = Mapping[Key, Sequence[Said]]
"""What was stated, by the primary key of the row."""


async def of_subjects(session: Session, table: Statements, asked: Wanted) -> Stated:
    """What is stated of rows of a table by those whom these values find."""
    if not table.table.stated:
        return {}
    keys = ", ".join(f"(s.key)[{i}]::{type_}" for i, (_, type_) in enumerate(_key_of(table), 1))
    query = (
        f"SELECT s.found_by, s.field, s.said, s.stated_on, {keys} FROM dsr_platform.stated s"
        " WHERE s.system = $1 AND s.place = $2 AND s.value = ANY($3) ORDER BY s.stated_on, s.field"
    )
    values = [value for array in asked.arrays for value in array]
    found: dict[Key, list[Said]] = {}
    for row in await session.connection.fetch(query, session.system, table.name, values):
        found.setdefault(tuple(row)[4:], []).append(Said(*tuple(row)[:4]))
    return found


def shown(stated: Stated, table: Statements, key: Key, mine: set[str | None]) -> str | None:
    """What a party of a row reads of what they have stated about it."""
    theirs = [each for each in stated.get(key, ()) if table.table.columns[each.found_by].party in mine]
    return "\n".join(map(str, theirs)) or None


def found_by(row: Row, start: int, table: Statements, asked: Wanted) -> tuple[str, str] | None:
    """By which column, and which value, a row is the first subject's; ``start``: where what finds rows begins."""
    at = row[start + len(table.finders)]
    for offset, column in enumerate(table.search):
        own = asked.owners[table.finders[offset].slot].get(row[start + offset], ())
        if any(position == 0 and key.covers(at, at) is Coverage.INSIDE for position, key in own):
            return column, row[start + offset]
    return None


async def attach(session: Session, table: Statements, key: Key, by: tuple[str, str], task: Task, change: Change) -> int:
    """Puts a statement beside a row, after what was said before about the same field. How many rows: 1, or 0.

    What another request of theirs has put there was told to stand there: nothing takes its place without a word. What
    stands there already is not put there twice. ``by``: the column and the value by which the row is the subject's.
    """
    names = [name for name, _ in _key_of(table)]
    same = " AND ".join(f"t.{name} = ${i}" for i, name in enumerate(names, 9))
    put = f"""
INSERT INTO dsr_platform.stated AS s (system, place, key, found_by, value, field, said, stated_on, request_id)
SELECT $1, $2, ARRAY[{", ".join(f"t.{name}::text" for name in names)}], $3, $4, $5, $6, $7, $8
FROM {table.source} t WHERE {same}
ON CONFLICT (system, place, key, found_by, field) DO UPDATE
SET value = excluded.value, stated_on = CASE WHEN {_STANDS} THEN s.stated_on ELSE excluded.stated_on END,
    request_id = CASE WHEN {_STANDS} THEN s.request_id ELSE excluded.request_id END,
    said = CASE WHEN {_STANDS} THEN s.said
                ELSE s.said || ' (' || s.stated_on || E')\n' || s.field || ': ' || excluded.said END
"""
    if task.at is None:
        raise ValueError(f"{session.system}: a statement needs the instant of its task")
    said = (*by, change.field, change.asserted, task.at.date(), task.request_id)
    status = await session.connection.execute(put, session.system, table.name, *said, *key)
    return int(status.rpartition(" ")[2])


async def take_out(session: Session, tasks: Sequence[Task] | None = None) -> None:
    """Takes out what was stated of rows that are gone, or name no longer who has stated it; of these tasks, or all."""
    for table in (table for table in session.tables if table.table.stated):
        same = " AND ".join(f"t.{name} = (s.key)[{i}]::{type_}" for i, (name, type_) in enumerate(_key_of(table), 1))
        held = " ".join(f"WHEN {literal(column)} THEN {table.seen(column)}" for column in table.search)
        # For each statement its row by primary key: no join that would read the table.
        row = f"(SELECT CASE s.found_by {held} END FROM {table.source} t WHERE {same})"
        query, arguments = _TAKE_OUT.format(orphaned=f"{row} IS DISTINCT FROM s.value"), [session.system, table.name]
        if tasks is None:
            await session.connection.execute(query, *arguments)
        elif values := sorted({key.value for task in tasks for key in table.keys(task)}):
            await session.connection.execute(f"{query} AND s.value = ANY($3)", *arguments, values)


def _key_of(table: Statements) -> list[tuple[str, str]]:
    return [(quoted(name), table.relation.types[name]) for name in table.table.primary_key]
