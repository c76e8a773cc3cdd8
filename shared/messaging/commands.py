"""Commands about consumer groups and the outbox: how far the services are, letting them read or say again."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import orjson
import typer

from shared.domain.topics import ServiceName
from shared.messaging import parked as parking
from shared.messaging.groups import behind
from shared.messaging.groups import rewind as set_back
from shared.runtime.settings import KafkaSettings
from shared.storage.postgres import PostgresSettings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it raises says enough
groups = typer.Typer(help="How far the services have read, and letting them read again.")
parked = typer.Typer(help="What the broker refused for good, and what waits behind it.")


@groups.command()
def lag(*, as_json: AsJson = False) -> None:
    """Print how many records each service has not read yet."""
    _print(asyncio.run(behind(KafkaSettings())), "{}", as_json=as_json)


@groups.command()
def rewind(moment: str, *, as_json: AsJson = False) -> None:
    """Let stopped services read again what was written since a moment: 2026-03-02T09:00:00+00:00."""
    try:
        since = datetime.fromisoformat(moment)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if since.tzinfo is None:
        raise typer.BadParameter("a moment needs its zone: 2026-03-02T09:00:00+00:00")
    _print(asyncio.run(set_back(KafkaSettings(), since)), "set back in {} partitions", as_json=as_json)


@parked.command("list")
def list_parked(*, as_json: AsJson = False) -> None:
    """Print each parked message with its topic, size in bytes and reason; never its content."""
    found = asyncio.run(parking.parked(PostgresSettings().dsn))
    typer.echo(orjson.dumps(found) if as_json else "\n".join(map(str, found)) or "nothing is parked")


@parked.command()
def replay(service: ServiceName, *, as_json: AsJson = False) -> None:
    """Put what a service has parked back into its outbox, each at its place; safe to repeat."""
    number = asyncio.run(parking.replay(PostgresSettings().dsn, service))
    _print({service: number}, "{} put back", as_json=as_json)


def _print(counts: Mapping[ServiceName, int], words: str, *, as_json: bool) -> None:
    lines = (f"{service}: {words.format(count)}" for service, count in counts.items())
    typer.echo(orjson.dumps(counts) if as_json else "\n".join(lines))
