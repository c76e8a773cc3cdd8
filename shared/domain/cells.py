"""Formats a record for people: times and numbers in their language, codes in words; pure.

Files of a package keep the values of the systems. A correction may name a value in either form.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import orjson
from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from pydantic import BaseModel, ConfigDict, JsonValue

from shared.domain.languages import ENGLISH, LANGUAGES, LOCALES, Language, report_of
from shared.domain.release import WITHHELD
from shared.domain.toml_file import read_toml

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)")
"""A moment with its zone (RFC 3339); one without stays as written, since its instant is unknown."""
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_ENCODED: Final = "content_base64"


class CellWords(BaseModel):
    """The words of values in one language: ``page`` for yes, no and “withheld”, ``values`` for codes, by field.

    ``fields``: default meanings of fields, by name; ``columns``: headings.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    page: Mapping[str, str]
    values: Mapping[str, Mapping[str, str]]
    fields: Mapping[str, str]
    columns: Mapping[str, str]


class Cells:
    """Values in one language, with times of one zone (IANA)."""

    def __init__(self, words: CellWords, language: Language, zone: str) -> None:
        self._words, self._locale, self._there = words, LOCALES[language], ZoneInfo(zone)

    def shown(self, column: str, value: JsonValue) -> str:
        """A value of a column that is called so."""
        match value:
            case None | bool():
                return "" if value is None else self._words.page["yes" if value else "no"]
            case float():
                return number(value, self._locale) if value % 1 else str(int(value))
            case str():
                return self._text(column, value)
            case list() if not any(isinstance(each, dict | list) for each in value):
                return ", ".join(self.shown(column, each) for each in value)
            case dict():
                return "; ".join(f"{self._words.columns.get(k, k)}: {self.shown(k, each)}" for k, each in value.items())
            case _:
                return orjson.dumps(value).decode()

    def _text(self, column: str, text: str) -> str:
        if column == _ENCODED:
            return self._words.page["encoded"]
        if text == WITHHELD:
            return self._words.page["untold"]
        if (words := self._words.values.get(column, {}).get(text)) is not None:
            return words
        if column == "country" and _COUNTRY.fullmatch(text):
            return country(text, self._locale)
        when = _when(text)
        try:
            return text if when is None else short(when, self._locale, self._there)
        except OverflowError:  # there is no such day in that zone
            return text


def means(column: str, value: JsonValue, quoted_value: str | float, zone: str) -> bool:
    """Whether a quoted value means this value of a column.

    It may be quoted from a file of the package, or from the report in any language, with times in that zone.
    """
    if value == quoted_value or str(value) == str(quoted_value):
        return True
    if not isinstance(quoted_value, str):
        return False
    quoted, when = " ".join(quoted_value.split()), _when(value) if isinstance(value, str) else None
    if isinstance(when, datetime):
        named = _when(quoted_value.strip())
        if isinstance(named, datetime) or not _is_in(when, quoted, zone):
            return named == when
    return any(quoted == " ".join(_cells(language, zone).shown(column, value).split()) for language in LANGUAGES)


def _is_in(when: datetime, text: str, zone: str) -> bool:
    """Returns whether a text has the minutes and seconds of a time; a fast check that most records fail."""
    try:
        return f"{when.astimezone(ZoneInfo(zone)):%M:%S}" in text
    except OverflowError:
        return False


@cache
def meant_by_name() -> frozenset[str]:
    """Returns the names of fields with a default meaning; others need an explanation in the system's declaration."""
    return frozenset(read_toml(report_of(ENGLISH), CellWords).fields)


@cache
def _cells(language: Language, zone: str) -> Cells:
    return Cells(read_toml(report_of(language), CellWords), language, zone)


def short(when: date, locale: str, zone: ZoneInfo) -> str:
    """Formats a day, or a moment to the second, for a table."""
    if isinstance(when, datetime):
        return str(format_datetime(when, "medium", tzinfo=zone, locale=locale))
    return str(format_date(when, "medium", locale=locale))


def number(count: float, locale: str) -> str:
    """A number."""
    return str(format_decimal(count, locale=locale))


def country(code: str, locale: str) -> str:
    """The name of a country (ISO 3166)."""
    return str(Locale.parse(locale).territories.get(code, code))


def _when(text: str) -> date | None:
    """The day or the moment that a text is, if it is one."""
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text)
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None
