"""What the store's tables look like today, compared with what the dataset says of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from asyncpg.pool import PoolConnectionProxy

from shared.domain.errors import ColumnUnmapped, Misconfigured, SystemRefused, TableMissing
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.declared import RowSwitch
from shared.downstreams.sql.declaration.tables import Table

Place = tuple[str, str]
"""The schema and the name of a table."""

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL),
       c.relkind IN ('r', 'p') AND coalesce(l.collisdeterministic, true) AS exact,
       a.attgenerated <> '' AS derived,
       c.relkind IN ('r', 'p') OR pg_relation_is_updatable(c.oid, true) & 20 = 20 AS changeable
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE n.nspname = ANY($1) AND c.relname = ANY($2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_UNIQUE = """
SELECT n.nspname, c.relname, array_agg(a.attname::text)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = ANY($1) AND c.relname = ANY($2)
  AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
GROUP BY n.nspname, c.relname, i.indexrelid
"""

_CANNOT_NAME_ANYBODY = frozenset(
    {
        "boolean",
        "date",
        "double precision",
        "interval",
        "real",
        "smallint",
        "time with time zone",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
    }
)
_LONGEST_NAME = 63
"""Of PostgreSQL, in bytes."""
_BYTEWISE = frozenset({"text", "character varying"})
_TEXT = _BYTEWISE | {"character"}


class DatasetOutdated(Misconfigured, SystemRefused):
    """The dataset declares a column that its table does not have; correct the dataset, then try the task again."""

    code = Misconfigured.code


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it is: name and type of every column."""

    types: Mapping[str, str]
    loose: Collection[str]
    """Columns where = finds more than the same bytes (citext, a collation that ignores case, a view)."""
    unique: frozenset[frozenset[str]] = frozenset()
    """The sets of columns that no two rows have in common; looked at for tables that a join leads to."""
    derived: frozenset[str] = frozenset()
    """The columns that the database derives, which nobody can write."""
    changeable: bool = True
    """Whether rows can be changed and deleted: not through every view."""

    def is_text(self, column: str) -> bool:
        return self.types[column] in _TEXT


async def describe(connection: PoolConnectionProxy, namespace: str, dataset: Dataset) -> Mapping[Place, Relation]:
    """Every declared table, and every one that a join names.

    Raises:
        TableMissing: one of them is not there.
        DatasetOutdated: a column that is declared, or that a join names, is not there.
    """
    named = named_in(dataset, namespace)
    asked = ([*{schema for schema, _ in named}], [*{name for _, name in named}])
    types: dict[Place, dict[str, str]] = {}
    loose: dict[Place, set[str]] = {place: set() for place in named}
    derived: dict[Place, set[str]] = {place: set() for place in named}
    fixed: set[Place] = set()
    for schema, table, column, type_, exact, generated, changeable in await connection.fetch(_COLUMNS, *asked):
        types.setdefault((schema, table), {})[column] = type_
        if generated and (schema, table) in derived:
            derived[schema, table].add(column)
        if not changeable:
            fixed.add((schema, table))
        if (not exact or type_ not in _BYTEWISE) and (schema, table) in loose:
            loose[schema, table].add(column)
    for (schema, name), columns in named.items():
        if (schema, name) not in types:
            where = "" if schema == namespace else f" of the schema {schema}"
            raise TableMissing(f"{dataset.name}: table {name}{where} is declared and does not exist")
        if absent := columns - types[schema, name].keys():
            raise DatasetOutdated(f"{dataset.name}: {name} has no column {min(absent)}; correct the dataset")
    unique: dict[Place, set[frozenset[str]]] = {place: set() for place in named}
    for schema, table, columns in await connection.fetch(_UNIQUE, *asked) if dataset.joins else ():
        if (schema, table) in unique:
            unique[schema, table].add(frozenset(columns))
    return {
        place: Relation(
            types[place], loose[place], frozenset(unique[place]), frozenset(derived[place]), place not in fixed
        )
        for place in named
    }


def named_in(dataset: Dataset, namespace: str) -> Mapping[Place, Collection[str]]:
    """The columns of each table that a dataset names."""
    named: dict[Place, set[str]] = {}
    for name, table in dataset.tables.items():
        real = {column for column, declared in table.columns.items() if not declared.json_}
        named.setdefault(dataset.place(namespace, name), set()).update(real)
        says = table.jurisdiction
        for path, ends in (*((path, ()) for _, path in table.paths), *([(says.via, (says.column,))] if says else [])):
            nearer = dataset.place(namespace, name)
            for join in path:
                named[nearer].update(join.on)
                nearer = dataset.place(namespace, join)
                of_it = (*(far for _, far in join.columns), *(test.column for test in join.where))
                named.setdefault(nearer, set()).update(of_it)
            named[nearer].update(ends)
        for switch in (table.restriction, table.marketing):
            if isinstance(switch, RowSwitch):
                place = (switch.schema_ or namespace, switch.table)
                columns = {*switch.on, *switch.values, *filter(None, [switch.request])}
                named.setdefault(place, set()).update(columns)
    if dataset.restriction:
        named.setdefault((namespace, dataset.restriction.table), set())
    return named


def refuse_long(dataset: Dataset, namespace: str) -> None:
    """Raises ``Misconfigured`` where a name is longer than PostgreSQL's: it would cut it, and take another for it."""
    named = named_in(dataset, namespace)
    names = {name for place, columns in named.items() for name in (*place, *columns)}
    if long := sorted(name for name in names if len(name.encode()) > _LONGEST_NAME):
        raise Misconfigured(f"{dataset.name}: {long[0]} is no name that PostgreSQL can hold: correct it")


def refuse_fixed(table: Table, name: str, relation: Relation) -> None:
    """Refuse a table that cannot be changed as it is declared: through a view, or in a column that is derived."""
    if not relation.changeable:
        raise DatasetOutdated(
            f"{name} is a view through which nothing can be changed: leave it out, and declare the tables that it shows"
        )
    written = {column for column, declared in table.columns.items() if declared.rectifies}
    written |= table.blanked if table.erase == "blank" else set()
    if derived := sorted(relation.derived & written):
        raise DatasetOutdated(f"{name}: {derived[0]} is derived by the database: write generated = true in its column")


def refuse_unmapped(table: Table, name: str, relation: Relation, *, reading: bool) -> None:
    """Refuse a table with a column that nobody classified.

    To read, any such column is too many: it might be another person's. To erase, only one whose type can hold an
    identity: the subject could be in it and would not be found.
    """
    for column, type_ in relation.types.items():
        if column not in table.columns and (reading or type_ not in _CANNOT_NAME_ANYBODY):
            raise ColumnUnmapped(f"{name} has a column that the dataset does not classify: {column}")
