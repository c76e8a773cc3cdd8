"""What honours a restriction, or an objection to marketing, in a table: a column that holds a flag or a word."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.downstreams.sql.changing import changes
from shared.downstreams.sql.declaration.declared import Switch
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.quoting import Condition, literal, quoted
from shared.downstreams.sql.statements import Call, Statements

Kind = Literal["restriction", "marketing"]


@dataclass(frozen=True, slots=True)
class Switching:
    """The statements that switch the rows of one subject in one table."""

    table: Statements
    found: Call
    """How many rows it concerns."""
    wrong: Call
    """How many of them are not as wanted."""
    change: Call
    unknown: Call | None = None
    """How many could not be put back afterwards."""


def switching(
    table: Statements, keys: Sequence[SearchKey], kind: Kind, *, wanted: bool, but: Sequence[str] = ()
) -> Switching | None:
    """Returns how a table is switched, or back; None: it has no switch.

    ``but``: primary keys of rows that stay as they are, since they were so before.
    """
    switch = table.table.restriction if kind == "restriction" else table.table.marketing
    if switch is None:
        return None
    found = table.count_one(keys)
    if isinstance(switch.value, bool):
        value = switch.value is wanted
        wrong = changes.count_unlike(table, keys, switch.column, value, but)
        change = changes.update_one(table, keys, switch.column, value, but=but)
        return Switching(table, found, wrong, change)
    if wanted:
        wrong = changes.count_unlike(table, keys, switch.column, switch.value)
        change = changes.update_one(table, keys, switch.column, switch.value)
        return Switching(table, found, wrong, change, _neither(table, keys, switch) if switch.otherwise else None)
    held = changes.count_held(table, keys, switch.column, switch.value, but)
    change = changes.update_one(table, keys, switch.column, switch.otherwise, switch.value, but)
    return Switching(table, found, held, change)


def _neither(table: Statements, keys: Sequence[SearchKey], switch: Switch) -> Call:
    condition = Condition()
    words = ", ".join(map(literal, (str(switch.value), switch.otherwise)))
    unknown = f"coalesce(t.{quoted(switch.column)}::text NOT IN ({words}), true)"
    rows = table.mine(keys, condition)
    return f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {unknown}", *condition.arguments
