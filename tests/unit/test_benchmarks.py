"""The comparison of a bench with the committed figures, and the page that is written from them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import baseline
from tests.bench.baseline import Baseline, Measured
from tests.bench.figures import Row, Unit, row
from tests.bench.page import PAGE, page, publish


def figure(
    name: str = "closed_erasures",
    ours: Sequence[float] = (300, 320, 310),
    limit: Sequence[float] = (310, 310, 310),
    unit: Unit = "requests/s",
) -> Row:
    return row(name, ours, limit, unit, "the naive twin", requests=500)


def measured(*rows: Row, commit: str = "abc1234") -> tuple[Measured, ...]:
    return tuple(Measured(each, commit, "2 cores") for each in rows)


@pytest.mark.parametrize(
    ("ours", "fell"),
    [
        ([90, 100, 110], False),
        ([82], False),  # a tenth below the median, and within a tenth of the lowest repeat
        ([80], True),
        ([200], False),
    ],
)
def test_a_ratio_falls_a_tenth_below_the_lowest_committed_repeat(ours: list[float], fell: bool) -> None:  # noqa: FBT001
    committed = Baseline(figures=measured(figure(ours=[90, 100, 110], limit=[100])))
    assert bool(committed.fallen([figure(ours=ours, limit=[100])])) is fell


def test_a_fallen_ratio_is_named_with_both_figures() -> None:
    committed = Baseline(figures=measured(figure(ours=[90, 100, 110], limit=[100])))
    (sentence,) = committed.fallen([figure(ours=[50], limit=[100])])
    assert sentence == "closed_erasures: the ratio fell from 1 (lowest 0.9) to 0.5"


def test_a_duration_that_grows_is_a_ratio_that_falls() -> None:
    committed = Baseline(figures=measured(figure(ours=[20], limit=[10], unit="ms")))
    assert committed.fallen([figure(ours=[23], limit=[10], unit="ms")])
    assert not committed.fallen([figure(ours=[22], limit=[10], unit="ms")])


def test_a_run_of_named_figures_replaces_their_rows_alone() -> None:
    committed = Baseline(figures=measured(figure("one"), figure("two"), commit="old"), lines={"a": 1})
    after = committed.updated(measured(figure("two"), figure("three"), commit="new"))

    assert [(each.row.name, each.commit) for each in after.figures] == [
        ("one", "old"),
        ("two", "new"),
        ("three", "new"),
    ]
    assert after.lines == {"a": 1}


def test_the_page_shows_the_figure_the_limit_the_ratio_the_spread_the_commit_and_the_machine() -> None:
    text = page(Baseline(figures=measured(figure()), lines={"services/intake": 1200}, counts={"tables": 78}))

    for line in (
        "| `closed_erasures` | requests/s | 310 | 300–320 | 310 | **1** | 0.968–1.03 | 3 | abc1234 |",
        "| `closed_erasures` | the naive twin |",
        "- `closed_erasures`: requests 500",
        "- abc1234: 2 cores",
        "| tables | 78 |",
        "| `services/intake` | 1,200 |",
        "| all | 1,200 |",
    ):
        assert line in text.splitlines()


ONE = Baseline(figures=measured(figure(ours=[100], limit=[100])))
WORSE = Baseline(figures=measured(figure(ours=[50], limit=[100])))


@pytest.mark.parametrize(("run", "accept"), [(ONE, False), (WORSE, True)])
def test_a_run_writes_the_page_and_the_figures(tmp_path: Path, run: Baseline, accept: bool) -> None:  # noqa: FBT001
    data = tmp_path / "benchmarks.json"
    assert publish(run, ONE, [], accept=accept, data=data) == []
    assert (baseline.read(data), data.with_suffix(".md").read_text()) == (run, page(run))


@pytest.mark.parametrize(("run", "void"), [(ONE, ["one_subject is void"]), (WORSE, [])])
def test_void_figure_or_fallen_ratio_writes_nothing(tmp_path: Path, run: Baseline, void: list[str]) -> None:
    (data := tmp_path / "benchmarks.json").write_text("before")
    assert publish(run, ONE, void, data=data)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"benchmarks.json": "before"}


def test_the_committed_page_is_written_from_the_committed_figures() -> None:
    assert PAGE.read_text() == page(baseline.read())
