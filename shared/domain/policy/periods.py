"""Computes periods: ISO 8601 in calendar months and days, and the day on which one ends; pure."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import PlainSerializer, PlainValidator

from shared.domain.time_limit import add_months

_FORM: Final = re.compile(r"P(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?")
_LONGEST_MONTHS: Final = 1_200
_DAYS_OF_A_MONTH: Final = 365.2425 / 12


@dataclass(frozen=True, slots=True)
class Period:
    """A number of calendar months, and then of days."""

    months: int
    days: int

    def __str__(self) -> str:
        """As ISO 8601 writes it, in months and days: seven years are ``P84M``."""
        return "P" + (f"{self.months}M" if self.months else "") + (f"{self.days}D" if self.days else "")

    @property
    def about_days(self) -> float:
        """About how many days it is, to compare months with days."""
        return self.months * _DAYS_OF_A_MONTH + self.days


@dataclass(frozen=True, slots=True)
class Release:
    """The end of a period, in local days: the last on which the data are kept, and that from 00:00 of which they go."""

    last_day: date
    purge_from: date


def parse_period(text: str) -> Period:
    """A period as ISO 8601 writes it, in years, months and days (``P7Y``, ``P18M``, ``P90D``).

    Raises:
        ValueError: it is none, is empty, or is longer than a hundred years.
    """
    found = _FORM.fullmatch(text)
    years, months, days = (int(each or 0) for each in found.groups()) if found else (0, 0, 0)
    period = Period(years * 12 + months, days)
    if not period.months and not period.days:
        raise ValueError(f"{text!r} is no period: write one in years, months and days, as P7Y, P18M or P90D")
    if period.about_days > _LONGEST_MONTHS * _DAYS_OF_A_MONTH:
        raise ValueError(f"{text!r} is longer than a hundred years: write what the rule says")
    return period


def _validated(value: Any) -> Period:
    if isinstance(value, Period):
        return value
    if not isinstance(value, str):
        raise ValueError("a period is a text: write it as P7Y, P18M or P90D")  # noqa: TRY004  # pydantic catches only ValueError
    return parse_period(value)


def first_kept(period: Period, today: date) -> date:
    """Returns the earliest anchor day whose record is still kept; records with earlier anchors are deleted."""
    day = add_months(today, -period.months) - timedelta(days=period.days)
    while release(period, day, "UTC").last_day >= today:
        day -= timedelta(days=1)
    while release(period, day, "UTC").last_day < today:
        day += timedelta(days=1)
    return day


IsoPeriod = Annotated[Period, PlainValidator(_validated), PlainSerializer(str, return_type=str)]
"""A period in a policy file: a text such as ``P18M``."""


def release(period: Period, anchor: date | datetime, zone: str) -> Release:
    """Returns the end of a period that begins on a day, or at an aware instant, by its local day in ``zone``.

    Months clamp to the last day of a shorter one (29 February + 84 months = 28 February). A period ends with the end of
    its day.

    Raises:
        ValueError: an instant without offset, or an end beyond the year 9999
    """
    if isinstance(anchor, datetime):
        if anchor.tzinfo is None:
            raise ValueError("an instant must say its offset from UTC")
        anchor = anchor.astimezone(ZoneInfo(zone)).date()
    try:
        last = add_months(anchor, period.months) + timedelta(days=period.days)
        return Release(last, last + timedelta(days=1))
    except OverflowError:
        raise ValueError(f"{period} from {anchor} ends beyond the year 9999") from None
