"""Words a report in one language: texts of ``report.toml``, the policy's own words, numbers, days and places; pure.

What the company has worded itself stands in its own words in every language.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location
from babel.units import format_unit
from pydantic import ConfigDict

from shared.domain.cells import CellWords, country, number
from shared.domain.languages import ENGLISH, LANGUAGES, LOCALES, Language, report_of
from shared.domain.policy import Contact, Period, Policy, says_as_shipped
from shared.domain.policy.parties import name_in
from shared.domain.sentences import Term
from shared.domain.toml_file import read_toml
from shared.domain.wording import Wording as LettersWording
from shared.domain.wording import read_wordings

_PARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+")
_UTC: Final = "UTC"


class Texts(CellWords):
    """The texts of one language; every language has the same keys.

    ``items``: the questions of the checklist; ``details``: the parts of an event that are shown; ``codes``: their
    codes; ``fields``: what fields mean that no dataset explains; ``columns``: their headings. ``purposes``,
    ``categories``, ``ceilings``: the policy as shipped, where English is not its language; ``meanings``: the datasets
    as shipped, by their words; ``values``: codes in records, by field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: Mapping[str, str]
    answers: Mapping[str, str]
    bases: Mapping[str, str]
    roles: Mapping[str, str]
    recipients: Mapping[str, str]
    safeguards: Mapping[str, str]
    sources: Mapping[str, str]
    anchors: Mapping[str, str]
    reasons: Mapping[str, str]
    types: Mapping[str, str]
    events: Mapping[str, str]
    details: Mapping[str, str]
    codes: Mapping[str, str]
    fields: Mapping[str, str]
    columns: Mapping[str, str]
    readme: Mapping[str, str]
    meanings: Mapping[str, str] = {}
    purposes: Mapping[str, str] = {}
    categories: Mapping[str, str] = {}
    ceilings: Mapping[str, str] = {}

    def meaning(self, said: str | None, name: str) -> str | None:
        """Returns what a field means, as its dataset says (``said``) or by its name; None if neither does."""
        return self.meanings.get(said, said) if said else self.fields.get(name)

    def label(self, said: str | None, name: str) -> str:
        """Returns the heading of a field: ours, else its meaning, else a readable form of its name."""
        words = _PARTS.sub(" ", name).strip().lower()
        ours = self.columns.get(said or "") or self.columns.get(words.replace(" ", "_"))
        label = ours or self.meaning(said, name) or words
        return label[:1].upper() + label[1:]


@cache
def texts_of(language: str) -> Texts:
    """Returns the texts of a language, else of English; raises ``Misconfigured`` if the file cannot be used."""
    return read_toml(report_of(language if language in LANGUAGES else ENGLISH), Texts)


@dataclass(frozen=True)
class ReportWords:
    """Words a policy in one language (else English), with times in one zone (IANA)."""

    policy: Policy
    asked_language: str
    zone: str = _UTC

    @cached_property
    def language(self) -> Language:
        """Returns the language of the words."""
        return next((each for each in LANGUAGES if each == self.asked_language), ENGLISH)

    @cached_property
    def texts(self) -> Texts:
        """Returns the texts of the language."""
        return texts_of(self.language)

    @property
    def _locale(self) -> str:
        return LOCALES[self.language]

    @cached_property
    def _known(self) -> LettersWording:
        return read_wordings().of(self.language, _UTC)

    @cached_property
    def place(self) -> str:
        """Returns the city that names the time zone."""
        if self.zone == _UTC:
            return self.zone
        return str(get_timezone_location(self.zone, locale=self._locale, return_city=True))

    def number(self, count: float) -> str:
        """Returns a number."""
        return number(count, self._locale)

    def day(self, day: date) -> str:
        """Returns a day as letters write it."""
        return self._known.text(day)

    def moment(self, moment: datetime) -> str:
        """Returns a moment to the minute, with its zone if that is UTC."""
        there = moment.astimezone(ZoneInfo(self.zone))
        return f"{self.day(there.date())}, {there:%H:%M}" + (f" {_UTC}" if self.zone == _UTC else "")

    def period(self, period: Period) -> str:
        """Returns a period in whole years if it is some, else in months and days."""
        years, months = divmod(period.months, 12) if period.months % 12 == 0 else (0, period.months)
        parts = ((years, "duration-year"), (months, "duration-month"), (period.days, "duration-day"))
        return " ".join(format_unit(count, unit, locale=self._locale) for count, unit in parts if count)

    def country(self, code: str) -> str:
        """Returns the name of a country (ISO 3166)."""
        return country(code, self._locale)

    def contact(self, contact: Contact) -> str:
        """Returns all contact details."""
        return ", ".join(each for each in (contact.email, contact.phone, *contact.address) if each)

    def answer(self, key: str, /, **values: object) -> str:
        """Returns an answer of the report with its values."""
        return self.filled(self.texts.answers[key], **values)

    def filled(self, text: str, **values: object) -> str:
        """Returns a text with its values, numbers as the language writes them."""
        written = {name: self.number(each) if isinstance(each, int) else each for name, each in values.items()}
        return text.format(**written)

    def kind(self, held: str) -> str:
        """Returns the name of a kind of data."""
        return self._known.text(Term("category", held))

    def system(self, key: str) -> str:
        """Returns the name of a system."""
        called = self.policy.systems.get(key)
        return name_in(self.language, called) if called else key

    def systems(self, keys: Sequence[str]) -> str:
        """Returns the names of systems, separated by commas."""
        return ", ".join(map(self.system, keys))

    def filed(self, key: str) -> str:
        """Returns the name of a system with the key that the files of the package have."""
        called = self.system(key)
        return called if called == key else f"{called} ({key})"

    def category(self, held: str) -> str:
        """Returns what belongs to a category, or that the policy does not describe it."""
        name = self.policy.category_of(held)
        if name is None:
            return self.texts.page["undeclared"]
        words = self.policy.categories[name].words
        return self.texts.categories.get(name, words) if self._as_shipped("categories", name) else words

    def purpose(self, name: str) -> str:
        """Returns what data are processed for."""
        words = self.policy.purposes[name].words
        return self.texts.purposes.get(name, words) if self._as_shipped("purposes", name) else words

    def ceiling(self, name: str) -> str:
        """Returns when data go for everybody."""
        words = self.policy.ceilings[name].words
        return self.texts.ceilings.get(name, words) if self.says_how_long(name) else words

    def says_how_long(self, ceiling: str) -> bool:
        """Returns whether a ceiling has the shipped words, which name its period."""
        return self._as_shipped("ceilings", ceiling)

    def rule(self, name: str) -> str:
        """Returns why data are kept despite an erasure."""
        known = f"ground.{name}" in self._known and self._as_shipped("rules", name)
        return self._known.text(Term("ground", name)) if known else self.policy.rules[name].words

    def detail(self, name: str, value: object, decision: object = "extension") -> str:
        """Returns a detail of an event in words; an unknown code as it is. ``decision``: whose reason it is."""
        code = str(value)
        if name == "system":
            return self.system(code)
        if name == "due_on":
            return self.day(date.fromisoformat(code))
        if name == "purpose" and code in self.policy.purposes:
            return self.purpose(code)
        of_kind = {"kind": ("letter_named", code), "reason": (f"reason.{decision}", code)}
        family, word = of_kind.get(name, (name, code))
        if f"{family}.{word}" in self._known:
            return self._known.text(Term(family, word)).rstrip(".")
        return self.texts.codes.get(code, code)

    def _as_shipped(self, table: Literal["purposes", "categories", "rules", "ceilings"], name: str) -> bool:
        return says_as_shipped(self.policy, table, name)
