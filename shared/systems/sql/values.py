"""Reads the values of a row as its dataset declares; pure.

A collation treats more values as equal than we do (``é`` and ``e``, trailing blanks). So the server finds candidates,
and the bytes decide whether one is the subject's.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from shared.domain.countries import COUNTRIES
from shared.domain.identities import IdentityType
from shared.systems.engine.records import as_text
from shared.systems.sql.catalog import TEXT, UNSIGNED, Relation
from shared.systems.sql.declaration import Column, State, Table

Row = Mapping[str, Any]
"""A row by column; a value in a document is the document."""
_INTEGERS = frozenset({"smallint", "mediumint", "int", "integer", "bigint", UNSIGNED})
_OTHER_NUMBERS = frozenset({"decimal", "numeric", "boolean", "real", "bit"})
_UUID = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def adapted(values: Iterable[object], type_: str) -> tuple[list[object], str]:
    """Returns those of some values that a column of that type can hold, and the type in which they are compared."""
    texts = [text for each in values if (text := as_text(each)) is not None]
    if type_ in _INTEGERS:
        of, low = (2**64, 0) if type_ == UNSIGNED else (2**63, -(2**63))
        numbers = (int(each) for each in texts if re.fullmatch(r"-?[0-9]{1,20}", each, re.ASCII))
        return [number for number in numbers if low <= number < of], "bigint"
    if type_ in _OTHER_NUMBERS:
        return [int(each) for each in texts if each.isascii() and each.isdigit()], type_
    if type_ == "uuid":
        return [UUID(each) for each in texts if _UUID.fullmatch(each)], type_
    return [*texts], "text" if type_ in TEXT else type_


def read(name: str, row: Row) -> str | None:
    """Returns what a column holds as text."""
    return as_text(row[name])


def compared(table: Table, relation: Relation, name: str, row: Row) -> str | None:
    """Returns what of a column is compared with an identity, as its ``match`` says."""
    column = table.columns[name]
    text = read(name, row)
    if text is None:
        return None
    any_case = column.identity is IdentityType.EMAIL and relation.columns[name].any_case
    return text.lower() if any_case or column.match == "lower" else text


def lasts(reason: str, state: State, row: Row) -> bool | None:
    """Returns whether a declared state lasts by a row; None: it does not tell."""
    return state.lasts(reason, as_text(row[state.column]))


def country(value: Any) -> str | None:
    """Returns the two-letter country of a row; None: unknown."""
    text = (as_text(value) or "").strip(" ").upper()
    return text if text in COUNTRIES else None


def raw(value: Any) -> Any:
    """Returns a value as it was read; of bytes what they spell."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def readable(value: Any, column: Column, table: Table) -> JsonValue:
    """Returns a value as it is shown: times with their zone, codes in words."""
    shown: JsonValue
    if value is None or (type(value) is str and not column.codes):  # most values are, and need no look at the rest
        return value
    match value:
        case datetime():
            shown = (value if value.tzinfo else value.replace(tzinfo=table.timezone)).isoformat()
        case date() | time():
            shown = value.isoformat()
        case timedelta():
            shown = value.total_seconds()
        case Decimal():
            shown = float(value)
        case str() | int():
            shown = column.codes.get(str(value), value)
        case float():
            shown = value
        case list():
            shown = [readable(item, column, table) for item in value]
        case _:
            shown = str(value)
    return shown
