"""Numbers, days, times, countries and contacts as the people of a language write them; pure."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location
from babel.units import format_unit

from shared.domain.cells import country, number
from shared.domain.policy import Contact, Period
from shared.domain.wording import ENGLISH, LANGUAGES, LOCALES, Language, read_wordings

_UTC = "UTC"


def spoken(language: str) -> Language:
    """The language (ISO 639) where we have words in it, else English."""
    return next((each for each in LANGUAGES if each == language), ENGLISH)


@dataclass(frozen=True)
class Wording:
    """The words of one language, with numbers and days as letters in it have them, and times of one zone (IANA)."""

    language: Language
    zone: str = _UTC

    @property
    def _locale(self) -> str:
        return LOCALES[self.language]

    @cached_property
    def _there(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    @cached_property
    def place(self) -> str:
        """Whose times these are, as the city that names their zone."""
        return (
            self.zone if self.zone == _UTC else get_timezone_location(self.zone, locale=self._locale, return_city=True)
        )

    def number(self, count: float) -> str:
        """A number."""
        return number(count, self._locale)

    def day(self, day: date) -> str:
        """A day, as letters write it."""
        return read_wordings().of(self.language, _UTC).text(day)

    def moment(self, moment: datetime) -> str:
        """A moment, to the minute; that it is in UTC, where no other zone is known."""
        there = moment.astimezone(self._there)
        return f"{self.day(there.date())}, {there:%H:%M}" + (f" {_UTC}" if self.zone == _UTC else "")

    def period(self, period: Period) -> str:
        """A period in whole years where it is some, else in months and days."""
        years, months = divmod(period.months, 12) if period.months % 12 == 0 else (0, period.months)
        parts = ((years, "duration-year"), (months, "duration-month"), (period.days, "duration-day"))
        return " ".join(format_unit(count, unit, locale=self._locale) for count, unit in parts if count)

    def country(self, code: str) -> str:
        """The name of a country (ISO 3166)."""
        return country(code, self._locale)

    def contact(self, contact: Contact) -> str:
        """Every way in which somebody can be reached."""
        return ", ".join(each for each in (contact.email, contact.phone, *contact.address) if each)

    def filled(self, text: str, **values: object) -> str:
        """A text with its values, numbers as they are written."""
        written = {name: self.number(each) if isinstance(each, int) else each for name, each in values.items()}
        return text.format(**written)
