"""What a row of MariaDB holds, read as the dataset declares; pure.

A collation takes more for equal than we do (``é`` and ``e``, blanks at the end): the server finds candidates, and
whether one is the subject's is decided here, by the same bytes.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from shared.domain.identities import IdentityType
from shared.downstreams.sql.declaration.columns import Column
from shared.downstreams.sql.declaration.declared import Refusal, RowTest
from shared.downstreams.sql.finding.searching import Searched

WITH_ZONE = "timestamp with time zone"

Row = Mapping[str, Any]
"""What was read of a row, by column; what stands in a document is the document."""


def as_text(value: object) -> str | None:
    """A value as it is compared; of bytes what they spell."""
    match value:
        case None | str():
            return value
        case bool():
            return str(int(value))
        case bytes():
            return value.decode("utf-8", "surrogateescape")
        case _:
            return str(value)


def part(document: object, path: tuple[str, ...]) -> str | None:
    """A part of a document as text, as ``#>>`` of PostgreSQL gives it; None, where it is not there or null."""
    held = whole(document)
    for step in path:
        match held:
            case dict():
                held = held.get(step)
            case list() if re.fullmatch(r"-?\d+", step) and -len(held) <= int(step) < len(held):
                held = held[int(step)]
            case _:
                return None
    match held:
        case None | str():
            return held
        case _:
            return orjson.dumps(held).decode()


def place(document: object, path: tuple[str, ...]) -> str | None:
    """Where that part stands, as MariaDB's functions name it; None, where it does not exist."""
    held, said = whole(document), "$"
    for step in path:
        match held:
            case dict() if step in held:
                held, said = held[step], f"{said}.{orjson.dumps(step).decode()}"
            case list() if re.fullmatch(r"-?\d+", step) and -len(held) <= int(step) < len(held):
                said = f"{said}[{int(step) % len(held)}]"
                held = held[int(step)]
            case _:
                return None
    return said


def whole(document: object) -> Any:
    """A document; None, where it is none."""
    try:
        return orjson.loads(document) if isinstance(document, str | bytes) else None
    except orjson.JSONDecodeError:
        return None


def steps(name: str, column: Column) -> tuple[str, ...]:
    """Where a part of a document stands: its path, or its own name."""
    return column.path or (name,)


def read(table: Searched, name: str, row: Row) -> str | None:
    """What a column holds, or a part of the document in another one, as text."""
    column = table.table.columns[name]
    return part(row[column.json_], steps(name, column)) if column.json_ else as_text(row[name])


def compared(table: Searched, name: str, row: Row) -> str | None:
    """What of a column is compared with an identity, as its ``match`` says."""
    column, held = table.table.columns[name], read(table, name, row)
    if held is not None and column.domain:
        domain = as_text(row[column.domain])
        held = None if domain is None else f"sip:{held}@{domain.lower()}"
    if held is None:
        return None
    match column.match:
        case "lower":
            return held.lower()
        case "trimmed":
            return held.strip(" ").lower()
        case "digits":
            return re.sub("[^0-9+]", "", held)
        case "exact":
            any_case = column.identity is IdentityType.EMAIL and name in table.relation.loose
            return held.lower() if any_case else held


def holds(test: RowTest, row: Row) -> bool:
    """Whether a row meets a declared condition."""
    held = as_text(row[test.column])
    return (held is None) is test.null if test.null is not None else held in test.words


def tells(state: Refusal, row: Row) -> bool | None:
    """Whether a declared state lasts by a row; None: it does not tell."""
    return True if holds(state, row) else False if state.tells(as_text(row[state.column])) else None


def moment(table: Searched, row: Row) -> datetime | None:
    """When a row happened, as its column tells it: with a zone, or as a clock on the wall."""
    held = row[table.table.occurred.column] if table.table.occurred else None
    return held if isinstance(held, datetime) else None  # one that is all zeros is none


def owner(table: Searched, row: Row) -> str | None:
    """For whom a row is processed, as its tenant column says it."""
    held = as_text(row[table.table.tenant]) if table.table.tenant else None
    return None if held is None else held.lower()


def counts(table: Searched, row: Row) -> bool:
    """Whether a row is one of those that are about people, and the tenant's whose rows alone are looked at, or ours."""
    if not all(holds(test, row) for test in table.table.where):
        return False
    return table.table.tenant is None or owner(table, row) in table.tenancy.values[table.tenant]
