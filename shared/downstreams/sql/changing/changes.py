"""The statements that change and compare single columns of one subject's rows, or of all."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence
from typing import Any

from shared.domain.text import forms
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.quoting import Condition, quoted
from shared.downstreams.sql.statements import Call, Statements


def count_unlike(
    table: Statements, keys: Sequence[SearchKey], column: str, value: Any, but: Sequence[str] = ()
) -> Call:
    """How many of one subject's rows do not hold that value; ``but``: digests, as ``select_flags`` gives them."""
    condition = Condition()
    rows = table.mine(keys, condition)
    unlike = f"t.{quoted(column)} IS DISTINCT FROM {_value(table, column, value, condition)}"
    others = _others(table, but, condition)
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {unlike}{others}", *condition.arguments


def select_flags(table: Statements, keys: Sequence[SearchKey], column: str, value: Any) -> Call:
    """A digest of the primary key of each of one subject's rows, and whether it holds that value."""
    condition = Condition()
    rows = table.mine(keys, condition)
    like = f"t.{quoted(column)} IS NOT DISTINCT FROM {_value(table, column, value, condition)}"
    return f"SELECT {_key(table)}, {like} FROM {table.source} t WHERE ({rows})", *condition.arguments


def count_held(table: Statements, keys: Sequence[SearchKey], column: str, value: Any, but: Sequence[str]) -> Call:
    """How many of one subject's rows hold that value."""
    condition = Condition()
    rows = table.mine(keys, condition)
    like = f"t.{quoted(column)} IS NOT DISTINCT FROM {_value(table, column, value, condition)}"
    others = _others(table, but, condition)
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {like}{others}", *condition.arguments


def select_like(table: Statements, keys: Sequence[SearchKey], column: str, value: Any) -> Call:
    """The primary keys of one subject's rows that hold that value."""
    condition = Condition()
    rows = table.mine(keys, condition)
    like = f"t.{quoted(column)} IS NOT DISTINCT FROM {_value(table, column, value, condition)}"
    keys_ = ", ".join(f"t.{quoted(c)}" for c in table.table.primary_key)
    return f"SELECT {keys_} FROM {table.source} t WHERE ({rows}) AND {like}", *condition.arguments


def count_shown(table: Statements, keys: Sequence[SearchKey], column: str, value: str) -> Call:
    """How many of one subject's rows show that value of theirs, also in a document."""
    condition = Condition()
    party = table.table.columns[column].party
    rows = table.mine(keys, condition, table.columns_of(party) if party else None)
    like = f"{table.read(column)} IS NOT DISTINCT FROM {_value(table, column, value, condition)}"
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {like}", *condition.arguments


def count_like(table: Statements, column: str, value: Any) -> Call:
    """How many rows hold that value, whose ever they are."""
    condition = Condition()
    like = f"t.{quoted(column)} IS NOT DISTINCT FROM {_value(table, column, value, condition)}"
    return f"SELECT count(*) FROM {table.source} t WHERE {like}", *condition.arguments


def unlike(table: Statements, column: str, value: Any) -> Call:
    """The condition that a row does not hold that value, with its argument."""
    condition = Condition()
    return f"t.{quoted(column)} IS DISTINCT FROM {_value(table, column, value, condition)}", *condition.arguments


def update_one(
    table: Statements,
    keys: Sequence[SearchKey],
    column: str,
    value: Any,
    current: str | None = None,
    but: Sequence[str] = (),
    left: str = "false",
) -> Call:
    """Set a column of one subject's rows, where it holds ``current`` if that is given; returns primary keys.

    ``but``: digests of rows that stay as they are, as ``select_flags`` gives them; ``left``: in which rows nothing is
    changed.
    """
    condition = Condition()
    change = table.assigned([({column: _value(table, column, value, condition)}, None)])
    keys_ = ", ".join(f"t.{quoted(c)}" for c in table.table.primary_key)
    rows = f"{_held(table, keys, column, current, condition)}{_others(table, but, condition)} AND NOT ({left})"
    return f"UPDATE {table.source} t SET {change} WHERE {rows} RETURNING {keys_}", *condition.arguments


def count_left(
    table: Statements, keys: Sequence[SearchKey], column: str, value: str, current: str | None, left: str
) -> Call:
    """How many rows ``update_one`` would make another, were they not ``left`` as they are."""
    condition = Condition()
    other = f"{table.read(column)} IS DISTINCT FROM {_value(table, column, value, condition)}"
    rows = f"{_held(table, keys, column, current, condition)} AND {other} AND ({left})"
    return f"SELECT count(*) FROM {table.source} t WHERE {rows}", *condition.arguments


def _held(table: Statements, keys: Sequence[SearchKey], column: str, current: str | None, condition: Condition) -> str:
    """That a row is the subject's, as whom the column speaks of, and holds there ``current`` if that is given."""
    held = ""
    if current is not None:
        same = (_value(table, column, form, condition) for form in forms(current))
        held = f" AND ({' OR '.join(f'{table.read(column)} IS NOT DISTINCT FROM {each}' for each in same)})"
    if table.table.columns[column].json_:
        held += f" AND {table.read(column)} IS NOT NULL"  # a document without it stays without it
    party = table.table.columns[column].party
    return f"({table.mine(keys, condition, table.columns_of(party) if party else None)}){held}"


def _key(table: Statements) -> str:
    """A digest of the primary key, with the store's own id: a key may be what somebody is known by."""
    key = f"jsonb_build_array({', '.join(f't.{quoted(c)}' for c in table.table.primary_key)})"
    salted = f"(SELECT id::text FROM dsr_platform.incarnation) || {key}::text"
    return f"encode(sha256(convert_to({salted}, 'UTF8')), 'hex')"


def _others(table: Statements, but: Sequence[str], condition: Condition) -> str:
    return f" AND {_key(table)} <> ALL ({condition.place([*but], 'text[]')})" if but else ""


def _value(table: Statements, column: str, value: Any, condition: Condition) -> str:
    if isinstance(value, str):  # as text, so that PostgreSQL parses dates and numbers, and refuses what is neither
        return f"{condition.place(value, 'text')}::{table.type_of(column)}"
    return condition.place(value, table.type_of(column))
