"""Commands about the policy of what is held and how long: ``dsr policy check``, ``explain`` and ``release``."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.policy import Period, Policy, parse_period, read_policy, release
from shared.domain.policy.explaining import explained, open_points
from shared.downstreams.check import against_policy
from shared.downstreams.check import check as check_systems
from shared.downstreams.registry import Wiring
from shared.runtime.settings import PolicySettings
from shared.runtime.worked_examples import conclude, differing, read_examples

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


@policy.command("release")
def check_releases(
    vectors: Annotated[Path, typer.Option(help="JSON list of worked examples.")],
    over: Over = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check days of release against worked examples: a line per difference, status 1 if there is any; 2: unreadable."""
    try:
        zone = _read(over).controller.zone
    except Misconfigured as wrong:
        raise typer.BadParameter(str(wrong)) from None
    examples = read_examples(vectors)
    differ = [line for each in examples for line in mismatches(each, zone)]
    conclude(examples, [*_twice(examples), *differ], as_json=as_json)


def _twice(examples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each name that several examples have: nobody could tell which of them differs."""
    names = Counter(str(each["id"]) for each in examples if "id" in each)
    yield from (f"{name}: {n} examples have this id: give each its own" for name, n in names.items() if n > 1)


def mismatches(vector: Mapping[str, Any], zone: str) -> Iterator[str]:
    """One line for each day of an example that we compute differently, or for an example that cannot be computed.

    ``zone``: where the day of an instant is counted if the example names no zone.
    """
    name = vector.get("id", "without id")
    if wrong := _unusable(vector):
        yield f"{name}: cannot be computed: {wrong}"
        return
    where, text, expected = vector.get("zone") or zone, vector["period"], vector["expected"]
    try:
        ZoneInfo(where)
        found = release(NOTHING if text == "P0D" else parse_period(text), _anchor(vector["anchor"]), where)
    except (LookupError, ValueError, OSError) as error:
        yield f"{name}: cannot be computed: {error}"
        return
    computed = {"release": found.last_day.isoformat(), "purge_from": found.purge_from.isoformat()}
    if lacking := " and ".join(day for day in computed if day not in expected):
        compared = " and ".join(day for day in computed if day in expected) or "nothing"
        yield f"{name}: {compared} was compared, and {lacking} was not: expected names both days"
    yield from differing(name, expected, computed)


def _unusable(vector: Mapping[str, Any]) -> str | None:
    """What of an example is missing, of another kind, or a slip."""
    missing = [key for key in _KEYS if key not in vector]
    for strange in sorted(vector.keys() - {*_KEYS}):
        close = ["zone"] if strange == "tz" else get_close_matches(strange, missing, n=1)
        if close:
            return f"{strange} is no key of an example: write {close[0]}"
        return f"{strange} is no key of an example: they are {', '.join(_KEYS)}"
    if lacking := [key for key in missing if key not in {"id", "zone"}]:
        return f"{lacking[0]} is missing; write it"
    for key in ("period", "anchor", "zone"):
        if not isinstance(vector.get(key) or "", str):
            return f"{key} is a text, as P18M, 2026-03-01 or Europe/Berlin"
    if not isinstance(vector["expected"], dict):
        return "expected is an object with release and purge_from"
    return None


_KEYS = ("id", "period", "anchor", "zone", "expected")
NOTHING = Period(0, 0)
"""No rule may keep for so long; counted it is the day of the anchor itself."""


def _anchor(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)


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
