"""Commands about the downstreams file."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.downstreams.registry import Downstreams, Wiring, read

downstreams = typer.Typer(help="The file that declares the systems which hold personal data.")


@downstreams.command()
def check(file: Path, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what each system of a downstreams file will be asked to do; status 1 if the file cannot be used."""
    found = report(file, Wiring(os.environ, SystemClock(), _send_nothing, b""))
    typer.echo(orjson.dumps(found) if as_json else "\n".join(lines_of(found)))


def report(path: Path, wiring: Wiring) -> dict[str, Any]:
    """What is declared of each system, and the order in which an erasure works them.

    Raises:
        Misconfigured: the file cannot be used.
    """
    loaded = Downstreams.load(path, wiring)
    asyncio.run(loaded.close())
    systems: dict[str, Any] = {}
    for declared in read(path, wiring.environment):
        name = declared.name
        systems[name] = {"adapter": getattr(declared.settings, "adapter", None), "enabled": declared.enabled}
        if declared.enabled:
            systems[name]["needs"] = sorted(declared.needs)
            systems[name]["operations"] = [each for each in Operation if loaded.get(name).can(each)]
    stages = [[f"{step.operation} {step.system}" for step in stage] for stage in loaded.stages(Operation.ERASE)]
    return {"systems": systems, "erasure": stages}


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The same, a line for each system and one for the order."""
    lines = [
        f"{name}  ({system['adapter']})  "
        + (
            f"searched by {' or '.join(system['needs'])}: {', '.join(system['operations'])}"
            if system["enabled"]
            else "not enabled"
        )
        for name, system in found["systems"].items()
    ]
    return [*lines, f"an erasure: {'; then '.join(', '.join(stage) for stage in found['erasure'])}"]


async def _send_nothing(messages: Sequence[Message]) -> None:
    raise Misconfigured(f"a check sends nothing, and was asked to send {len(messages)} messages")
