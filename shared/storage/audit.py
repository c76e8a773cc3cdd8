"""``python -m shared.storage.audit``: reads every evidence chain from its beginning and says whether it is whole."""

import asyncio

import typer

from shared.storage.evidence import verify
from shared.storage.postgres import PostgresSettings


def main() -> None:
    """Audits the database that DSR_POSTGRES_DSN names; ends with 1 if a chain does not hold."""
    found = asyncio.run(verify(PostgresSettings().dsn))
    for chain, broken in found.items():
        typer.echo(f"does not hold: {chain}, from entry {broken} on" if broken else f"holds: {chain}")
    if any(found.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
