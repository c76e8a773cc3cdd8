"""What a bench reports: our figure beside a limit measured in the same run."""

import json
import os
import platform as machine
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure: ``ours`` and ``limit`` are medians in ``unit``; ``spread`` is our minimum and maximum."""

    name: str
    ours: float
    limit: float
    unit: str
    ratio: float
    what_limit_is: str
    spread: tuple[float, float]


def row(name: str, ours: Sequence[float], limit: Sequence[float], unit: str, what_limit_is: str) -> Row:
    """A row from repeated measurements; the ratio is ours to the limit."""
    mine, theirs = median(ours), median(limit)
    return Row(name, round(mine, 3), round(theirs, 3), unit, round(mine / theirs, 3), what_limit_is, (min(ours), max(ours)))


def report(rows: Sequence[Row], directory: Path, versions: dict[str, str]) -> None:
    """Prints the table and writes it to ``latest.json`` in that directory."""
    table = Table("figure", "ours", "min-max", "limit", "unit", "ratio", "what the limit is")
    for each in rows:
        spread = f"{each.spread[0]:.4g}-{each.spread[1]:.4g}"
        table.add_row(each.name, f"{each.ours:.5g}", spread, f"{each.limit:.5g}", each.unit, f"{each.ratio:.3g}", each.what_limit_is)
    Console(width=180).print(table)
    directory.mkdir(parents=True, exist_ok=True)
    about = {"cores": os.cpu_count(), "python": machine.python_version(), "system": machine.platform(), **versions}
    content = {"rows": [asdict(each) for each in rows], "machine": about}
    (directory / "latest.json").write_text(json.dumps(content, indent=1) + "\n")
