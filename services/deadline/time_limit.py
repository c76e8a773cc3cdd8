"""Check time limits against worked examples: ``dsr time-limit --vectors FILE.json``."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.domain.errors import Misconfigured
from shared.domain.time_limit import Arrival, Limits, limits
from shared.domain.time_limit_policy import TIME_LIMITS, TimeLimitPolicy, read_policy
from shared.runtime.worked_examples import conclude, differing, read_examples

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
    yield from differing(name, expected, computed)


def main(
    vectors: Annotated[Path, typer.Option(help="JSON list of worked examples.")],
    policy: Annotated[Path, typer.Option(help="TOML file of the policy.")] = TIME_LIMITS,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check time limits against worked examples: a line per mismatch, and status 1 if there is any; 2: unreadable."""
    try:
        read = read_policy(policy)
    except (OSError, Misconfigured) as wrong:
        raise typer.BadParameter(str(wrong)) from None
    examples = read_examples(vectors)
    conclude(examples, [line for each in examples for line in mismatches(each, read)], as_json=as_json)


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    typer.run(main)
