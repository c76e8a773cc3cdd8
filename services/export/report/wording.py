"""Numbers, days, countries and contacts as the people of a language write them; pure."""

from dataclasses import dataclass
from datetime import date, datetime

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from babel.units import format_unit

from shared.domain.policy import Contact, Period


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one language, by its code (ISO 639)."""

    language: str

    def number(self, count: int) -> str:
        """A whole number."""
        return format_decimal(count, locale=self.language)

    def day(self, day: date) -> str:
        """A day, with the month in words."""
        return format_date(day, "long", locale=self.language)

    def moment(self, moment: datetime) -> str:
        """A moment in UTC, to the minute."""
        return f"{format_datetime(moment, 'medium', locale=self.language)} UTC"

    def period(self, period: Period) -> str:
        """A period in whole years where it is some, else in months and days."""
        years, months = divmod(period.months, 12) if period.months % 12 == 0 else (0, period.months)
        parts = ((years, "duration-year"), (months, "duration-month"), (period.days, "duration-day"))
        return " ".join(format_unit(count, unit, locale=self.language) for count, unit in parts if count)

    def country(self, code: str) -> str:
        """The name of a country (ISO 3166)."""
        return str(Locale.parse(self.language).territories.get(code, code))

    def contact(self, contact: Contact) -> str:
        """Every way in which somebody can be reached."""
        return ", ".join(each for each in (contact.email, contact.phone, *contact.address) if each)

    def filled(self, text: str, **values: object) -> str:
        """A text with its values, numbers as they are written."""
        written = {name: self.number(each) if isinstance(each, int) else each for name, each in values.items()}
        return text.format(**written)
