"""Creates the schema of this version in the platform's own database, once, under a lock."""

import asyncio

from shared.domain.errors import Misconfigured
from shared.storage.grants import give
from shared.storage.postgres import UNAVAILABLE, Connection, connected
from shared.storage.schema import SchemaFile, applied, schema_files

_LOCK = 7_215_001


async def migrate(dsn: str) -> list[str]:
    """Applies every schema file that the database lacks, in order, and grants each service's role what it needs.

    Returns the names of the files applied now.

    Raises ``Misconfigured`` if the database has the schema of another version.
    """
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS public.schema_file"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known = await applied(connection)
        names = [file.name for file in schema_files() if await _apply(connection, known.get(file.name), file)]
        await give(connection)
        return names


async def wait_until_migrated(dsn: str) -> None:
    """Returns when the database has the schema of this version, which another process applies."""
    wanted = {file.name: file.digest for file in schema_files()}
    while not wanted.items() <= (await _applied_at(dsn)).items():  # noqa: ASYNC110  # no event says so
        await asyncio.sleep(1.0)


async def _applied_at(dsn: str) -> dict[str, str]:
    try:
        async with connected(dsn) as connection:
            return await applied(connection)
    except UNAVAILABLE:
        return {}


async def _apply(connection: Connection, digest: str | None, file: SchemaFile) -> bool:
    if digest is not None:
        if digest != file.digest:
            raise Misconfigured(f"the database has {file.name} of another version: start with an empty database")
        return False
    if file.schema:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {file.schema}")
    await connection.execute(f"SET LOCAL search_path = {file.schema or 'public'}")
    await connection.execute(file.text)
    await connection.execute("INSERT INTO public.schema_file (name, sha256) VALUES ($1, $2)", file.name, file.digest)
    return True
