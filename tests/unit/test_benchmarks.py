"""The comparison of a bench with the committed figures, and the page that is written from them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.local import timings
from deploy.local.timings import Timing
from tests.bench import baseline, size
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


@pytest.mark.parametrize(("unit", "ratio"), [("requests/s", 0.5), ("ms", 2.0), ("s", 2.0), ("MiB", 2.0)])
def test_a_higher_ratio_is_better_for_rates_and_for_durations(unit: Unit, ratio: float) -> None:
    assert figure(ours=[50], limit=[100], unit=unit).ratio == ratio


def test_a_repeat_is_compared_with_the_limit_of_the_same_turn() -> None:
    both_slow_in_the_second_turn = figure(ours=[100, 50], limit=[200, 100])
    assert both_slow_in_the_second_turn.ratio_spread == (0.5, 0.5)


def test_a_limit_that_is_measured_once_is_the_limit_of_every_turn() -> None:
    assert figure(ours=[100, 200, 300], limit=[200]).ratio_spread == (0.5, 1.5)


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


def test_a_new_figure_has_nothing_to_fall_from() -> None:
    assert not Baseline().fallen([figure()])


def test_a_run_of_named_figures_replaces_their_rows_alone() -> None:
    times = {"make test": Timing(seconds=500, commit="old")}
    committed = Baseline(figures=measured(figure("one"), figure("two"), commit="old"), timings=times, lines={"a": 1})
    after = committed.updated(measured(figure("two"), figure("three"), commit="new"))

    assert [(each.row.name, each.commit) for each in after.figures] == [
        ("one", "old"),
        ("two", "new"),
        ("three", "new"),
    ]
    assert (after.timings, after.lines) == (times, {"a": 1})


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    written = Baseline(figures=measured(figure()), lines={"shared/domain": 10}, counts={"tables": 3})
    baseline.write(written, file := tmp_path / "benchmarks.json")
    assert baseline.read(file) == written


def test_without_committed_figures_the_baseline_is_empty(tmp_path: Path) -> None:
    assert baseline.read(tmp_path / "benchmarks.json") == Baseline()


def test_the_page_shows_the_figure_the_limit_the_ratio_the_spread_the_commit_and_the_machine() -> None:
    times = {"make demo": Timing(seconds=145, commit="def5678")}
    text = page(
        Baseline(figures=measured(figure()), timings=times, lines={"services/intake": 1200}, counts={"tables": 78})
    )

    for line in (
        "| `closed_erasures` | requests/s | 310 | 300–320 | 310 | **1** | 0.968–1.03 | 3 | abc1234 |",
        "| `closed_erasures` | the naive twin |",
        "- `closed_erasures`: requests 500",
        "- abc1234: 2 cores",
        "| `make demo` | 145 | def5678 |",
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


def test_a_time_is_kept_next_to_those_of_other_commands(tmp_path: Path) -> None:
    for command, seconds in (("make test", 601.4), ("make demo", 144.6), ("make test", 580)):
        timings.keep(command, seconds, tmp_path / "timings.json")

    kept = timings.kept(tmp_path / "timings.json")
    assert {command: timing.seconds for command, timing in kept.items()} == {"make test": 580, "make demo": 145}


def test_lines_are_counted_for_each_package(tmp_path: Path) -> None:
    for path, text in (("shared/domain/a.py", "1\n2\n"), ("services/intake/b/c.py", "1\n"), ("deploy/d/e.py", "1\n")):
        (file := tmp_path / path).parent.mkdir(parents=True)
        file.write_text(text)
    for folder in ("docs", "tests"):
        (tmp_path / folder).mkdir()

    assert size.lines(tmp_path) == {"shared/domain": 2, "services/intake": 1, "deploy": 1}


def test_a_setting_of_each_group_is_counted() -> None:
    assert size.settings() >= {
        "DSR_POSTGRES_DSN",
        "DSR_KAFKA_BOOTSTRAP",
        "DSR_INTAKE_ERASURES_PER_HOUR",
        "DSR_WORK_DOWNSTREAMS",
    }
