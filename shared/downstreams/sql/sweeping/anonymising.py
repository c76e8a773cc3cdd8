"""The statement by which rows lose their people and stay; nothing that is left or that others have noted leads back."""

# ruff: noqa: S608 - names are quoted, and what a dataset declares is a literal

from collections.abc import Mapping

from shared.downstreams.sql.declaration.anonymisation import Anonymisation
from shared.downstreams.sql.quoting import Condition, quoted
from shared.downstreams.sql.statements import Call
from shared.downstreams.sql.sweeping.anonymous import blank, cut, drawn
from shared.downstreams.sql.sweeping.rows import DueRows, Moment


def anonymise(rows: DueRows, declared: Anonymisation, since: Moment, until: Moment) -> Call:
    """Takes the people out of the rows of a time; who is alone in what is rare would be known by it: that goes too."""
    table, condition = rows.table, Condition()
    where = rows.window(condition, since, until)
    values = {name: blank(table, name) for name in declared.blank}
    values |= {name: drawn(table, name) for name in declared.redraw}
    values |= {name: cut(table, name, unit) for name, unit in declared.coarsen.items()}
    if not declared.rare:
        return f"UPDATE {table.source} t SET {_assigned(values)} WHERE {where}", *condition.arguments
    for name in declared.rare:
        common = f"dsr_crowd.n >= {declared.people}"
        values[name] = f"CASE WHEN {common} THEN t.{quoted(name)} ELSE {blank(table, name)} END"
    told = [cut(table, name, unit) for name, unit in declared.coarsen.items()]
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


def _assigned(values: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())
