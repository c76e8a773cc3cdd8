"""The tables of a MariaDB or MySQL server, from its catalogs; what PostgreSQL calls a schema is a database there."""

from collections.abc import Sequence

from shared.downstreams.sql.drafting.shapes import ColumnShape, KeyShape, Kind, Place, Shapes, TableShape
from shared.downstreams.sql.mariadb.connection import Address, Connection, opened, translated

_SECONDS = 60.0
_OURS = "{} NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys', 'dsr_platform')"
_TABLES = f"""
SELECT t.table_schema, t.table_name, t.table_type,
       (SELECT count(p.partition_name) FROM information_schema.partitions p
        WHERE p.table_schema = t.table_schema AND p.table_name = t.table_name)
FROM information_schema.tables t WHERE {_OURS.format("t.table_schema")} ORDER BY 1, 2
"""  # noqa: S608  # a constant of this module
_COLUMNS = f"""
SELECT table_schema, table_name, column_name, data_type, coalesce(generation_expression, '') <> ''
FROM information_schema.columns WHERE {_OURS.format("table_schema")} ORDER BY 1, 2, ordinal_position
"""  # noqa: S608  # a constant of this module
_UNIQUE = f"""
SELECT table_schema, table_name, index_name, column_name, sub_part
FROM information_schema.statistics WHERE non_unique = 0 AND {_OURS.format("table_schema")}
ORDER BY 1, 2, 3, seq_in_index
"""  # noqa: S608  # a constant of this module
_KEYS = f"""
SELECT table_schema, table_name, constraint_name, referenced_table_schema, referenced_table_name, column_name,
       referenced_column_name
FROM information_schema.key_column_usage WHERE referenced_table_name IS NOT NULL AND {_OURS.format("table_schema")}
ORDER BY 1, 2, 3, ordinal_position
"""  # noqa: S608  # a constant of this module
_KINDS: dict[str, Kind] = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table", "VIEW": "view", "SYSTEM VIEW": "view"}
_PRIMARY = "PRIMARY"


async def shapes_of(dsn: str) -> Shapes:
    """Read the catalogs, as far as this user may know of them, and no row.

    Raises:
        Unavailable, Refused: the server cannot be reached, or does not let this user in.
    """
    address = Address.of(dsn)
    with translated("the database"):
        connection = await opened(address, _SECONDS)
        try:
            return await _read(connection, address.database)
        finally:
            await connection.close()


async def _read(connection: Connection, database: str) -> Shapes:
    columns: dict[Place, list[ColumnShape]] = {}
    for schema, table, name, type_, generated in await connection.fetch(_COLUMNS):
        columns.setdefault((schema, table), []).append(ColumnShape(name, type_, bool(generated)))
    indexes = await _unique(connection)
    keys: dict[Place, list[KeyShape]] = {}
    for (place, name), (parent, pairs) in (await _foreign(connection)).items():
        near, far = zip(*pairs, strict=True)
        unique = any({*index} <= {*near} for index in indexes.get(place, {}).values())
        keys.setdefault(place, []).append(KeyShape(name, near, parent, far, unique))
    tables = {}
    for schema, name, kind, partitions in await connection.fetch(_TABLES):
        if kind in _KINDS:
            place = (schema, name)
            told = (tuple(columns.get(place, ())), tuple(indexes.get(place, {}).get(_PRIMARY, ())))
            kept = "partitioned table" if partitions else _KINDS[kind]
            tables[place] = TableShape(place, *told, tuple(keys.get(place, ())), kept, partitions)
    return Shapes(database, tables, database)


async def _unique(connection: Connection) -> dict[Place, dict[str, Sequence[str]]]:
    """The columns of each index in which a row stands once; not of those that look at a part of a column."""
    found: dict[Place, dict[str, list[str]]] = {}
    of_a_part = set()
    for schema, table, index, column, sub_part in await connection.fetch(_UNIQUE):
        found.setdefault((schema, table), {}).setdefault(index, []).append(column)
        if sub_part is not None or column is None:
            of_a_part.add(((schema, table), index))
    return {
        place: {name: columns for name, columns in indexes.items() if (place, name) not in of_a_part}
        for place, indexes in found.items()
    }


async def _foreign(connection: Connection) -> dict[tuple[Place, str], tuple[Place, list[tuple[str, str]]]]:
    """Of each foreign key the table that it refers to, and its columns, each with that of the other."""
    found: dict[tuple[Place, str], tuple[Place, list[tuple[str, str]]]] = {}
    for schema, table, name, parent_schema, parent, near, far in await connection.fetch(_KEYS):
        found.setdefault(((schema, table), name), ((parent_schema, parent), []))[1].append((near, far))
    return found
