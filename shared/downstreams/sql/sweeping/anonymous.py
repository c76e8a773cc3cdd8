"""What columns become where a row loses its people and stays, as SQL, so that nothing in it leads back to them."""

from collections.abc import Mapping

from shared.downstreams.sql.catalog import DatasetOutdated
from shared.downstreams.sql.declaration.anonymisation import Anonymisation, Unit
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements

_DRAWN: Mapping[str, str] = {
    "uuid": "gen_random_uuid()",
    "bigint": "('x' || substr(replace(gen_random_uuid()::text, '-', ''), 17))::bit(64)::bigint",
}
"""A key by its type, of which nobody can tell which row it was before."""


def changes(table: Statements, declared: Anonymisation) -> str:
    """That a row still has something that is to go."""
    values = {name: blank(table, name) for name in declared.blank}
    values |= {name: cut(table, name, unit) for name, unit in declared.coarsen.items()}
    return "(" + " OR ".join(f"t.{quoted(c)} IS DISTINCT FROM {value}" for c, value in values.items()) + ")"


def of_one_person(table: Statements) -> Mapping[str, str]:
    """What becomes of the columns of one person's rows: who is alone is no crowd, so what only a crowd keeps goes."""
    declared = table.table.anonymise
    if declared is None:
        raise DatasetOutdated(f"{table.name} does not say what becomes of its columns: write anonymise")
    values = {name: blank(table, name) for name in (*declared.blank, *declared.rare)}
    values |= {name: drawn(table, name) for name in declared.redraw}
    return values | {name: cut(table, name, unit) for name, unit in declared.coarsen.items()}


def blank(table: Statements, name: str) -> str:
    """A column without what it held."""
    return literal(table.table.columns[name].blank)


def drawn(table: Statements, name: str) -> str:
    """A key drawn anew; raises ``DatasetOutdated`` where it is of no type of which one can be drawn."""
    type_ = table.relation.types[name]
    if type_ not in _DRAWN:
        raise DatasetOutdated(f"{table.name}: anonymise draws {name} anew, which is neither uuid nor bigint ({type_})")
    return _DRAWN[type_]


def cut(table: Statements, name: str, unit: Unit) -> str:
    """A day or an instant, cut to the unit; raises ``DatasetOutdated`` where it is neither."""
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
