"""The command that examines the systems of a downstreams file."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.identities import IdentityType
from shared.downstreams.commands import AsJson, send_nothing
from shared.downstreams.conformance import live
from shared.downstreams.conformance.findings import as_json as told
from shared.downstreams.conformance.findings import lines_of, status
from shared.downstreams.registry import Wiring


def conformance(
    file: Path,
    *,
    system: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    subject: Annotated[
        list[str] | None, typer.Option(help="Of a system that cannot be filled: its test subject, as email=….")
    ] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Only remove what earlier runs have left behind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try on a live system everything that it is declared to do, on invented people that it is filled with.

    Status 0 if all is well, 1 if something is not so, 2 if something could not be found out.
    """
    wiring = Wiring(os.environ, SystemClock(), send_nothing, b"")
    try:
        if sweep:
            names = asyncio.run(live.sweep(file, wiring))
            typer.echo(orjson.dumps({"swept": names}) if as_json else f"swept: {', '.join(names) or 'nothing'}")
            return
        found = asyncio.run(live.examine(file, wiring, system or (), _identities(subject or ())))
    except DsrError as error:
        typer.echo(f"dsr: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(orjson.dumps({name: told(findings) for name, findings in found.items()}))
    else:
        typer.echo("\n".join(line for name, findings in found.items() for line in lines_of(name, findings)))
    raise typer.Exit(status(found.values()))


def _identities(stated: Sequence[str]) -> dict[str, str]:
    pairs = dict(each.partition("=")[::2] for each in stated)
    if unknown := pairs.keys() - set(IdentityType):
        raise Misconfigured(f"--subject {min(unknown)}: write one of {', '.join(IdentityType)}, as email=…")
    return pairs
