"""What a bench reports: our figure beside a limit measured in the same run."""

import json
import os
import platform as machine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure: ``ours`` and ``limit`` are medians in ``unit``; ``spread`` is our minimum and maximum.

    ``more`` holds what else was measured beside it, under keys of its own.
    """

    name: str
    ours: float
    limit: float
    unit: str
    ratio: float
    what_limit_is: str
    spread: tuple[float, float]
    more: Mapping[str, object] = field(default_factory=dict)

    def content(self) -> dict[str, object]:
        """The row as it is written down."""
        own = {key: value for key, value in vars(self).items() if key != "more"}
        return {**own, **self.more}


def row(  # a row has that many columns
    name: str,
    ours: Sequence[float],
    limit: Sequence[float],
    unit: str,
    what_limit_is: str,
    spread: Sequence[float] = (),
    /,
    **more: object,
) -> Row:
    """A row from repeated measurements; the ratio is ours to the limit. ``spread``: of what, where not of ``ours``."""
    mine, theirs = median(ours), median(limit)
    ends = (rounded(min(spread or ours)), rounded(max(spread or ours)))
    return Row(name, rounded(mine), rounded(theirs), unit, rounded(mine / theirs), what_limit_is, ends, more)


def rounded(value: float) -> float:
    """Four digits that mean something."""
    return float(f"{value:.4g}")


def resident_mib(pid: int | None = None) -> float:
    """Mebibytes of a process, or of this one, in memory."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def report(rows: Sequence[Row], directory: Path, versions: Mapping[str, str]) -> None:
    """Writes the rows to ``latest.json`` in that directory."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "python": machine.python_version(),
        "system": machine.platform(),
        **versions,
    }
    content = {"rows": [each.content() for each in rows], "machine": about}
    (directory / "latest.json").write_text(json.dumps(content, indent=1) + "\n")


def show(rows: Sequence[Row]) -> None:
    """Prints the rows as a table, and below it what was measured beside them."""
    console = Console(width=160, highlight=False)
    table = Table("figure", "ours", "min–max", "limit", "unit", "ratio", "what the limit is", show_lines=True)
    for each in rows:
        spread = f"{each.spread[0]:.4g}–{each.spread[1]:.4g}"
        ours, limit, ratio = f"{each.ours:.4g}", f"{each.limit:.4g}", f"{each.ratio:.3g}"
        table.add_row(each.name, ours, spread, limit, each.unit, ratio, each.what_limit_is)
    console.print(table)
    for each in rows:
        beside = ", ".join(f"{key} {value}" for key, value in each.more.items())
        console.print(f"{each.name}: {beside}" if beside else each.name)
