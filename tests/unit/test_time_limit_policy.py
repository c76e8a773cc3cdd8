"""The policy about time is data: complete as shipped, and refused with a reason when it cannot be used."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shared.domain.errors import Misconfigured
from shared.domain.time_limit_policy import TIME_LIMITS, read_policy
from shared.domain.working_days import calendar
from shared.runtime.settings import PolicySettings

SHIPPED = TIME_LIMITS.read_text()


def test_every_country_of_the_shipped_policy_has_a_zone_and_a_calendar() -> None:
    policy = read_policy()
    for country, zone in policy.capital_zones.items():
        assert ZoneInfo(zone).key == zone
        assert calendar(policy.calendar_of(country)).known, country
    assert calendar(policy.commitment.staff_calendar).known


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("days = 30  ", "days = 0  ", "commitment.days"),
        ("approaching_days = [7, 3, 1]", "approaching_days = [1, 3, 7]", "from far to near"),
        ('default_country = "DE"', 'default_country = "ZZ"', "default_country"),
        ("reminder_days", "reminders", "reminder_days"),
        ("triage = {", "triaged = {", "targets.triaged"),
        ("triage = {", "acknowledgement = {", "targets.acknowledgement"),
        ("flag_after_minutes = 15", "flag_after_minutes = -1", "flag_after_minutes"),
        ("days_before_due = 7", "days_before_due = 6", "extend_or_answer needs a days_before_due"),
        ('daily_page_to = ["dpo", "executive"]', "daily_page_to = []", "daily_page_to"),
        ("hours = 48,", "hours = 48, days = 2,", "give exactly one of hours"),
        ("version =", "version", "version"),
        ('role = "processor"', 'role = "reseller"', "processor_forwarding.role"),
    ],
)
def test_a_policy_that_cannot_be_used_says_what_to_change(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "time_limits.toml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(Misconfigured, match=told if told != "version" else path.name):
        read_policy(path)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.toml"):
        read_policy(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("variables", "read"),
    [
        ({}, TIME_LIMITS),
        ({"DSR_DEADLINE_POLICY": "old.toml"}, Path("old.toml")),
        ({"DSR_POLICY_TIME_LIMITS": "new.toml"}, Path("new.toml")),
        ({"DSR_DEADLINE_POLICY": "old.toml", "DSR_POLICY_TIME_LIMITS": "new.toml"}, Path("new.toml")),
    ],
)
def test_one_variable_names_the_policy_of_every_service_and_its_old_name_is_still_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], read: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables.values():
        (tmp_path / name).touch()
    for name in ("DSR_DEADLINE_POLICY", "DSR_POLICY_TIME_LIMITS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert PolicySettings().time_limits == read
