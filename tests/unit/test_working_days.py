"""Working days over every calendar that the library has."""

import warnings
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import holidays
import pytest

from services.intake.jobs import redating
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival
from shared.domain.working_days import calendar, last_common_working_day
from tests.fixtures.requests import AT, POLICY, a_request

FIRST_DAY = date(2025, 1, 1)
LAST_DAY = date(2036, 4, 30)  # of a request that came on the last day of 2035 and was extended
DAYS_FROM_LAST = [LAST_DAY - timedelta(days=n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
FAR, SATURDAY = date.max, 5


def names() -> list[str]:
    countries = holidays.list_supported_countries(include_aliases=False)
    divisions = [name for code, parts in countries.items() for name in (code, *(f"{code}-{part}" for part in parts))]
    return [*divisions, *holidays.list_supported_financial(include_aliases=False)]


def holidays_of(name: str) -> holidays.HolidayBase:
    code, _, part = name.partition("-")
    years = range(2025, 2037)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if code in holidays.list_supported_countries():
            return holidays.country_holidays(code, subdiv=part or None, years=years, expand=False)
        return holidays.financial_holidays(code, years=years, expand=False)


def test_a_tenth_of_the_calendars_rolls_every_day_of_eleven_years_forward_to_the_next_working_day() -> None:
    for name in names()[::10]:
        ours, theirs = calendar(name), frozenset(holidays_of(name))
        assert ours.known, name
        expected = FAR
        for day in DAYS_FROM_LAST:
            if day.weekday() < SATURDAY and day not in theirs:
                expected = day
            if expected is not FAR:
                assert ours.roll_forward(day) == expected, (name, day)


def test_unknown_calendar_has_working_days_only() -> None:
    unknown = [name for name in ("XX", "DE-XX", "XX-BE", "DE-", "ECB-BE", "") if calendar(name).known]
    assert unknown == []
    assert all(calendar(name).known for name in ("DE", "DEU", "UK", "DE-BE", "DEU-BE", "ECB", "XECB"))


def test_the_holidays_of_a_year_do_not_depend_on_the_year_asked_before() -> None:
    new_year_observed = date(2027, 12, 31)
    assert calendar("US").is_working_day(date(2028, 1, 3))
    assert not calendar("US").is_working_day(new_year_observed)


def test_working_days_are_counted_without_the_first_day_and_in_both_directions() -> None:
    maundy_thursday = date(2026, 4, 2)
    assert calendar("DE-BE").add_working_days(maundy_thursday, 1) == date(2026, 4, 7)
    assert calendar("DE-BE").add_working_days(date(2026, 4, 7), -1) == maundy_thursday
    assert calendar("DE-BE").add_working_days(maundy_thursday, 0) == maundy_thursday


def test_beyond_the_years_of_a_calendar_weekends_are_still_known_and_nothing_is_raised() -> None:
    assert calendar("IN").is_working_day(date(2045, 3, 1))
    assert not calendar("IN").is_working_day(date(2045, 3, 4))


def test_a_day_of_work_in_two_countries_is_a_working_day_in_both() -> None:
    assert last_common_working_day(date(2026, 7, 3), (calendar("DE-BE"), calendar("US"))) == date(2026, 7, 2)
    assert last_common_working_day(date(2026, 7, 4), (calendar("nowhere"),)) == date(2026, 7, 4)


def test_days_between_count_the_last_and_not_the_first() -> None:
    us, friday = calendar("US"), date(2026, 7, 2)  # Independence Day is observed on Friday 3 July
    spans = {
        "the same day": (friday, friday),
        "over the holiday and a weekend": (friday, date(2026, 7, 6)),
        "from a Saturday on": (date(2026, 7, 4), date(2026, 7, 7)),
        "backwards": (date(2026, 7, 7), friday),
    }
    assert {name: us.working_days_between(*days) for name, days in spans.items()} == {
        "the same day": 0,
        "over the holiday and a weekend": 1,
        "from a Saturday on": 2,
        "backwards": 0,
    }


# A redated request never gets a later day than was announced.
def stored(due_on: date = date(2026, 4, 4), **said: Any) -> Request:
    return a_request(State.IN_PROGRESS, right=Right.ACCESS, due_on=due_on, **said)


EXTENDED = stored(date(2026, 5, 29), extended=True)  # as announced to the subject


def arrived(days_earlier: int) -> Arrival:
    return replace(stored().arrival, received_at=AT - timedelta(days=days_earlier))


@pytest.mark.parametrize(
    ("on_file", "days_earlier", "due_on"),
    [
        (stored(), 20, date(2026, 3, 13)),  # received 13 February: one month is less than 30 days
        (stored(), -10, date(2026, 4, 14)),
        (EXTENDED, 2, date(2026, 5, 29)),
        (stored(date(2026, 6, 4), extended=True), 20, date(2026, 5, 13)),  # no later than the law allows
        (stored(date(2026, 3, 9), role="processor"), 1, date(2026, 3, 6)),
    ],
)
def test_corrected_receipt_gives_the_right_due_date(on_file: Request, days_earlier: int, due_on: date) -> None:
    assert redating.due_after(on_file, arrived(days_earlier), POLICY) == due_on


def test_nothing_moves_while_policy_and_holidays_are_the_same() -> None:
    assert redating.by_policy(stored(), POLICY) is None
    assert redating.by_policy(EXTENDED, POLICY) is None


def test_reopened_request_keeps_the_announced_day() -> None:
    reopened = replace(stored(date(2026, 6, 10)), resumed=True)
    assert redating.by_policy(reopened, POLICY) is None
    assert redating.due_after(reopened, arrived(5), POLICY) == date(2026, 6, 10)
