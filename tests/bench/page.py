"""The text of ``docs/benchmarks.md``, from the committed figures."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench.baseline import DATA, Baseline, Measured, write

PAGE = DATA.with_suffix(".md")
_HEAD = """\
# Benchmarks

`make bench` measures the product and writes this page. Each figure has a limit or a twin, measured in the same run.
Read the ratio, not the figure: machines differ. 1 is as good as the limit, and higher is better for every unit.

The command ends with 1 where a ratio fell a tenth below the lowest repeat in `docs/benchmarks.json`.
It then leaves both files as they are. `make bench ACCEPT=1` writes them all the same.
`make bench ROWS=idle_latency` measures the named figures and replaces their rows alone."""


def publish(
    run: Baseline, before: Baseline, void: Sequence[str], *, accept: bool = False, data: Path = DATA
) -> list[str]:
    """Writes the figures and the page, or returns why it wrote neither: what is void, and which ratios fell."""
    faults = [*void, *(() if accept else before.fallen([each.row for each in run.figures]))]
    if not faults:
        write(run, data)
        data.with_suffix(PAGE.suffix).write_text(page(run))
    return faults


def page(baseline: Baseline) -> str:
    """Returns the page."""
    sections = (
        _HEAD,
        *_section("Figures", _figures(baseline.figures)),
        *_section("Limits", _limits(baseline.figures)),
        *_section("Also measured", _more(baseline.figures)),
        *_section("Machines", _machines(baseline.figures)),
        *_section("Size", _size(baseline)),
    )
    return "\n\n".join(sections) + "\n"


def _section(title: str, lines: Iterable[str]) -> tuple[str, str]:
    return f"## {title}", "\n".join(lines)


def _table(*head: str) -> list[str]:
    return [_line(head), "|" + "---|" * len(head)]


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _figures(measured: Iterable[Measured]) -> list[str]:
    lines = _table("figure", "unit", "ours", "spread", "limit", "ratio", "spread of the ratio", "repeats", "commit")
    for row, commit, _ in measured:
        ours = f"{row.ours:g}", _range(row.spread), f"{row.limit:g}"
        ratio = f"**{row.ratio:.3g}**", _range(row.ratio_spread)
        lines.append(_line((f"`{row.name}`", row.unit, *ours, *ratio, row.repeats, commit)))
    return lines


def _range(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.3g}–{ends[1]:.3g}"


def _limits(measured: Iterable[Measured]) -> list[str]:
    return [*_table("figure", "its limit"), *(_line((f"`{row.name}`", row.what_limit_is)) for row, _, _ in measured)]


def _more(measured: Iterable[Measured]) -> list[str]:
    return [
        f"- `{row.name}`: " + "; ".join(f"{what.replace('_', ' ')} {value}" for what, value in row.more.items())
        for row, _, _ in measured
        if row.more
    ]


def _machines(measured: Iterable[Measured]) -> list[str]:
    commits: dict[str, dict[str, None]] = {}
    for each in measured:
        commits.setdefault(each.machine, {})[each.commit] = None
    return [f"- {', '.join(of_it)}: {machine}" for machine, of_it in commits.items()]


def _size(baseline: Baseline) -> list[str]:
    counts = [*_table("what", "number"), *map(_line, baseline.counts.items())]
    lines = [_line((f"`{package}`", f"{number:,}")) for package, number in baseline.lines.items()]
    total = _line(("all", f"{sum(baseline.lines.values()):,}"))
    return [*counts, "", *_table("package", "lines of Python"), *lines, total]
