"""Commands about what services read, set aside and say: how far they are, letting them read or say it again."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import orjson
import typer

from shared.domain.topics import ServiceName
from shared.messaging import dead_letters as letters
from shared.messaging import parked as parking
from shared.messaging.groups import lag_of_services
from shared.messaging.groups import rewind as set_back
from shared.runtime.settings import KafkaSettings
from shared.storage.postgres import PostgresSettings, connected

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it raises says enough
groups = typer.Typer(help="How far the services have read, and letting them read again.")
parked = typer.Typer(help="What the broker refused for good, and what waits behind it.")
consumers = typer.Typer(help="Topics that a service has paused, because it had to set too much of them aside.")
dead_letters = typer.Typer(help="What a service could not handle and has set aside.")


@groups.command()
def lag(*, as_json: AsJson = False) -> None:
    """Print how many records each service has not read yet."""
    _print(asyncio.run(lag_of_services(KafkaSettings.of_environment())), "{}", as_json=as_json)


@groups.command()
def rewind(moment: str, *, as_json: AsJson = False) -> None:
    """Let stopped services read again what was written since a moment: 2026-03-02T09:00:00+00:00."""
    try:
        since = datetime.fromisoformat(moment)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if since.tzinfo is None:
        raise typer.BadParameter("a moment needs its zone: 2026-03-02T09:00:00+00:00")
    _print(asyncio.run(set_back(KafkaSettings.of_environment(), since)), "set back in {} partitions", as_json=as_json)


@parked.command("list")
def list_parked(*, as_json: AsJson = False) -> None:
    """Print each parked message with its topic, size in bytes and reason; never its content."""
    found = asyncio.run(parking.parked(PostgresSettings.of_environment().dsn))
    typer.echo(orjson.dumps(found) if as_json else "\n".join(map(str, found)) or "nothing is parked")


@parked.command("replay")
def replay_parked(service: ServiceName, *, as_json: AsJson = False) -> None:
    """Put what a service has parked back into its outbox, each at its place; safe to repeat."""
    number = asyncio.run(parking.replay(PostgresSettings.of_environment().dsn, service))
    _print({service: number}, "{} put back", as_json=as_json)


def _print(counts: Mapping[ServiceName, int], words: str, *, as_json: bool) -> None:
    lines = (f"{service}: {words.format(count)}" for service, count in counts.items())
    typer.echo(orjson.dumps(counts) if as_json else "\n".join(lines))


@consumers.command()
def paused(*, as_json: AsJson = False) -> None:
    """Print which service has paused which topic, and since when."""

    async def read() -> Sequence[tuple[ServiceName, str, datetime]]:
        async with connected(PostgresSettings.of_environment().dsn) as connection:
            return await letters.paused_since(connection)

    found = asyncio.run(read())
    if as_json:
        typer.echo(orjson.dumps([{"service": service, "topic": topic, "since": at} for service, topic, at in found]))
    else:
        for service, topic, at in found:
            typer.echo(f"{service} has paused {topic} since {at.isoformat()}")


@consumers.command()
def resume(
    service: ServiceName,
    topic: str,
    *,
    extra: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000_000,
            help="So many more may be set aside in the next 24 hours before it is paused again: what junk lies there.",
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Let a service read a topic again that it has paused; it goes on within seconds, where it stopped.

    The metric `dsr_consumer_lag` says how much lies there.
    """

    async def end_pause() -> bool:
        async with connected(PostgresSettings.of_environment().dsn) as connection:
            return await letters.resume(connection, service, topic, extra)

    resumed = asyncio.run(end_pause())
    said = f"{service} reads {topic} again" if resumed else f"{service} had not paused {topic}"
    typer.echo(orjson.dumps({"resumed": resumed}) if as_json else said)


@dead_letters.command("list")
def list_dead_letters(service: ServiceName, *, as_json: AsJson = False) -> None:
    """Print what a service has set aside: where it was, why, and when, without its content."""

    async def read() -> Sequence[letters.DeadLetter]:
        return [letter async for letter in letters.dead_letters(KafkaSettings.of_environment(), service)]

    for letter in asyncio.run(read()):
        fields = {"topic": letter.topic, "place": letter.place, "at": letter.at, "reason": letter.reason}
        typer.echo(orjson.dumps(fields) if as_json else "  ".join((*fields.values(), "")).rstrip())


@dead_letters.command("replay")
def replay_dead_letters(service: ServiceName, *, as_json: AsJson = False) -> None:
    """Send what was set aside to its topic again; harmless when repeated, for what was handled has no second effect."""
    sent, unreadable = asyncio.run(letters.replay(KafkaSettings.of_environment(), service))
    said = f"{sent} sent again" + (
        f", {unreadable} could not be read and have no content to send" if unreadable else ""
    )
    typer.echo(orjson.dumps({"sent": sent, "unreadable": unreadable}) if as_json else said)
