"""A period ends with the end of a local day, as counsel's worked examples have it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.local.paths import ROOT
from shared.domain.policy import Period, first_kept, parse_period, release
from shared.fulfilment.policy_commands import policy as commands
from tests.fixtures.policy import SIGNED, changed

VECTORS = ROOT / "tests" / "fixtures" / "release-vectors.json"
RUNNER = CliRunner()
days = st.dates(date(1990, 1, 1), date(2100, 12, 31))
periods = st.builds(Period, st.integers(0, 120), st.integers(1, 400))


@pytest.mark.parametrize(
    ("text", "period"),
    [("P18M", Period(18, 0)), ("P7Y", Period(84, 0)), ("P90D", Period(0, 90)), ("P1Y2M3D", Period(14, 3))],
)
def test_periods_are_read_as_iso_8601_writes_them(text: str, period: Period) -> None:
    assert parse_period(text) == period


@pytest.mark.parametrize(
    "text", ["", "P", "18M", "P18", "P0M", "P1W", "PT18M", "P-1M", "P1.5Y", "P101Y", " P1Y", "p1y"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no period|is longer than a hundred years"):
        parse_period(text)


def test_an_instant_without_offset_has_no_local_day() -> None:
    with pytest.raises(ValueError, match="offset"):
        release(parse_period("P1M"), datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), "UTC")


@given(days, periods)
def test_what_is_kept_ends_on_one_day_and_goes_on_the_next(day: date, period: Period) -> None:
    found = release(period, day, "UTC")
    assert found.purge_from - found.last_day == timedelta(days=1)
    assert found.last_day > day


@given(days, periods)
def test_what_began_later_never_goes_earlier(day: date, period: Period) -> None:
    assert release(period, day, "UTC").last_day <= release(period, day + timedelta(days=1), "UTC").last_day


@given(days, periods)
def test_what_is_kept_today_began_on_the_first_kept_day_or_later(today: date, period: Period) -> None:
    first = first_kept(period, today)
    assert release(period, first, "UTC").last_day >= today
    assert release(period, first - timedelta(days=1), "UTC").last_day < today


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), periods)  # noqa: DTZ001
def test_an_instant_counts_as_its_local_day(instant: datetime, period: Period) -> None:
    eastern = release(period, instant, "Etc/GMT-14").last_day
    western = release(period, instant, "Etc/GMT+12").last_day
    assert western <= release(period, instant, "Europe/Berlin").last_day <= eastern


def test_the_worked_examples_of_counsel_are_computed_alike() -> None:
    found = RUNNER.invoke(commands, ["release", "--vectors", str(VECTORS)])
    assert (found.exit_code, found.stdout) == (0, f"{len(orjson.loads(VECTORS.read_bytes()))} examples, no mismatch\n")


BOTH = {"release": "2026-10-01", "purge_from": "2026-10-02"}


@pytest.mark.parametrize(
    ("examples", "said"),
    [
        ([{"tz": "Europe/Berlin"}], "A: cannot be computed: tz is no key of an example: write zone"),
        ([{"expected": {"release": "2026-10-01"}}], "A: release was compared, and purge_from was not: expected names"),
        ([{"expected": {"purge_from": "2026-10-02"}}], "A: purge_from was compared, and release was not: expected"),
        ([{"expected": {}}], "A: nothing was compared, and release and purge_from was not: expected names both days"),
        ([{}, {}], "A: 2 examples have this id: give each its own"),
    ],
)
def test_an_example_of_which_not_all_is_compared_is_no_match(
    tmp_path: Path, examples: list[dict[str, object]], said: str
) -> None:
    file = tmp_path / "vectors.json"
    right = {"id": "A", "period": "P18M", "anchor": "2025-04-01", "expected": BOTH}
    file.write_bytes(orjson.dumps([right]))
    assert RUNNER.invoke(commands, ["release", "--vectors", str(file)]).stdout == "1 examples, no mismatch\n"
    file.write_bytes(orjson.dumps([right | each for each in examples]))
    found = RUNNER.invoke(commands, ["release", "--vectors", str(file)])
    assert found.exit_code == 1
    [line] = found.stdout.splitlines()
    assert line.startswith(said)


def test_a_wrong_example_is_printed_and_sets_the_status(tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    wrong = {"id": "X", "period": "P18D", "anchor": "2025-04-01", "expected": BOTH | {"purge_from": "2025-04-20"}}
    file.write_bytes(orjson.dumps([wrong, {"id": "Y", "period": "P1Y", "anchor": "May", "expected": {}}]))
    found = RUNNER.invoke(commands, ["release", "--vectors", str(file)])
    first, second = found.stdout.splitlines()
    assert found.exit_code == 1
    assert first == "X: release: expected 2026-10-01, computed 2025-04-19"
    assert second.startswith("Y: cannot be computed")
    near = {
        "id": "Z",
        "period": "P1D",
        "anchor": "2026-03-01T23:30:00-05:00",
        "timezone": "Europe/Berlin",
        "why": "DST",
    }
    file.write_bytes(orjson.dumps([near | {"expected": {"release": "2026-03-02"}}]))
    found = RUNNER.invoke(commands, ["release", "--vectors", str(file)])
    assert (found.exit_code, found.stdout) == (
        1,
        "Z: cannot be computed: timezone is no key of an example: write zone\n",
    )
    near.pop("timezone")
    file.write_bytes(orjson.dumps([near | {"expected": BOTH}]))
    assert (
        "why is no key of an example: they are" in RUNNER.invoke(commands, ["release", "--vectors", str(file)]).stdout
    )
    file.write_text("[]")
    assert RUNNER.invoke(commands, ["release", "--vectors", str(file)]).exit_code == 2


def test_a_mistyped_period_is_found_by_the_check(tmp_path: Path) -> None:
    changed(tmp_path, 'period = "P18M"\nanchor = "call_start"', 'period = "P18D"\nanchor = "call_start"')
    found = RUNNER.invoke(commands, ["check", "--over", str(tmp_path)])
    assert found.exit_code == 1
    assert "rules.calls_us_18m.period: is P18D, implausibly short" in found.stdout
    assert RUNNER.invoke(commands, ["check", "--over", str(SIGNED), "--json"]).exit_code == 0


def test_an_unknown_category_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_POLICY_OVERLAY", str(SIGNED))
    assert "47 CFR 42.6" in RUNNER.invoke(commands, ["explain", "call"]).stdout
    found = RUNNER.invoke(commands, ["explain", "tickets"])
    assert found.exit_code == 2
    assert "did you mean ticket?" in found.stderr
