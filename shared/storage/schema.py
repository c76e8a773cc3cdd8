"""The schema files of the platform's own database: one for all services, one for each service and what it shares.

Nothing was released yet, so a change edits the file; a database of another version starts empty.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.topics import ServiceName
from shared.storage.grants import FULFILLING

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file: its name, the schema that it fills (None: it names its own), its statements."""

    name: str
    schema: str | None
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the statements, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def schema_files() -> Iterator[SchemaFile]:
    """Yields every schema file of this version, in the order in which to apply them."""
    sql = ROOT / "shared" / "sql"
    yield SchemaFile("platform", None, (sql / "platform.sql").read_text())
    for service in ServiceName:
        paths = [sql / "service.sql", ROOT / "services" / service / "schema.sql"]
        if service in FULFILLING:
            paths.insert(1, sql / "fulfilment.sql")
        for path in paths:
            yield SchemaFile(f"{service}/{path.stem}", service, path.read_text())


async def applied(connection: asyncpg.Connection | PoolConnectionProxy) -> dict[str, str]:
    """Returns name and digest of each applied file that this user can see."""
    try:
        rows = await connection.fetch("SELECT name, sha256 FROM public.schema_file")
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return {}
    return {row[0]: row[1] for row in rows}
