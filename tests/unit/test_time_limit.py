"""Time limits of a request: the worked examples, and what must hold for every receipt, zone and calendar."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.deadline.time_limit import main, mismatches
from shared.domain.rights import Right
from shared.domain.time_limit import (
    Arrival,
    Limits,
    Target,
    Timeliness,
    add_months,
    arrival_date,
    commit_due,
    due_at,
    due_on,
    end_of,
    limits,
    target,
    timeliness,
)
from shared.domain.time_limit_policy import TargetName, read_policy

VECTORS = Path(__file__).parents[1] / "fixtures" / "deadline-vectors.json"
POLICY = read_policy()
BERLIN_AND_NEW_YORK = ("Europe/Berlin", "America/New_York")
EEA_UK_US = set(POLICY.capital_zones) | {"GP", "MQ", "GF", "RE", "YT", "MF", "PR", "VI", "GU", "AS", "MP"}
FIRST_DAY = date(2025, 1, 1)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range((date(2036, 1, 1) - FIRST_DAY).days)]
DAYS_AROUND_CHANGES_OF_TIME = [day for day in DAYS if day.weekday() >= 5]  # clocks change on Sundays
ONE_DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def zones_of_the_eea_uk_and_us() -> list[str]:
    lines = files("tzdata").joinpath("zoneinfo/zone.tab").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return sorted(row[2] for row in rows if row[0] in EEA_UK_US)


ZONES = zones_of_the_eea_uk_and_us()
some_zones = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3).map(tuple)
some_instant = st.datetimes(datetime(2025, 1, 1), datetime(2035, 12, 31, 23, 59, 59), timezones=st.just(UTC))  # noqa: DTZ001
some_calendar = st.sampled_from(["DE-BE", "DE", "GB-ENG", "IE", "FR", "NL", "US", "ECB", "GR", "HU", "nowhere", None])


UNKNOWN = [None, "XX", "DE-XX", "DE-", "-BE", "de", "EU-ECB", "US-US"]


def arrived(text: str, zones: tuple[str, ...] = BERLIN_AND_NEW_YORK, calendar: str | None = "DE-BE") -> Arrival:
    return Arrival(datetime.fromisoformat(text), zones, calendar)


@pytest.mark.parametrize(
    "vector", json.loads(VECTORS.read_text()), ids=lambda vector: f"{vector['id']} {vector['note']}"
)
def test_every_worked_example_comes_out_as_the_domain_says(vector: dict[str, object]) -> None:
    assert list(mismatches(vector, POLICY)) == []


def test_every_arrival_date_of_eleven_years_gets_the_earlier_of_thirty_days_and_one_month_and_dates_in_order() -> None:
    for number, day in enumerate(DAYS):
        month = add_months(day, 1)
        last_of_next = (day.replace(day=1) + timedelta(days=62)).replace(day=1) - ONE_DAY
        assert (month.year * 12 + month.month) - (day.year * 12 + day.month) == 1
        assert month.day == day.day or month == last_of_next < last_of_next.replace(day=1) + timedelta(days=day.day - 1)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        assert commit_due(noon, ("Europe/Berlin",), POLICY) == min(day + timedelta(days=30), month)
        assert_order(limits(Arrival(noon, (ZONES[number % len(ZONES)], "America/New_York"), "DE-BE"), POLICY))


@pytest.mark.parametrize("zone", ZONES)
def test_every_arrival_date_of_eleven_years_counts_from_the_local_day_in_every_zone(zone: str) -> None:
    info = ZoneInfo(zone)
    for day in DAYS:
        start = datetime(day.year, day.month, day.day, tzinfo=info).astimezone(UTC)
        due = min(day + timedelta(days=30), add_months(day, 1))
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=info)
        for at in (start if start.astimezone(info).date() == day else start + timedelta(hours=1), noon):
            assert arrival_date(at, (zone,)) == day
            assert commit_due(at, (zone,), POLICY) == due
        assert end_of(due, (zone,)).astimezone(info).date() > due


@settings(max_examples=400, deadline=None)
@given(at=some_instant, zones=some_zones, calendar=some_calendar, paused=st.integers(0, 60))
@example(datetime(2026, 3, 1, 22, 30, tzinfo=UTC), BERLIN_AND_NEW_YORK, "DE-BE", 0)
@example(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ("Europe/Berlin",), "DE-BE", 0)
def test_both_clocks_keep_their_order_for_any_receipt(
    at: datetime, zones: tuple[str, ...], calendar: str | None, paused: int
) -> None:
    found = limits(Arrival(at, zones, calendar, paused), POLICY)
    assert_order(found)
    assert found.commit_due == commit_due(at, zones, POLICY)
    unpaused = limits(Arrival(at, zones, calendar), POLICY)
    assert (found.commit_due, found.work_by) == (unpaused.commit_due, unpaused.work_by)
    assert found.statutory_due >= unpaused.end_of_month + timedelta(days=paused)


def assert_order(found: Limits) -> None:
    assert found.arrival_date < found.work_by <= found.commit_due <= found.statutory_due
    assert found.commit_due < found.commit_due_extended <= found.statutory_due_extended
    assert found.commit_due_instant <= found.statutory_due_instant < found.statutory_due_extended_instant


@settings(max_examples=400, deadline=None)
@given(at=some_instant, zones=some_zones)
def test_the_day_of_receipt_is_the_earliest_that_any_zone_sees(at: datetime, zones: tuple[str, ...]) -> None:
    seen = {at.astimezone(ZoneInfo(zone)).date() for zone in zones}
    assert arrival_date(at, zones) == min(seen)
    assert arrival_date(at.astimezone(ZoneInfo("Pacific/Honolulu")), zones) == min(seen)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_ends_at_the_first_instant_of_the_next_in_each_zone(zone: str) -> None:
    info = ZoneInfo(zone)
    for day in DAYS_AROUND_CHANGES_OF_TIME:
        end = end_of(day, (zone,))
        assert (end - TICK).astimezone(info).date() <= day < end.astimezone(info).date()


def test_a_day_is_over_when_it_is_over_in_the_easternmost_zone() -> None:
    assert end_of(date(2028, 2, 28), ("UTC",)) == datetime(2028, 2, 29, tzinfo=UTC)
    day = date(2026, 4, 4)
    assert end_of(day, BERLIN_AND_NEW_YORK) == end_of(day, ("Europe/Berlin",)) < end_of(day, ("America/New_York",))


@settings(max_examples=300, deadline=None)
@given(name=st.text(max_size=12) | st.sampled_from(UNKNOWN))
def test_an_unknown_calendar_rolls_nothing_and_raises_nothing(name: str | None) -> None:
    found = limits(arrived("2026-03-05T10:00:00+01:00", calendar=name), POLICY)  # one month on: Easter Sunday
    known = found.statutory_due != found.end_of_month
    assert not known or found.statutory_due in {date(2026, 4, 6), date(2026, 4, 7), date(2026, 4, 8)}
    if name in UNKNOWN:
        assert found.statutory_due == found.end_of_month == date(2026, 4, 5)


def test_an_answer_is_on_time_until_the_commitment_ends_and_a_breach_once_the_statutory_limit_has() -> None:
    found = limits(arrived("2026-03-05T10:00:00+01:00"), POLICY)
    for commitment, statutory in (
        (found.commit_due_instant, found.statutory_due_instant),
        (found.commit_due_extended_instant, found.statutory_due_extended_instant),
    ):
        assert timeliness(commitment - TICK, commitment, statutory) is Timeliness.ON_TIME
        assert timeliness(commitment, commitment, statutory) is Timeliness.LATE_COMMITMENT
        assert timeliness(statutory - TICK, commitment, statutory) is Timeliness.LATE_COMMITMENT
        assert timeliness(statutory, commitment, statutory) is Timeliness.BREACH


def test_an_objection_to_direct_marketing_takes_effect_within_48_elapsed_hours() -> None:
    over_the_change_to_summer_time = arrived("2026-03-28T10:00:00+01:00")
    found = target(POLICY.overrides["direct_marketing_objection"], over_the_change_to_summer_time, POLICY)
    assert found == Target(date(2026, 3, 30), datetime(2026, 3, 30, 9, tzinfo=UTC), "dpo")


def test_a_shorter_limit_of_our_own_holds_for_its_right_and_scope_alone_and_ends_at_an_instant() -> None:
    arrival = arrived("2026-03-05T10:00:00+01:00")
    plain = date(2026, 4, 4), datetime(2026, 4, 4, 22, tzinfo=UTC)
    for right, scope, expected in (
        (Right.OBJECTION, "direct_marketing", (date(2026, 3, 7), datetime(2026, 3, 7, 9, tzinfo=UTC))),
        (Right.OBJECTION, "legitimate_interests", plain),
        (Right.ACCESS, "direct_marketing", plain),
        (Right.CONSENT_WITHDRAWAL, None, (date(2026, 3, 7), datetime(2026, 3, 7, 9, tzinfo=UTC))),
        *((right, None, plain) for right in Right if right is not Right.CONSENT_WITHDRAWAL),
    ):
        day = due_on(arrival, right, scope, POLICY)
        assert (day, due_at(day, arrival, right, scope, POLICY)) == expected


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("scope", [None, "direct_marketing"])
def test_a_request_for_the_processor_is_forwarded_within_two_working_days_whatever_it_asks(
    right: Right, scope: str | None
) -> None:
    arrival = arrived("2026-04-02T10:00:00+02:00")  # Good Friday to Easter Monday do not count
    day, end = date(2026, 4, 8), datetime(2026, 4, 8, 22, tzinfo=UTC)
    assert target(POLICY.overrides["processor_forwarding"], arrival, POLICY) == Target(day, end, "team_lead")
    assert due_on(arrival, right, scope, POLICY, "processor") == day
    assert due_at(day, arrival, right, scope, POLICY, "processor") == end


def test_targets_of_the_staff_count_days_from_receipt_or_back_from_the_end() -> None:
    arrival = arrived("2026-03-05T10:00:00+01:00")
    found = {name: target(span, arrival, POLICY) for name, span in POLICY.targets.items()}
    assert found[TargetName.COLLECTION].day == date(2026, 3, 15)
    assert found[TargetName.EXTEND_OR_ANSWER].day == date(2026, 3, 28)


def test_the_version_of_rules_policy_and_calendar_is_kept_with_the_dates() -> None:
    version = limits(arrived("2026-03-05T10:00:00+01:00"), POLICY).calc_version
    assert version.startswith(f"rules-1/policy-{POLICY.version}/holidays-")


@pytest.mark.parametrize(
    ("at", "zones"),
    [
        (datetime(2026, 3, 5, 10), BERLIN_AND_NEW_YORK),  # noqa: DTZ001
        (datetime(2026, 3, 5, 10, tzinfo=UTC), ()),
        (datetime(2026, 3, 5, 10, tzinfo=UTC), ("Europe/Nowhere",)),
    ],
)
def test_a_receipt_without_offset_or_known_zone_is_refused(at: datetime, zones: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="receipt"):
        arrival_date(at, zones)


def test_the_country_of_the_subject_gives_zones_and_calendar() -> None:
    assert POLICY.zones_of("gb") == ("America/New_York", "Europe/London")
    assert POLICY.zones_of("US") == ("America/New_York",)
    assert POLICY.zones_of(None) == POLICY.zones_of("ZZ") == ("America/New_York", "Europe/Berlin")
    assert (POLICY.calendar_of("GB"), POLICY.calendar_of("FR"), POLICY.calendar_of(None)) == ("GB-ENG", "FR", "DE")


def test_the_command_prints_one_line_per_mismatch_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vector = json.loads(VECTORS.read_text())[0]
    vector["expected"] |= {"commit_due": "2026-04-05", "work_by": "2026-04-03"}
    unreadable = {"id": "D99", "received": "2026-03-05T10:00:00+01:00", "zones": ["Mars/Base"], "expected": {}}
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([vector, unreadable]))
    with pytest.raises(typer.Exit) as ended:
        main(path)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out.splitlines() == [
        "D01: commit_due: expected 2026-04-05, computed 2026-04-04",
        "D01: work_by: expected 2026-04-03, computed 2026-04-02",
        "D99: cannot be computed: ValueError: a time zone of the receipt is not known",
    ]


@pytest.mark.parametrize("content", ["{}", "[1]", "[]", "not JSON"])
def test_a_file_that_holds_no_examples_is_an_error_of_its_own(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(content)
    with pytest.raises(typer.BadParameter) as ended:
        main(path)
    assert ended.value.exit_code == 2


def test_the_command_says_in_one_line_that_nothing_is_wrong() -> None:
    command = [sys.executable, "-m", "services.deadline.time_limit", "--vectors", str(VECTORS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout) == (0, "18 examples, no mismatch\n")
