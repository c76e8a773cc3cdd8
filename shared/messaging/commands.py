"""Commands about consumer groups: how far the services are, and letting them read again."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import orjson
import typer

from shared.domain.topics import ServiceName
from shared.messaging.groups import behind
from shared.messaging.groups import rewind as set_back
from shared.runtime.settings import KafkaSettings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it raises says enough
groups = typer.Typer(help="How far the services have read, and letting them read again.")


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


def _print(counts: Mapping[ServiceName, int], words: str, *, as_json: bool) -> None:
    lines = (f"{service}: {words.format(count)}" for service, count in counts.items())
    typer.echo(orjson.dumps(counts) if as_json else "\n".join(lines))
