"""What the store's tables look like today, in the words in which the PostgreSQL adapter knows them."""

from collections.abc import Iterable, Mapping, Sequence

from shared.domain.errors import SystemRefused, TableMissing
from shared.downstreams.sql.catalog import DatasetOutdated, Place, Relation, named_in
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.finding.search_keys import ZONELESS
from shared.downstreams.sql.mariadb.connection import Connection
from shared.downstreams.sql.mariadb.values import WITH_ZONE
from shared.downstreams.sql.references import Reference, References, arranged

_TABLES = "SELECT table_schema, table_name, table_type, engine FROM information_schema.tables WHERE {}"
_COLUMNS = """
SELECT table_schema, table_name, column_name, data_type, column_type, coalesce(collation_name, ''),
       coalesce(generation_expression, '')
FROM information_schema.columns WHERE {}
"""
_UNIQUE = """
SELECT table_schema, table_name, index_name, column_name, sub_part
FROM information_schema.statistics WHERE non_unique = 0 AND {}
"""
# Whoever refers to one of our tables: of any database, as far as this user may know of it.
_FOREIGN_KEYS = """
SELECT k.constraint_name, k.table_schema, k.table_name, k.referenced_table_schema, k.referenced_table_name,
       r.delete_rule, k.column_name, k.referenced_column_name, c.is_nullable
FROM information_schema.key_column_usage k
JOIN information_schema.referential_constraints r
    ON (r.constraint_schema, r.constraint_name, r.table_name) = (k.constraint_schema, k.constraint_name, k.table_name)
JOIN information_schema.columns c
    ON c.table_schema = k.table_schema AND c.table_name = k.table_name AND c.column_name = k.column_name
WHERE {} ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position
"""
_SEES_ALL = """
SELECT count(*) FROM information_schema.user_privileges
WHERE privilege_type = 'REFERENCES' AND replace(grantee, '''', '') = current_user()
"""
_TYPES = {
    "datetime": ZONELESS,
    "timestamp": WITH_ZONE,
    "time": "time without time zone",
    "double": "double precision",
    "float": "real",
    "year": "smallint",
    "tinyint": "smallint",
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json"), "text"),
}
_ACTIONS = {"CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d", "RESTRICT": "r"}


async def describe(connection: Connection, database: str, dataset: Dataset) -> Mapping[Place, Relation]:
    """Every declared table, and every one that a join names.

    Raises:
        TableMissing: one of them is not there.
        DatasetOutdated: a column that is declared, or that a join names, is not there.
        SystemRefused: it is no table of InnoDB.
    """
    named = named_in(dataset, database)
    where, places = _among(named)
    for schema, table, kind, engine in await connection.fetch(_TABLES.format(where), *places):
        if (schema, table) in named and (kind, (engine or "").lower()) != ("BASE TABLE", "innodb"):
            held = f"a {kind.lower()}" if kind != "BASE TABLE" else f"of the engine {engine}"
            raise SystemRefused(
                f"{dataset.name}: {schema}.{table} is {held}; a table must be InnoDB's, which has transactions"
            )
    columns: dict[Place, dict[str, tuple[str, str, bool]]] = {}
    for schema, table, name, kind, declared, collation, generated in await connection.fetch(
        _COLUMNS.format(where), *places
    ):
        type_ = "boolean" if declared.startswith("tinyint(1)") else _TYPES.get(kind, kind)
        columns.setdefault((schema, table), {})[name] = (type_, collation, bool(generated))
    for (schema, name), declared in named.items():
        if (schema, name) not in columns:
            raise TableMissing(f"{dataset.name}: table {schema}.{name} is declared and does not exist")
        if absent := declared - columns[schema, name].keys():
            raise DatasetOutdated(f"{dataset.name}: {name} has no column {min(absent)}; correct the dataset")
    unique = await _unique(connection, where, places) if dataset.joins else {}
    return {
        place: Relation(
            {name: type_ for name, (type_, _, _) in columns[place].items()},
            frozenset(name for name, (_, collation, _) in columns[place].items() if "_ci" in collation),
            frozenset(unique.get(place, ())),
            frozenset(name for name, (_, _, generated) in columns[place].items() if generated),
        )
        for place in named
    }


async def _unique(
    connection: Connection, where: str, places: Sequence[str]
) -> Mapping[Place, Iterable[frozenset[str]]]:
    indexes: dict[tuple[str, str, str], set[str]] = {}
    of_a_part = set()
    for schema, table, index, column, sub_part in await connection.fetch(_UNIQUE.format(where), *places):
        indexes.setdefault((schema, table, index), set()).add(column)
        if sub_part is not None or column is None:
            of_a_part.add((schema, table, index))
    found: dict[Place, list[frozenset[str]]] = {}
    for (schema, table, index), columns in indexes.items():
        if (schema, table, index) not in of_a_part:
            found.setdefault((schema, table), []).append(frozenset(columns))
    return found


async def references_of(connection: Connection, database: str, dataset: Dataset) -> References:
    """The foreign keys to the declared tables as they are today.

    Raises:
        SystemRefused: this user might not see all of them.
        DatasetOutdated: tables refer to one another in a circle that nothing allows to open.
    """
    if not await connection.value(_SEES_ALL):
        raise SystemRefused(
            f"{dataset.name}: this user does not see every table that refers to a declared one; let the owner run what"
            " `dsr downstreams prepare FILE` prints (GRANT REFERENCES ON *.*, which reads and changes nothing)"
        )
    places = {dataset.place(database, name): name for name in dataset.tables}
    where, asked = _among(places, "k.referenced_table_schema", "k.referenced_table_name")
    keys: dict[tuple[str, str, str], Reference] = {}
    for name, schema, table, to_schema, to_table, rule, column, to, nullable in await connection.fetch(
        _FOREIGN_KEYS.format(where), *asked
    ):
        if (parent := places.get((to_schema, to_table))) is None:  # of the same letters in another case
            continue
        known = keys.get((schema, table, name))
        columns, into = (known.columns, known.to) if known else ((), ())
        keys[schema, table, name] = Reference(
            name,
            (schema, table),
            places.get((schema, table)),
            parent,
            (*columns, column),
            (*into, to),
            _ACTIONS.get(rule, "a"),
            deferrable=False,
            nullable=nullable == "YES" and (known is None or known.nullable),
        )
    return arranged(dataset, tuple(keys.values()))


def _among(
    places: Iterable[Place], schema: str = "table_schema", table: str = "table_name"
) -> tuple[str, Sequence[str]]:
    """The condition that a row is about one of these tables, and its parameters."""
    listed = [*places]
    each = " OR ".join([f"({schema} = ? AND {table} = ?)"] * len(listed))
    return f"({each})", [part for place in listed for part in place]
