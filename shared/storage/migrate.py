"""Brings the platform's own database to the schema of this version, once, whoever begins."""

import asyncio
import hashlib
from collections.abc import Mapping

from shared.domain.errors import Misconfigured
from shared.storage.grants import give
from shared.storage.migrations import Migration, applied, migrations
from shared.storage.postgres import AWAY, Connection, connected

_LOCK = 7_215_001


async def migrate(dsn: str) -> list[str]:
    """Applies every migration that the database has not seen, in order, and gives each service's role what it needs.

    Returns the names of what was applied.

    Raises ``Misconfigured`` if a migration that was applied has been edited since.
    """
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS public.migration"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        seen = await connection.fetch("SELECT name, sha256 FROM public.migration")
        known: dict[str, str] = {row[0]: row[1] for row in seen}
        names = [m.name for m in migrations() if await _apply(connection, known, m)]
        await give(connection)
        return names


async def wait_until_migrated(dsn: str) -> None:
    """Returns when the database has every migration of this version: a new version starts after its migration."""
    wanted = {migration.name for migration in migrations()}
    while not wanted <= await _applied_at(dsn):  # noqa: ASYNC110  # whoever migrates has no way to tell us
        await asyncio.sleep(1.0)  # so it is asked again


async def _applied_at(dsn: str) -> set[str]:
    try:
        async with connected(dsn) as connection:
            return await applied(connection)
    except AWAY:
        return set()


async def _apply(connection: Connection, known: Mapping[str, str], migration: Migration) -> bool:
    digest = hashlib.sha256(migration.text.encode()).hexdigest()
    if migration.name in known:
        if known[migration.name] != digest:
            raise Misconfigured(f"migration {migration.name} was applied and has been edited since: add a new one")
        return False
    if migration.schema:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {migration.schema}")
    await connection.execute(f"SET LOCAL search_path = {migration.schema or 'public'}")
    await connection.execute(migration.text)
    await connection.execute("INSERT INTO public.migration (name, sha256) VALUES ($1, $2)", migration.name, digest)
    return True
