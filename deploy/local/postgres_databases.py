"""Databases on a PostgreSQL server, made and dropped by name."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

Returned = TypeVar("Returned")


def named(dsn: str, database: str) -> str:
    """The DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def create(dsn: str, database: str, template: str | None = None) -> str:
    """Create the database on the server of the DSN if it is not there yet; its DSN."""
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            source = f' TEMPLATE "{template}"' if template else ""
            await connection.execute(f'CREATE DATABASE "{database}"{source}')
    finally:
        await connection.close()
    return named(dsn, database)


async def drop(dsn: str, database: str) -> None:
    """Drop the database, also while somebody is connected."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
    finally:
        await connection.close()


def wait_for(work: Coroutine[None, None, Returned]) -> Returned:
    """Do asynchronous work from blocking code, also below a running event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
