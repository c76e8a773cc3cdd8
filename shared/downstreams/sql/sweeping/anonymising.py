"""How rows lose their people and stay: so that neither what is left nor what others have noted leads back to them."""

# ruff: noqa: S608 - names are quoted, and what a dataset declares is a literal

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.declaration.anonymisation import Anonymisation, Unit
from shared.downstreams.sql.quoting import Condition, literal, quoted
from shared.downstreams.sql.statements import Call, Statements

if TYPE_CHECKING:
    from shared.downstreams.sql.sweeping.rows import DueRows, Moment

_DRAWN: Mapping[str, str] = {
    "uuid": "gen_random_uuid()",
    "bigint": "('x' || substr(replace(gen_random_uuid()::text, '-', ''), 17))::bit(64)::bigint",
}
"""A key by its type, of which nobody can tell which row it was before."""


def changes(table: Statements, declared: Anonymisation) -> str:
    """That a row still has something that is to go."""
    blank = {name: _blank(table, name) for name in declared.blank}
    coarse = {name: _cut(table, name, unit) for name, unit in declared.coarsen.items()}
    return "(" + " OR ".join(f"t.{quoted(c)} IS DISTINCT FROM {value}" for c, value in (blank | coarse).items()) + ")"


def anonymise(rows: "DueRows", declared: Anonymisation, since: "Moment", until: "Moment") -> Call:
    """Takes the people out of the rows of a time; who is alone in what is rare would be known by it: that goes too."""
    table, condition = rows.table, Condition()
    where = rows.window(condition, since, until)
    values = {name: _blank(table, name) for name in declared.blank}
    values |= {name: _drawn(table, name) for name in declared.redraw}
    values |= {name: _cut(table, name, unit) for name, unit in declared.coarsen.items()}
    if not declared.rare:
        return f"UPDATE {table.source} t SET {_assigned(values)} WHERE {where}", *condition.arguments
    for name in declared.rare:
        common = f"dsr_crowd.n >= {declared.people}"
        values[name] = f"CASE WHEN {common} THEN t.{quoted(name)} ELSE {_blank(table, name)} END"
    told = [_cut(table, name, unit) for name, unit in declared.coarsen.items()]
    told += [f"t.{quoted(name)}" for name in (*declared.same, *declared.rare)]
    keys = [quoted(name) for name in table.table.primary_key]
    named = ", ".join(f"t.{key} AS dsr_k{n}" for n, key in enumerate(keys))
    same = " AND ".join(f"t.{key} = dsr_due.dsr_k{n}" for n, key in enumerate(keys))
    # For the planner alone: without it all partitions would be read.
    within = f"{rows.moment} < $1::{rows.type} AND {rows.moment} >= $2::{rows.type}"
    due = f"SELECT {named}, ROW({', '.join(told)})::text AS told, t.{quoted(declared.person or '')} AS who"
    crowd = "SELECT told, count(DISTINCT who) AS n FROM dsr_due GROUP BY told"
    found = f"WITH dsr_due AS MATERIALIZED ({due} FROM {table.source} t WHERE {where}), dsr_crowd AS ({crowd})"
    joined = f"FROM dsr_due JOIN dsr_crowd USING (told) WHERE {same} AND {within}"
    return f"{found} UPDATE {table.source} t SET {_assigned(values)} {joined}", *condition.arguments


def of_one_person(table: Statements) -> Mapping[str, str]:
    """What becomes of the columns of one person's rows: who is alone is no crowd, so what only a crowd keeps goes."""
    declared = table.table.anonymise
    if declared is None:
        raise DatasetOutdated(f"{table.name} does not say what becomes of its columns: write anonymise")
    values = {name: _blank(table, name) for name in (*declared.blank, *declared.rare)}
    values |= {name: _drawn(table, name) for name in declared.redraw}
    return values | {name: _cut(table, name, unit) for name, unit in declared.coarsen.items()}


def _assigned(values: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())


def _blank(table: Statements, name: str) -> str:
    return literal(table.table.columns[name].blank)


def _drawn(table: Statements, name: str) -> str:
    type_ = table.relation.types[name]
    if type_ not in _DRAWN:
        raise DatasetOutdated(f"{table.name}: anonymise draws {name} anew, which is neither uuid nor bigint ({type_})")
    return _DRAWN[type_]


def _cut(table: Statements, name: str, unit: Unit) -> str:
    column = f"t.{quoted(name)}"
    match table.relation.types[name]:
        case "date":
            return f"date_trunc({literal(unit)}, {column})::date"
        case "timestamp with time zone":
            return f"date_trunc({literal(unit)}, {column}, 'UTC')"
        case "timestamp without time zone":
            return f"date_trunc({literal(unit)}, {column})"
        case type_:
            raise DatasetOutdated(f"{table.name}: anonymise coarsens {name}, which is no day and no instant ({type_})")
