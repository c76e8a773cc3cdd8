"""Reports our figure next to a limit or a twin measured in the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

import psutil

Unit = Literal["requests/s", "erasures/s", "rows/s", "ms", "s", "MiB"]


@dataclass(frozen=True)
class Row:
    """One figure: ``ours`` and ``limit`` are medians in ``unit``, ``spread`` is our minimum and maximum.

    ``ratio`` is 1 where ours is as good as the limit, and higher is better for every unit.
    ``ratio_spread`` is its minimum and maximum over the repeats. ``more`` is what else was measured.
    """

    name: str
    ours: float
    limit: float
    unit: Unit
    what_limit_is: str
    spread: tuple[float, float]
    ratio: float
    ratio_spread: tuple[float, float]
    repeats: int
    more: Mapping[str, Any] = field(default_factory=dict)


def row(
    name: str, ours: Sequence[float], limit: Sequence[float], unit: Unit, what_limit_is: str, /, **more: Any
) -> Row:
    """Returns the row of repeated measurements. Each of our values is compared with the limit of the same turn."""
    each = limit if len(limit) == len(ours) else [median(limit)] * len(ours)
    ratios = [_ratio(unit, mine, theirs) for mine, theirs in zip(ours, each, strict=True)]
    middle = _ratio(unit, median(ours), median(limit))
    ends, ratio_ends = (_ends(values) for values in (ours, ratios))
    figures = rounded(median(ours)), rounded(median(limit))
    return Row(name, *figures, unit, what_limit_is, ends, rounded(middle), ratio_ends, len(ours), more)


def rounded(value: float) -> float:
    """Returns the value to four digits."""
    return float(f"{value:.4g}")


def resident_mib(pid: int | None = None) -> float:
    """Returns the mebibytes of a process, or of this one, in memory."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def _ratio(unit: Unit, ours: float, limit: float) -> float:
    return ours / limit if unit.endswith("/s") else limit / ours


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return rounded(min(values)), rounded(max(values))
