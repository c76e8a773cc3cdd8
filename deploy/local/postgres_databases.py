"""Databases on a PostgreSQL server, made and dropped by name."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from shared.storage.postgres import connected
from shared.systems.sql.notes import schema_for

Returned = TypeVar("Returned")


def named(dsn: str, database: str) -> str:
    """The DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def as_role(dsn: str, role: str, password: str | None = None) -> str:
    """The DSN of the same database for another role."""
    parts = urlsplit(dsn)
    secret = f":{quote(password, safe='')}" if password else ""
    return urlunsplit(parts._replace(netloc=f"{role}{secret}@{parts.netloc.rpartition('@')[2]}"))


async def fetch(dsn: str, statement: str, *values: object) -> list[asyncpg.Record]:
    """The rows that a statement returns, over a connection of its own."""
    async with connected(dsn) as connection:
        return list(await connection.fetch(statement, *values))


async def create(dsn: str, database: str, template: str | None = None) -> str:
    """Create the database on the server of the DSN if it is not there yet; its DSN."""
    async with connected(dsn) as connection:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            source = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
            await connection.execute(f'CREATE DATABASE "{database}"{source}')
    return named(dsn, database)


async def create_role(dsn: str, role: str) -> None:
    """Create a role that may sign in, if it is not there yet."""
    if not await fetch(dsn, "SELECT true FROM pg_roles WHERE rolname = $1", role):
        await fetch(dsn, f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS")


async def create_store(dsn: str, database: str, role: str, script: str) -> tuple[str, str]:
    """Create a database of that name with the script's tables, once, prepared as a downstream for the role.

    Returns the DSNs of its owner and of the role. The role has the password of the owner, if that has one.
    """
    owner, password = await create(dsn, database), urlsplit(dsn).password
    ours = as_role(owner, role, password)
    await create_role(dsn, role)
    async with connected(owner) as connection:
        if password is not None:
            secret = await connection.fetchval("SELECT quote_literal($1::text)", password)
            await connection.execute(f"ALTER ROLE {role} PASSWORD {secret}")
        if not await connection.fetchval("SELECT true FROM pg_tables WHERE schemaname = 'public' LIMIT 1"):
            async with connection.transaction():
                await connection.execute(script)
        await connection.execute(schema_for(ours))
    return owner, ours


async def drop(dsn: str, database: str) -> None:
    """Drop the database, even if clients are connected."""
    await fetch(dsn, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


async def rename(dsn: str, database: str, name: str) -> None:
    """Rename the database; no client may be connected."""
    await fetch(dsn, f'ALTER DATABASE "{database}" RENAME TO "{name}"')


def wait_for(work: Coroutine[None, None, Returned]) -> Returned:
    """Do asynchronous work from blocking code, also below a running event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
