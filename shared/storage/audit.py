"""``python -m shared.storage.audit``: reads every evidence chain from its beginning and says whether it is whole."""

import asyncio

import asyncpg
import typer

from shared.storage.evidence import audit
from shared.storage.postgres import PostgresSettings


async def chains(dsn: str) -> dict[str, tuple[str, int] | None]:
    """The first break of each chain; None where there is none."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            "SELECT chain FROM evidence.head UNION SELECT chain FROM evidence.entry ORDER BY 1"
        )
        return {row[0]: await audit(connection, row[0]) for row in names}
    finally:
        await connection.close()


def main() -> None:
    """Audits the database that DSR_POSTGRES_DSN names; ends with 1 if a chain does not hold."""
    found = asyncio.run(chains(PostgresSettings().dsn))
    for chain, broken in found.items():
        typer.echo(f"does not hold: {chain}, from entry {broken[1]} on" if broken else f"holds: {chain}")
    if any(found.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
