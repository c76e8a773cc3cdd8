"""The committed figures: what a run is compared with, and what it writes if nothing fell."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from deploy.local.paths import ROOT
from tests.bench.figures import Row

DATA = ROOT / "docs" / "benchmarks.json"
ALLOWED = 0.1
"""The share by which a ratio may fall below the lowest of the committed repeats."""


class Measured(NamedTuple):
    """One row, and the commit and the machine that it was measured on."""

    row: Row
    commit: str
    machine: str


class Baseline(BaseModel):
    """The content of ``docs/benchmarks.json``."""

    model_config = ConfigDict(frozen=True)

    figures: tuple[Measured, ...] = ()
    lines: Mapping[str, int] = Field(default_factory=dict)
    counts: Mapping[str, int] = Field(default_factory=dict)

    def fallen(self, rows: Sequence[Row]) -> list[str]:
        """Returns a sentence for each row whose ratio fell by more than is allowed."""
        before = {each.row.name: each.row for each in self.figures}
        return [
            f"{now.name}: the ratio fell from {old.ratio:g} (lowest {old.ratio_spread[0]:g}) to {now.ratio:g}"
            for now in rows
            if (old := before.get(now.name)) and now.ratio < old.ratio_spread[0] * (1 - ALLOWED)
        ]

    def updated(self, measured: Sequence[Measured]) -> "Baseline":
        """Returns the same baseline in which these rows are replaced and new ones added."""
        new = {each.row.name: each for each in measured}
        kept = [new.pop(each.row.name, each) for each in self.figures]
        return self.model_copy(update={"figures": (*kept, *new.values())})


def revision() -> str:
    """Returns the commit of this checkout, with a + where files were changed since."""
    described = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def read(path: Path = DATA) -> Baseline:
    """Returns the committed baseline; an empty one where no run has written it."""
    return Baseline.model_validate_json(path.read_bytes()) if path.exists() else Baseline()


def write(baseline: Baseline, path: Path = DATA) -> None:
    """Writes the baseline."""
    path.write_text(baseline.model_dump_json(indent=1) + "\n")
