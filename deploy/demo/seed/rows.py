"""Keeps the rows that were added to a database, and puts them into a fresh one without asking its application."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from deploy.demo.seed.kept import whole
from deploy.local import postgres_databases as databases

_TABLES = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
_COLUMNS = """
SELECT attrelid::regclass::text, array_agg(attname::text ORDER BY attnum) FROM pg_attribute
 WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attrelid::regclass::text = ANY($1) GROUP BY 1
"""
_NUMBERED = """
SELECT table_name::text FROM information_schema.columns
 WHERE table_schema = 'public' AND column_name = 'id' AND table_name = ANY($1)
"""

_PASSING = ("ir_cache", "ir_session")
"""Tables whose rows are no data: they come and go by themselves."""

LastIds = Mapping[str, int]
"""The highest id of every table that has one, before rows were added."""


async def last_ids(dsn: str) -> LastIds:
    """How far each table of the database has come."""
    async with databases.connected(dsn) as connection:
        return await _last_ids(connection)


async def keep(dsn: str, place: Path, before: LastIds) -> None:
    """Write every row with a higher id than ``before`` into files of that folder."""
    async with databases.connected(dsn) as connection:
        after = await _last_ids(connection)
        grown = sorted(table for table, last in after.items() if last > before.get(table, 0))
        columns: dict[str, list[str]] = dict(map(tuple, await connection.fetch(_COLUMNS, grown)))
        with whole(place) as folder:
            for table in grown:
                names = ", ".join(f'"{name}"' for name in columns[table])
                query = f'SELECT {names} FROM "{table}" WHERE id > {int(before.get(table, 0))} ORDER BY id'  # noqa: S608
                await connection.copy_from_query(query, output=folder / f"{table}.rows", format="binary")
            manifest = {"before": dict(before), "columns": {table: columns[table] for table in grown}, "after": after}
            (folder / "manifest.json").write_text(json.dumps(manifest))


async def put_back(dsn: str, place: Path) -> bool:
    """Add the kept rows to a database that has come as far as the first one had; whether it had, and they are in."""
    manifest = await asyncio.to_thread(_manifest, place)
    if manifest is None:
        return False
    async with databases.connected(dsn) as connection:
        if await _last_ids(connection) != manifest["before"]:
            return False
        async with connection.transaction():
            # Rows come table by table: what they point at may come later.
            await connection.execute("SET LOCAL session_replication_role = replica")
            for table, columns in manifest["columns"].items():
                await connection.copy_to_table(table, source=place / f"{table}.rows", columns=columns, format="binary")
                await connection.execute(
                    "SELECT setval(pg_get_serial_sequence($1, 'id'), $2)", table, manifest["after"][table]
                )
        await connection.execute("ANALYZE")
    return True


def _manifest(place: Path) -> Any:
    file = place / "manifest.json"
    return json.loads(file.read_text()) if file.exists() else None


async def _last_ids(connection: asyncpg.Connection) -> LastIds:
    tables = [table for (table,) in await connection.fetch(_TABLES) if table not in _PASSING]
    numbered = sorted(table for (table,) in await connection.fetch(_NUMBERED, tables))
    ids = {table: await connection.fetchval(f'SELECT max(id) FROM "{table}"') for table in numbered}  # noqa: S608
    return {table: last or 0 for table, last in ids.items()}
