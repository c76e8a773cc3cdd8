"""Commands about the downstreams file."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured, all_of
from shared.domain.operations import Operation
from shared.domain.proofs import proof_policy
from shared.domain.records import Message
from shared.downstreams.downstream import Downstream
from shared.downstreams.file import read
from shared.downstreams.http import HttpAdapter
from shared.downstreams.registry import Downstreams, Wiring
from shared.downstreams.sql import SqlAdapter, SqlSettings, schema_for

downstreams = typer.Typer(help="The file that declares the systems which hold personal data.")


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@downstreams.command()
def check(
    file: Path,
    *,
    file_only: Annotated[bool, typer.Option("--file-only", help="Look into no store and ask no system.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what each system of a downstreams file will be asked to do.

    Status 1 if the file cannot be used, if a SQL store in it does not answer, is not as declared or not prepared, or if
    a declared HTTP system does not let us in.
    """
    wiring = Wiring(os.environ, SystemClock(), send_nothing, b"")
    found = report(file, wiring)
    if not file_only:
        asyncio.run(look(file, wiring))
    typer.echo(orjson.dumps(found) if as_json else "\n".join(lines_of(found)))


@downstreams.command()
def prepare(file: Path, *, as_json: AsJson = False) -> None:
    """Print what the owner of each SQL store of a downstreams file runs once: a table of ours, and who may write it.

    The role is the one that the store's connection string names; nothing is run.
    """
    found = statements(file, os.environ)
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        typer.echo("\n".join(found.values()), nl=False)


def statements(path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What prepares each SQL store that the file declares, also those that are not enabled yet.

    Raises:
        Misconfigured: the file cannot be used, or a connection string is not set or names no user.
    """
    stores = [each for each in read(path, environment) if isinstance(each.settings, SqlSettings)]
    printed = all_of(partial(_statements, path, each, environment) for each in stores)
    return dict(zip((each.name for each in stores), printed, strict=True))


def _statements(path: Path, store: Downstream, environment: Mapping[str, str]) -> str:
    name = getattr(store.settings, "dsn_env", "")
    if not environment.get(name):
        raise Misconfigured(f"{path}: [{store.name}]: dsn_env names {name}, which is not set; export {name}")
    try:
        header = f"-- {store.name}: to be run in the database that {name} names, by its owner\n"
        return header + schema_for(environment[name])
    except Misconfigured as error:
        raise Misconfigured(f"{path}: [{store.name}]: {name}: {error}") from None


async def look(path: Path, wiring: Wiring, name: str | None = None) -> None:
    """Look into every SQL store, and ask every declared HTTP system, that is enabled, or this one.

    Raises:
        Misconfigured: says of each that cannot be worked with what is wrong with it.
    """
    loaded = Downstreams.load(path, wiring)
    try:
        chosen = [each for each in loaded.all if name in {None, each.name}]
        looks = [each.adapter.look() for each in chosen if isinstance(each.adapter, SqlAdapter | HttpAdapter)]
        faults = [str(each) for each in await asyncio.gather(*looks, return_exceptions=True) if each is not None]
    finally:
        await loaded.close()
    if faults:
        raise Misconfigured(f"{path}: {'; '.join(faults)}")


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
            if (tenants := loaded.get(name).tenants) is None or tenants:
                systems[name]["tenants"] = ["any"] if tenants is None else sorted(tenants)
            held = loaded.get(name).categories
            if (unknown := proof_policy().unknown(held)) or not held:
                systems[name]["unknown_categories"] = unknown
            if by_hand := [each for each in Operation if loaded.get(name).by_hand(each)]:
                systems[name]["by_hand"] = by_hand
            if never_shown := getattr(loaded.get(name).adapter, "never_shown", ()):
                systems[name]["never_shown"] = never_shown
    stages = [[f"{step.operation} {step.system}" for step in stage] for stage in loaded.stages(Operation.ERASE)]
    return {"systems": systems, "erasure": stages}


def lines_of(found: Mapping[str, Any]) -> list[str]:
    """The same, a line for each system and one for the order."""
    lines = [
        f"{name}  ({system['adapter']})  "
        + (
            f"searched by {' or '.join(system['needs'])}: {', '.join(system['operations'])}"
            + (f"; by hand: {', '.join(system['by_hand'])}" if "by_hand" in system else "")
            + (f"; tells apart: {', '.join(system['tenants'])}" if "tenants" in system else "")
            + (
                f"; never shown, for want of a party: {', '.join(system['never_shown'])}"
                if "never_shown" in system
                else ""
            )
            + _strictest(system.get("unknown_categories"))
            if system["enabled"]
            else "not enabled"
        )
        for name, system in found["systems"].items()
    ]
    return [*lines, f"an erasure: {'; then '.join(', '.join(stage) for stage in found['erasure'])}"]


def _strictest(unknown: Sequence[str] | None) -> str:
    """What is missing for the level of proof that a system needs."""
    if unknown is None:
        return ""
    missing = f"{', '.join(unknown)} in no category of the policy" if unknown else "no categories declared"
    return f"; {missing}: needs the strictest proof"


async def send_nothing(messages: Sequence[Message]) -> None:
    """What an adapter is given that is to send nothing."""
    raise Misconfigured(f"a check sends nothing, and was asked to send {len(messages)} messages")
