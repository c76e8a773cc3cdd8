"""The command that examines the systems of a downstreams file; teams on the bus through the platform around them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer

from shared.domain.errors import DsrError
from shared.fulfilment.team_examined import platform
from shared.systems.commands import AsJson
from shared.systems.conformance import live
from shared.systems.conformance.findings import Findings, lines_of, status
from shared.systems.conformance.findings import as_json as told
from shared.systems.file import read
from shared.systems.registry import Wiring

_NEEDED = ("DSR_KAFKA_BOOTSTRAP", "DSR_POSTGRES_DSN", "DSR_VAULT_KEYRING")


def conformance(
    file: Path,
    *,
    system: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Only remove what earlier runs have left behind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try on a live system everything that it is declared to do, on invented people that it is filled with.

    A team on the bus is asked through the platform, so with its settings (`.local/up/dsr conformance …`). Status 0 if
    all is well, 1 if something is not so, 2 if something could not be found out.
    """
    wiring = Wiring.of_command()
    try:
        if sweep:
            names = asyncio.run(live.sweep(file, wiring))
            typer.echo(orjson.dumps({"swept": names}) if as_json else f"swept: {', '.join(names) or 'nothing'}")
            return
        found = asyncio.run(_examine(file, wiring, system or ()))
    except DsrError as error:
        typer.echo(f"dsr: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(orjson.dumps({name: told(findings) for name, findings in found.items()}))
    else:
        typer.echo("\n".join(line for name, findings in found.items() for line in lines_of(name, findings)))
    raise typer.Exit(status(found.values()))


async def _examine(file: Path, wiring: Wiring, names: Sequence[str]) -> Mapping[str, Findings]:
    teams = [
        each.name
        for each in read(file, wiring.environment, "bus")
        if each.enabled and (each.name in names or not names)
    ]
    if not teams or not all(map(wiring.environment.get, _NEEDED)):
        return await live.examine(file, wiring, names)
    async with platform(teams, wiring.clock) as bus:
        token_key = bus.vault.keyring.claims
        wired = replace(wiring, publish=bus.publish, token_key=token_key, uploads=bus)
        return await live.examine(file, wired, names, bus.live)
