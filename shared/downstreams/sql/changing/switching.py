"""What honours a restriction, or an objection to marketing, in a table: a column, a word, or rows of another table."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from shared.downstreams.contract import Task
from shared.downstreams.sql.changing import changes
from shared.downstreams.sql.declaration.declared import RowSwitch, Switch
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
    table: Statements, keys: Sequence[SearchKey], kind: Kind, task: Task, *, wanted: bool, but: Sequence[str] = ()
) -> Switching | None:
    """How a table is switched for a task, or back; None: it has no switch.

    ``but``: primary keys of rows that stay as they are, since they were so before.
    """
    match table.table.restriction if kind == "restriction" else table.table.marketing:
        case Switch() as switch:
            return _column(table, keys, switch, but, wanted=wanted)
        case RowSwitch() as switch:
            return _rows(table, keys, switch, task.request_id) if wanted else _away(table, switch, task.request_id)
        case None:
            return None


def count_shown(table: Statements, switch: Switch | RowSwitch) -> Call | None:
    """How many rows show it, whose ever they are; None where only what is missing would."""
    if isinstance(switch, Switch):
        return changes.count_like(table, switch.column, switch.value)
    return (f"SELECT count(*) FROM {_place(table, switch)} x WHERE {_constants(switch)}",) if switch.present else None


def shows_no_stop(table: Statements, switch: Switch | RowSwitch) -> tuple[Any, ...]:
    """The condition that a row does not show it, with its arguments."""
    if isinstance(switch, Switch):
        return changes.unlike(table, switch.column, switch.value)
    stands = _stands(table, switch)
    return (f"NOT {stands}" if switch.present else stands,)


def select_shown(table: Statements, keys: Sequence[SearchKey], switch: Switch | RowSwitch) -> Call | None:
    """The primary keys of one subject's rows that show it; None where only what is missing would."""
    if isinstance(switch, Switch):
        return changes.select_like(table, keys, switch.column, switch.value)
    condition = Condition()
    rows, shown = table.mine(keys, condition), ", ".join(f"t.{quoted(c)}" for c in table.table.primary_key)
    query = f"SELECT {shown} FROM {table.source} t WHERE ({rows}) AND {_stands(table, switch)}"
    return (query, *condition.arguments) if switch.present else None


def _column(
    table: Statements, keys: Sequence[SearchKey], switch: Switch, but: Sequence[str], *, wanted: bool
) -> Switching:
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


def _rows(table: Statements, keys: Sequence[SearchKey], switch: RowSwitch, request: UUID) -> Switching:
    condition = Condition()
    rows, stands = table.mine(keys, condition), _stands(table, switch)
    named = " AND ".join(f"t.{quoted(own)} IS NOT NULL" for own in switch.on.values())
    found = f"SELECT count(*) FROM {table.source} t WHERE ({rows}) AND {named}", *condition.arguments
    if switch.present:
        wrong = f"{found[0]} AND NOT {stands}", *condition.arguments
        columns = [*switch.on, *switch.values, *filter(None, [switch.request])]
        shown = [*(f"t.{quoted(own)}" for own in switch.on.values()), *map(literal, switch.values.values())]
        theirs = Condition([*condition.arguments])
        shown += [theirs.place(request, "uuid")] if switch.request else []
        insert = (
            f"INSERT INTO {_place(table, switch)} ({', '.join(map(quoted, columns))})"
            f" SELECT DISTINCT {', '.join(shown)} FROM {table.source} t WHERE ({rows}) AND {named} AND NOT {stands}"
        )
        return Switching(table, found, wrong, (insert, *theirs.arguments))
    wrong = f"{found[0]} AND {stands}", *condition.arguments
    same = " AND ".join(f"x.{quoted(other)} = t.{quoted(own)}" for other, own in switch.on.items())
    gone = f"DELETE FROM {_place(table, switch)} x USING {table.source} t"
    return Switching(
        table, found, wrong, (f"{gone} WHERE {same} AND {_constants(switch)} AND ({rows})", *condition.arguments)
    )


def _away(table: Statements, switch: RowSwitch, request: UUID) -> Switching:
    """What takes away the rows that this request has put there."""
    mine = f"FROM {_place(table, switch)} x WHERE x.{quoted(switch.request or '')} = $1 AND {_constants(switch)}"
    count = f"SELECT count(*) {mine}", request
    return Switching(table, count, count, (f"DELETE {mine}", request))


def _stands(table: Statements, switch: RowSwitch) -> str:
    """That a row of the other table belongs to this one."""
    same = " AND ".join(f"x.{quoted(other)} = t.{quoted(own)}" for other, own in switch.on.items())
    return f"EXISTS (SELECT FROM {_place(table, switch)} x WHERE {same} AND {_constants(switch)})"


def _constants(switch: RowSwitch) -> str:
    held = (f"x.{quoted(column)}::text = {literal(value)}" for column, value in switch.values.items())
    return " AND ".join(held) or "true"


def _place(table: Statements, switch: RowSwitch) -> str:
    return f"{quoted(switch.schema_ or table.namespace)}.{quoted(switch.table)}"
