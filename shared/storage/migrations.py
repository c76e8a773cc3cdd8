"""The numbered migrations of this version that shape the platform's own database, and which it has seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.topics import ServiceName
from shared.storage.grants import FULFILLING

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, the schema that it is about (the public one if none), and its statements."""

    name: str
    schema: str | None
    text: str


def migrations() -> Iterator[Migration]:
    """Every migration of this version, in order."""
    sql = ROOT / "shared" / "sql"
    for path in sorted((sql / "platform").glob("*.sql")):
        yield Migration(f"platform/{path.stem}", None, path.read_text())
    for service in ServiceName:
        for kind in ("service", "fulfilment") if service in FULFILLING else ("service",):
            for path in sorted((sql / kind).glob("*.sql")):
                yield Migration(f"{service}/{kind}/{path.stem}", service, path.read_text())
        for path in sorted((ROOT / "services" / service / "sql").glob("[0-9]*.sql")):
            yield Migration(f"{service}/{path.stem}", service, path.read_text())


async def applied(connection: asyncpg.Connection | PoolConnectionProxy) -> set[str]:
    """The migrations that this user can see: none before the first, which gives the right to see them."""
    try:
        return {row[0] for row in await connection.fetch("SELECT name FROM public.migration")}
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return set()
