"""The company's calls in the CDR store."""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import asyncpg

from deploy.local import cdr
from deploy.local import postgres_databases as databases
from deploy.local.company import Call, Company
from deploy.local.progress import Progress, Step
from deploy.local.seed import kept

_SOURCE = Path(cdr.__file__)
_AT_A_TIME = 1_000


def fill(server: str, name: str, company: Company, progress: Progress) -> cdr.CdrStore:
    """Lay a CDR store with all calls in the place of the database of that name."""
    return asyncio.run(_fill(server, name, company, progress))


async def _fill(server: str, name: str, company: Company, progress: Progress) -> cdr.CdrStore:
    """The full store is kept as a database beside it, which PostgreSQL copies in a moment."""
    full = f"{name}_{kept.digest(_SOURCE, _SOURCE.with_suffix(''))}"
    await databases.drop(server, name)
    if full not in await _kept(server, name):
        await forget(server, name)
        partial = f"{name}_partial"
        store = await cdr.create(server, partial)
        with progress.step("Recording the calls in the CDR store", total=len(company.calls)) as step:
            await store.seed(_counted(company.calls, step))
        await _rename(server, partial, full)
    with progress.step("Copying the CDR store"):
        await databases.create(server, name, template=full)
        return await cdr.create(server, name)


async def forget(server: str, name: str) -> None:
    """Drop what is kept beside the database of that name."""
    for database in await _kept(server, name):
        await databases.drop(server, database)


def _counted(calls: Iterable[Call], step: Step) -> Iterator[Call]:
    for number, call in zip(count(1), calls, strict=False):
        yield call
        if not number % _AT_A_TIME:
            step.reach(number)


async def _kept(server: str, name: str) -> list[str]:
    connection = await asyncpg.connect(server)
    try:
        rows = await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", f"{name}_")
    finally:
        await connection.close()
    return [row["datname"] for row in rows]


async def _rename(server: str, old: str, new: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')
    finally:
        await connection.close()
