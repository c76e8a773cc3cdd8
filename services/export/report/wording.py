"""Numbers, days, countries and contacts as the people of a language write them; pure."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from babel import Locale
from babel.numbers import format_decimal
from babel.units import format_unit

from shared.domain.policy import Contact, Period
from shared.domain.wording import LOCALES, Language, read_wordings


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language, with numbers and days as letters in it have them."""

    language: Language

    @property
    def _locale(self) -> str:
        return LOCALES[self.language]

    def number(self, count: int) -> str:
        """A whole number."""
        return format_decimal(count, locale=self._locale)

    def day(self, day: date) -> str:
        """A day, as letters write it."""
        return read_wordings().of(self.language, "UTC").text(day)

    def moment(self, moment: datetime) -> str:
        """A moment in UTC, to the minute."""
        there = moment.astimezone(UTC)
        return f"{self.day(there.date())}, {there:%H:%M} UTC"

    def period(self, period: Period) -> str:
        """A period in whole years where it is some, else in months and days."""
        years, months = divmod(period.months, 12) if period.months % 12 == 0 else (0, period.months)
        parts = ((years, "duration-year"), (months, "duration-month"), (period.days, "duration-day"))
        return " ".join(format_unit(count, unit, locale=self._locale) for count, unit in parts if count)

    def country(self, code: str) -> str:
        """The name of a country (ISO 3166)."""
        return str(Locale.parse(self._locale).territories.get(code, code))

    def contact(self, contact: Contact) -> str:
        """Every way in which somebody can be reached."""
        return ", ".join(each for each in (contact.email, contact.phone, *contact.address) if each)

    def filled(self, text: str, **values: object) -> str:
        """A text with its values, numbers as they are written."""
        written = {name: self.number(each) if isinstance(each, int) else each for name, each in values.items()}
        return text.format(**written)
