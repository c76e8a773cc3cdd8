"""The tables of a PostgreSQL database, from its catalogs."""

import asyncpg

from shared.downstreams.sql.drafting.shapes import ColumnShape, KeyShape, Kind, Place, Shapes, TableShape
from shared.downstreams.sql.failures import translated

_OURS = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'dsr_platform')"
_TABLES = f"""
SELECT n.nspname, c.relname, c.relkind::text,
       ARRAY(SELECT a.attname::text FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n),
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND {_OURS}
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""  # noqa: S608  # a constant of this module
_COLUMNS = f"""
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, NULL), a.attgenerated <> ''
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
ORDER BY n.nspname, c.relname, a.attnum
"""  # noqa: S608  # a constant of this module
# The constraint of a partition is that of its table; indkey counts from 0.
_KEYS = f"""
SELECT n.nspname, c.relname, k.conname, pn.nspname, p.relname,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.attnum ORDER BY o.n),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS o (attnum, n)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.attnum ORDER BY o.n),
       EXISTS (SELECT FROM pg_index i
               WHERE i.indrelid = k.conrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                 AND i.indexprs IS NULL AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ k.conkey)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND {_OURS}
ORDER BY n.nspname, c.relname, k.conname
"""  # noqa: S608  # a constant of this module
_KINDS: dict[str, Kind] = {
    "r": "table",
    "p": "partitioned table",
    "f": "foreign table",
    "v": "view",
    "m": "materialized view",
}


async def shapes_of(dsn: str) -> Shapes:
    """Read the catalogs, in one transaction that can change nothing.

    Raises:
        Unavailable, Refused: the database cannot be reached, or does not answer.
    """
    with translated("the database"):
        connection = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "dsr"})
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _read(connection)
        finally:
            await connection.close()


async def _read(connection: asyncpg.Connection) -> Shapes:
    columns: dict[Place, list[ColumnShape]] = {}
    keys: dict[Place, list[KeyShape]] = {}
    for schema, table, *column in await connection.fetch(_COLUMNS):
        columns.setdefault((schema, table), []).append(ColumnShape(*column))
    for schema, table, name, parent_schema, parent, near, far, unique in await connection.fetch(_KEYS):
        key = KeyShape(name, tuple(near), (parent_schema, parent), tuple(far), unique)
        keys.setdefault((schema, table), []).append(key)
    tables = {}
    for schema, name, kind, primary_key, partitions in await connection.fetch(_TABLES):
        place = (schema, name)
        told = (tuple(columns.get(place, ())), tuple(primary_key), tuple(keys.get(place, ())))
        tables[place] = TableShape(place, *told, _KINDS[kind], partitions)
    return Shapes(await connection.fetchval("SELECT current_database()"), tables)
