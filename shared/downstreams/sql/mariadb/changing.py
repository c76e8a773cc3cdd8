"""What is written: rows that are deleted, columns that change, parts of documents where they exist."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.errors import ForeignHit
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.names import marks, parts, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Key, identified, primary
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.mariadb.values import Row
from shared.downstreams.sql.references import Reference


async def delete(session: Session, table: Searched, keys: Sequence[Key]) -> None:
    """Deletes the rows with these primary keys, which are locked; raises ``ForeignHit`` where more would go."""
    for some in parts(keys):
        condition, arguments = identified(table, some, "t")
        statement = f"DELETE t FROM {place_of(session.place(table))} t WHERE {condition}"
        _refuse_more(table, await session.connection.execute(statement, *arguments), len(some))


async def assign(session: Session, table: Searched, row: Row, changes: Mapping[str, Any]) -> None:
    """Writes columns, and parts of documents where they exist, of one row that is locked."""
    said: list[str] = []
    arguments: list[object] = []
    for name, value in changes.items():
        if table.table.columns[name].json_ is None:
            said.append(f"{quoted(name)} = ?")
            arguments.append(value)
    for document in dict.fromkeys(table.table.columns[name].json_ for name in changes):
        if document is None or document in changes:
            continue
        inside = {name: value for name, value in changes.items() if table.table.columns[name].json_ == document}
        places = [
            (values.place(row[document], values.steps(name, table.table.columns[name])), value)
            for name, value in inside.items()
        ]
        known = [(place, value) for place, value in places if place is not None]
        if known:
            said.append(f"{quoted(document)} = JSON_REPLACE({quoted(document)}{', ?, ?' * len(known)})")
            arguments += [each for pair in known for each in pair]
    if said:
        condition, key = identified(table, [primary(table, row)], "t")
        statement = f"UPDATE {place_of(session.place(table))} t SET {', '.join(said)} WHERE {condition}"
        _refuse_more(table, await session.connection.execute(statement, *arguments, *key), 1)


def _refuse_more(table: Searched, met: int, wanted: int) -> None:
    if met > wanted:
        raise ForeignHit(f"{table.name}: its primary key does not tell rows apart; nothing was done")


async def refuse_tied(session: Session, table: Searched, rows: Mapping[Key, Found]) -> None:
    """Raises ``ForeignHit`` where others refer to rows that go, and are not found to be theirs: they would go, too."""
    for key in session.references.to(table.name):
        if tied := await _tied(session, key, table, rows):
            child = key.child or key.place[1]
            raise ForeignHit(
                f"{tied} rows of {child} refer to rows of the subject in {table.name} ({key.name}) and are not found to"
                " be theirs: correct whose they are, in the store or the dataset"
            )


async def loosened(session: Session, table: Searched, rows: Mapping[Key, Found]) -> Mapping[str, int]:
    """By child table how many rows of others the server empties where they refer to rows that go."""
    keys = session.references.loosened(table.name)
    return {key.child or "": await _tied(session, key, table, rows) for key in keys}


async def _tied(session: Session, key: Reference, table: Searched, rows: Mapping[Key, Found]) -> int:
    """How many rows refer to these by a foreign key, as the server itself compares them; those that go do not count."""
    referred = dict.fromkeys(tuple(found.row[column] for column in key.to) for found in rows.values())
    among = key.child == key.parent
    shown = ", ".join(f"c.{quoted(column)}" for column in table.table.primary_key) if among else "count(*)"
    each = " AND ".join(f"c.{quoted(column)} = ?" for column in key.columns)
    tied = 0
    for some in parts([one for one in referred if None not in one]):
        if len(key.columns) == 1:
            condition = f"c.{quoted(key.columns[0])} IN ({marks(some)})"
        else:
            condition = " OR ".join([f"({each})"] * len(some))
        statement = f"SELECT {shown} FROM {place_of(key.place)} c WHERE {condition}"
        read = await session.connection.fetch(statement, *(part for one in some for part in one))
        tied += sum(row not in rows for row in read) if among else read[0][0]
    return tied
