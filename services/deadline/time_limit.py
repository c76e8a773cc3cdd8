"""Check time limits against worked examples: ``dsr time-limit --vectors FILE.json``."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.domain.errors import Misconfigured
from shared.domain.time_limit import Arrival, Limits, limits
from shared.domain.time_limit_policy import TIME_LIMITS, TimeLimitPolicy, read_policy

Vector = Mapping[str, Any]


def figures(found: Limits) -> dict[str, str]:
    """The limits by the names that the examples use, as text."""
    dates = {
        "receipt_date": found.arrival_date,
        "d30": found.end_of_days,
        "month1": found.end_of_month,
        "commit_due": found.commit_due,
        "work_by": found.work_by,
        "statutory_due": found.statutory_due,
        "extension_notice_due": found.extension_notice_due,
        "commit_due_extended": found.commit_due_extended,
        "month3": found.end_of_three_months,
        "statutory_due_extended": found.statutory_due_extended,
    }
    instants = {
        "commit_due_instant_utc": found.commit_due_instant,
        "statutory_due_instant_utc": found.statutory_due_instant,
        "commit_due_extended_instant_utc": found.commit_due_extended_instant,
        "statutory_due_extended_instant_utc": found.statutory_due_extended_instant,
    }
    return {name: day.isoformat() for name, day in dates.items()} | {
        name: _utc(instant) for name, instant in instants.items()
    }


def mismatches(vector: Vector, policy: TimeLimitPolicy) -> Iterator[str]:
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
