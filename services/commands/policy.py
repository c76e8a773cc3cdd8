"""Commands about the policy of what is held and how long: ``dsr policy check`` and ``explain``."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.policy import Policy, read_policy
from shared.domain.policy.explaining import explained, open_points
from shared.runtime.settings import PolicySettings
from shared.systems.check import against_policy
from shared.systems.check import check as check_systems
from shared.systems.registry import Wiring

policy = typer.Typer(help="What is held about people, why and how long: policy that counsel signs.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Over = Annotated[
    Path | None, typer.Option(help="Folder of the company's own files, instead of that of DSR_POLICY_OVERLAY.")
]
Systems = Annotated[
    Path | None, typer.Option(envvar="DSR_WORK_DOWNSTREAMS", help="The downstreams file, to compare with the policy.")
]


@policy.command()
def check(over: Over = None, systems: Systems = None, *, as_json: AsJson = False) -> None:
    """Say what is wrong with the policy, and what is still open in it; status 1 if it cannot be used.

    Where the downstreams file is at hand, also what of the policy its systems cannot do, or do not say how to do: a
    name of a field that no dataset has, an anchor that none declares. Status 1 then, too; no system is asked.
    """
    try:
        read = _read(over)
    except Misconfigured as wrong:
        faults = [str(fault) for fault in wrong.faults]
        typer.echo(orjson.dumps({"usable": False, "wrong": faults}) if as_json else "\n".join(faults))
        raise typer.Exit(1) from None
    points = open_points(read, _today(read))
    against = _against(read, systems) if systems else {}
    if as_json:
        told = {"usable": True, "version": read.version, "open": points} | ({"systems": against} if systems else {})
        typer.echo(orjson.dumps(told))
    else:
        said = [f"{name}: {each}" for name, says in against.items() for each in says]
        typer.echo("\n".join([f"policy {read.version} can be used", *(f"open: {point}" for point in points), *said]))
    if against:
        raise typer.Exit(1)


def _against(read: Policy, systems: Path) -> Mapping[str, Sequence[str]]:
    """By system what of the policy it does not do as it is declared; nothing is asked of any."""
    return against_policy(asyncio.run(check_systems(systems, Wiring.of_command(read), live=False)))


@policy.command()
def explain(category: str, over: Over = None, *, as_json: AsJson = False) -> None:
    """Print what the policy says of a category, by its own name or by what a system calls it."""
    read = _read(over)
    if read.category_of(category) is None:
        names = sorted({name for own, each in read.categories.items() for name in (own, *each.held_as)})
        close = get_close_matches(category, names, n=1)
        known = f"did you mean {close[0]}?" if close else f"the categories are {', '.join(sorted(read.categories))}"
        raise typer.BadParameter(f"{category} is no category of the policy: {known}")
    found = explained(read, category, _today(read))
    typer.echo(orjson.dumps(found) if as_json else "\n".join(_lines(found)))


def _read(over: Path | None) -> Policy:
    return read_policy(over) if over else PolicySettings().read_processing()


def _today(read: Policy) -> date:
    return SystemClock().now().astimezone(ZoneInfo(read.controller.zone)).date()


def _lines(found: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    indent = "  " * depth
    for name, value in found.items():
        match value:
            case dict() if value:
                yield f"{indent}{name}:"
                yield from _lines(value, depth + 1)
            case list() | dict():
                yield f"{indent}{name}: {'; '.join(map(str, value)) or 'none'}"
            case _:
                yield f"{indent}{name}: {'none' if value is None else value}"
