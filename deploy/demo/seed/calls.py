"""The company's calls in the CDR store."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.demo.company import Call, Company
from deploy.demo.seed import cdr
from deploy.local import postgres_databases as databases
from deploy.local.progress import Progress, Step

_AT_A_TIME = 1_000
_SOURCES = Path(__file__).parents[1]


async def fill(server: str, name: str, company: Company, progress: Progress) -> cdr.CdrStore:
    """Lay a CDR store with all calls in the place of the database of that name.

    The full store is kept as a database beside it, which PostgreSQL copies in a moment.
    """
    full = f"{name}_{_digest()}"
    await databases.drop(server, name)
    if full not in await _kept(server, name):
        await forget(server, name)
        partial = f"{name}_partial"
        store = await cdr.create(server, partial)
        with progress.step("Recording the calls in the CDR store", total=len(company.calls)) as step:
            await store.seed(_counted(company.calls, step))
        await databases.rename(server, partial, full)
    with progress.step("Copying the CDR store"):
        await databases.create(server, name, template=full)
        return await cdr.create(server, name)


async def forget(server: str, name: str) -> None:
    """Drop what is kept beside the database of that name."""
    for database in await _kept(server, name):
        await databases.drop(server, database)


def _digest() -> str:
    """Changes when a file of the company or of the seeding does, and so what the full store looks like."""
    seen = hashlib.sha256()
    for path in sorted(path for folder in ("company", "seed") for path in (_SOURCES / folder).rglob("*.*")):
        if path.suffix in {".py", ".toml", ".sql"}:
            seen.update(f"{path.relative_to(_SOURCES)}".encode() + path.read_bytes())
    return seen.hexdigest()[:12]


def _counted(calls: Iterable[Call], step: Step) -> Iterator[Call]:
    for number, call in enumerate(calls, 1):
        yield call
        if not number % _AT_A_TIME:
            step.reach(number)


async def _kept(server: str, name: str) -> list[str]:
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
    return [row["datname"] for row in await databases.fetch(server, query, f"{name}_")]
