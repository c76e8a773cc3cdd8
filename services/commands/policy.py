"""``dsr policy check``: what is wrong with or open in the policy of what is held and how long."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.policy import Policy, read_policy
from shared.domain.policy.open_points import open_points
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

    A rule that keeps data longer than a law allows is status 1 too: narrow it by `applies_to`, or shorten it.

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
        described = {"usable": True, "version": read.version, "open": points} | (
            {"systems": against} if systems else {}
        )
        typer.echo(orjson.dumps(described))
    else:
        said = [f"{name}: {each}" for name, says in against.items() for each in says]
        typer.echo("\n".join([f"policy {read.version} can be used", *(f"open: {point}" for point in points), *said]))
    if against or read.conflicts():
        raise typer.Exit(1)


def _against(read: Policy, systems: Path) -> Mapping[str, Sequence[str]]:
    """Names by system what it does not do of the policy, as it is declared; no system is asked."""
    return against_policy(asyncio.run(check_systems(systems, Wiring.of_command(read), live=False)))


@policy.callback()
def _group() -> None:
    """Keep `check` a command of its own."""


def _read(over: Path | None) -> Policy:
    return read_policy(over) if over else PolicySettings().read_processing()


def _today(read: Policy) -> date:
    return SystemClock().now().astimezone(ZoneInfo(read.controller.zone)).date()
