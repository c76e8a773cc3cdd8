"""A period ends with the end of a local day, as counsel's worked examples have it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.local.paths import ROOT
from shared.domain.policy import Period, first_kept, parse_period, read_policy, release
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


@pytest.mark.parametrize("example", orjson.loads(VECTORS.read_bytes()), ids=lambda each: each["id"])
def test_the_worked_examples_of_counsel_are_computed_alike(example: dict[str, Any]) -> None:
    text = example["anchor"]
    anchor = datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    period = Period(0, 0) if example["period"] == "P0D" else parse_period(example["period"])
    found = release(period, anchor, example.get("zone") or read_policy().controller.zone)
    computed = {"release": found.last_day.isoformat(), "purge_from": found.purge_from.isoformat()}
    assert computed == example["expected"]


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
