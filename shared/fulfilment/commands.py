"""Commands that switch downstream systems on and off; they join those about the downstreams file."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.errors import Misconfigured
from shared.fulfilment.team_topics import topics
from shared.runtime.settings import WorkSettings
from shared.storage import systems
from shared.storage.postgres import PostgresSettings, connected
from shared.storage.systems import Finding
from shared.systems.check import check
from shared.systems.commands import AsJson, downstreams
from shared.systems.file import in_use
from shared.systems.registry import Downstreams, Wiring

__all__ = ["downstreams"]

File = Annotated[Path | None, typer.Option("--file", help="The downstreams file, if not that of DSR_WORK_DOWNSTREAMS.")]
_WORD = r"[a-z][a-z0-9_]{0,39}"
downstreams.command()(topics)


@downstreams.command("list")
def list_systems(*, as_json: AsJson = False) -> None:
    """Print where each system stands and since when, the hash that was accepted, and how many it found meanwhile."""
    found = asyncio.run(_list(PostgresSettings().dsn))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        typer.echo("\n".join(_line(name, **system) for name, system in found.items()) or "no service has started yet")


@downstreams.command()
def on(
    name: str,
    file: File = None,
    *,
    file_only: Annotated[bool, typer.Option("--file-only", help="Do not look into the store.")] = False,
    as_json: AsJson = False,
) -> None:
    """Work a system from now on, as it is declared now: a new one, or one that is quarantined because it was changed.

    It is checked before. Prints the requests of whom a new one has something, for the privacy team: they were answered,
    or are being answered, without it.
    """
    found = asyncio.run(_on(name, _path(file), file_only=file_only))
    had = [each for each in found if each.found or each.outcome not in {"no_match", "located"}]
    if as_json:
        listed = [{"request_id": str(f.request_id), "outcome": f.outcome, "found": f.found} for f in had]
        typer.echo(orjson.dumps({"system": name, "state": "on", "asked": len(found), "found": listed}))
        return
    typer.echo(f"{name} is on")
    if found:
        typer.echo(f"while it observed it was asked about {len(found)} request(s), and had something of:")
        typer.echo("\n".join(f"  {each.request_id}  {each.outcome} {each.found}" for each in had) or "  nobody")


@downstreams.command()
def quarantine(
    name: str,
    reason: Annotated[str, typer.Option(help="Why, in one word, such as wrong_dataset.")] = "by_a_person",
    *,
    as_json: AsJson = False,
) -> None:
    """Do nothing in a system until it is switched on again; what needs it waits, and is answered without it in part."""
    if not re.fullmatch(_WORD, reason):
        raise typer.BadParameter("a reason is one word of small letters, digits and _")
    asyncio.run(_quarantine(name, reason))
    typer.echo(orjson.dumps({"system": name, "state": "quarantined"}) if as_json else f"{name} is quarantined")


@downstreams.command()
def retire(name: str, file: File = None, *, as_json: AsJson = False) -> None:
    """Count on a system no more, once it is gone from the file: what still needs it is brought before a person."""
    asyncio.run(_retire(name, _path(file)))
    typer.echo(orjson.dumps({"system": name, "state": "retired"}) if as_json else f"{name} is retired")


def _path(file: Path | None) -> Path:
    return file or WorkSettings().downstreams


async def _list(dsn: str) -> dict[str, Any]:
    async with connected(dsn) as connection:
        listed = {}
        for name, system in (await systems.standings(connection)).items():
            found = sum(bool(each.found) for each in await systems.findings(connection, name))
            listed[name] = {**systems.as_json(system), "found": found}
        return listed


async def _on(name: str, path: Path, *, file_only: bool) -> Sequence[Finding]:
    wiring = Wiring.of_command()
    loaded = Downstreams.load(path, wiring)
    fingerprint = loaded.get(name).fingerprint
    await loaded.close()
    if not file_only:
        for checked in await check(path, wiring, name):
            if checked.faults:
                raise Misconfigured(*checked.faults)
    async with connected(PostgresSettings().dsn) as connection:
        return await systems.switch_on(connection, name, fingerprint)


async def _quarantine(name: str, reason: str) -> None:
    async with connected(PostgresSettings().dsn) as connection:
        await systems.quarantine(connection, name, reason)


async def _retire(name: str, path: Path) -> None:
    if name in in_use(path):
        raise Misconfigured(f"{path} declares [{name}]: take it out, or write enabled = false, and retire it then")
    async with connected(PostgresSettings().dsn) as connection:
        await systems.retire(connection, name)


def _line(name: str, state: str, hash: str, reason: str | None, since: datetime, found: int) -> str:  # noqa: A002
    why = f" ({reason})" if reason else ""
    seen = f", has something of {found} request(s)" if state == "observe" else ""
    return f"{name}  {state}{why} since {since:%Y-%m-%d %H:%M} UTC, accepted as {hash[:12]}{seen}"
