"""Check time limits against worked examples: ``dsr time-limit --vectors FILE.json``."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.errors import Misconfigured
from shared.domain.time_limit import Arrival, Limits, limits
from shared.domain.time_limit_policy import TIME_LIMITS, TimeLimitPolicy, read_policy

_NAMES = {
    "arrival_date": "receipt_date",
    "end_of_days": "d30",
    "end_of_month": "month1",
    "end_of_three_months": "month3",
}
"""What the examples call a limit, where we have another name."""


def figures(found: Limits) -> dict[str, str]:
    """The limits by the names that the examples use, as text."""
    told = {}
    for name, day in asdict(found).items():
        known = _NAMES.get(name, name)
        if isinstance(day, datetime):
            told[f"{known}_utc"] = _utc(day)
        elif isinstance(day, date):
            told[known] = day.isoformat()
    return told


def mismatches(vector: Mapping[str, Any], policy: TimeLimitPolicy) -> Iterator[str]:
    """One line for each figure of an example that we compute differently, or for an example that cannot be read."""
    name = vector.get("id", "without id")
    try:
        arrival = Arrival(
            received_at=datetime.fromisoformat(vector.get("received_utc") or vector["received"]),
            zones=tuple(vector["zones"]),
            calendar=vector.get("calendar"),
            paused_days=int(vector.get("paused_days") or 0),
        )
        computed = figures(limits(arrival, policy)) | {"received_utc": _utc(arrival.received_at)}
        expected = dict(vector["expected"])
        local = datetime.fromisoformat(vector.get("received") or vector["received_utc"])
        if local.tzinfo is not None:
            expected["received_utc"] = _utc(local)
    except (KeyError, TypeError, ValueError, OverflowError) as wrong:
        yield f"{name}: cannot be computed: {type(wrong).__name__}: {wrong}"
        return
    for figure, wanted in expected.items():
        ours = computed.get(figure, "a figure that is not known here")
        if ours != wanted:
            yield f"{name}: {figure}: expected {wanted}, computed {ours}"


def main(
    vectors: Annotated[Path, typer.Option(help="JSON list of worked examples.")],
    policy: Annotated[Path, typer.Option(help="TOML file of the policy.")] = TIME_LIMITS,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check time limits against worked examples: a line per mismatch, and status 1 if there is any; 2: unreadable."""
    try:
        read, examples = read_policy(policy), orjson.loads(vectors.read_bytes())
    except (OSError, orjson.JSONDecodeError, Misconfigured) as wrong:
        raise typer.BadParameter(str(wrong)) from None
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise typer.BadParameter("the file must hold a list of examples")
    if not examples:
        raise typer.BadParameter("the file holds no example, so nothing was checked: name one that does")
    wrong_lines = [line for example in examples for line in mismatches(example, read)]
    if as_json:
        typer.echo(orjson.dumps({"examples": len(examples), "mismatches": wrong_lines}))
    else:
        typer.echo("\n".join(wrong_lines or [f"{len(examples)} examples, no mismatch"]))
    if wrong_lines:
        raise typer.Exit(1)


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    typer.run(main)
