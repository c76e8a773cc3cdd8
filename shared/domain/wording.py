"""Sentences in words, in each language, with days, numbers and lists as that language writes them.

A language is a folder of ``shared/policy/languages``; days, numbers and lists are written as CLDR says, by Babel.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from functools import cache, cached_property, lru_cache
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal

from shared.domain.errors import Fault, Misconfigured
from shared.domain.languages import ENGLISH, LANGUAGE_LOCALES, LANGUAGES, LOCALES, WORDINGS, Language
from shared.domain.sentences import Fact, FactList, Lines, Sentence, Term
from shared.domain.toml_file import read_toml

_PLAIN = 1_000
"""Smaller numbers every language writes in the same way."""

Pattern = str | Mapping[str, str]
"""The words of a key, with ``{facts}``; or one for each plural form of the fact ``on``, else ``count``, by its name."""


class Wording:
    """One language, for a reader somewhere: what a day is follows from where they are."""

    def __init__(self, language: Language, patterns: Mapping[str, Pattern], zone: ZoneInfo) -> None:
        self.language = language
        self._locale = Locale.parse(LOCALES[language])
        self._patterns = patterns
        self._zone = zone
        self._first = LANGUAGE_LOCALES[language].first_of_a_month

    def __contains__(self, key: str) -> bool:
        return key in self._patterns

    def day(self, at: datetime) -> str:
        """The day of an instant, where the reader is."""
        return _day(at.astimezone(self._zone).date(), self._locale, self._first)

    def text(self, fact: Fact) -> str:
        """A fact, a sentence, or several, in words.

        Raises:
            KeyError: no catalogue has that key, or a fact of its words is not given.
        """
        match fact:
            case str():
                words = fact
            case Sentence(key, facts):
                # most facts are text, which is shown as it is
                shown = {name: each if type(each) is str else self.text(each) for name, each in facts.items()}
                words = self.words(key, shown, facts)
            case int():
                words = str(fact) if 0 <= fact < _PLAIN else str(format_decimal(fact, locale=self._locale))
            case datetime():
                words = self.day(fact)
            case date():
                words = _day(fact, self._locale, self._first)
            case Term(family, word):
                words = self._term(family, word)
            case FactList(facts, final):
                names = list(dict.fromkeys(map(self.text, facts)))  # two rules may rest on one article
                words = str(format_list(names, locale=self._locale)) if final else ", ".join(names)
            case _:
                words = " ".join(filter(None, map(self.text, fact)))
        return words

    def _term(self, family: str, word: str) -> str:
        known = self._patterns.get(f"{family}.{word}") or self._patterns.get(f"{family}.unlisted", "{word}")
        if not isinstance(known, str):
            return word
        return known.replace("{word}", _as_it_is(word)) if "{word}" in known else known

    def lines(self, lines: Lines) -> list[str]:
        """Returns each line in words."""
        return [self.text(each) for each in lines.sentences]

    def words(self, key: str, shown: Mapping[str, str], facts: Mapping[str, Fact] = {}) -> str:
        """The words of a key with facts that have words already; ``facts`` has the number that the plural follows."""
        pattern = self._patterns[key]
        if not isinstance(pattern, str):
            number = facts[pattern.get("on", "count")]
            form = self._locale.plural_form(number) if isinstance(number, int) else "other"
            pattern = pattern.get(form, pattern["other"])
        return pattern.format_map(shown)


class Wordings:
    """Returns all languages."""

    def __init__(self, catalogues: Mapping[Language, Mapping[str, Pattern]]) -> None:
        self._catalogues = catalogues
        self._read: dict[tuple[Language, str], Wording] = {}

    def of(self, language: Language, zone: str) -> Wording:
        """Returns the language for a reader in that zone (IANA)."""
        known = self._read.get((language, zone))
        if known is None:
            known = self._read[language, zone] = Wording(language, self._catalogues[language], ZoneInfo(zone))
        return known

    def with_terms(self, terms: Mapping[str, Mapping[Language, str]]) -> "Wordings":
        """Returns these wordings with additional terms."""
        catalogues = self._catalogues.items()
        return Wordings(
            {lang: {**known, **{key: terms_of[lang] for key, terms_of in terms.items()}} for lang, known in catalogues}
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """Returns the keys, equal in all languages."""
        return frozenset(self._catalogues[ENGLISH])


@cache
def read_wordings(folder: Path = WORDINGS) -> Wordings:
    """The words of each language: of the files in its ``words`` the tables of keys.

    Raises:
        Misconfigured: a file cannot be read, or a key has not every language, or not the same facts in each.
    """
    catalogues = {language: dict(_words(folder / language / "words")) for language in LANGUAGES}
    english = catalogues[ENGLISH]
    if not english:
        raise Misconfigured(Fault("holds no words: name the folder that has them", str(folder)))
    faults = [
        Fault(wrong, str(folder / language / "words"), place=key)
        for language, catalogue in catalogues.items()
        for key in {**english, **catalogue}
        for wrong in _wrong(language, catalogue.get(key), english.get(key))
    ]
    if faults:
        raise Misconfigured(*faults)
    return Wordings(catalogues)


def _words(folder: Path) -> Iterator[tuple[str, Pattern]]:
    for file in sorted(folder.glob("*.toml")):
        yield from _keys(read_toml(file, dict[str, Any]))


def _keys(table: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Pattern]]:
    for name, value in table.items():
        if isinstance(value, str) or "on" in value or "one" in value:
            yield f"{at}{name}", value
        else:
            yield from _keys(value, f"{at}{name}.")


def _wrong(language: Language, pattern: Pattern | None, english: Pattern | None) -> Iterator[str]:
    if not pattern or not english:
        yield f"is missing in {language if english else ENGLISH}; write it, or delete it everywhere"
        return
    if differs := sorted(_facts(pattern) ^ _facts(english)):
        named = ", ".join(f"{{{name}}}" for name in differs)
        yield f"{language} has other facts than {ENGLISH}; write or delete {named}"
    forms = _plural_forms(language)
    if not isinstance(pattern, str) and ("other" not in pattern or pattern.keys() - forms):
        yield f"{language} has other plural forms than the language; write {', '.join(sorted(forms - {'on'}))}"


@cache
def _plural_forms(language: Language) -> frozenset[str]:
    return frozenset({*Locale.parse(LOCALES[language]).plural_form.tags, "other", "on"})


def _facts(pattern: Pattern) -> set[str]:
    texts = [pattern] if isinstance(pattern, str) else [text for form, text in pattern.items() if form != "on"]
    return {name for text in texts for _, name, _, _ in Formatter().parse(text) if name is not None}


@lru_cache(maxsize=2_000)
def _day(day: date, locale: Locale, first: str | None) -> str:
    written = str(format_date(day, "long", locale))
    return first + written.removeprefix("1") if first and day.day == 1 else written


def _as_it_is(word: str) -> str:
    return (word.lower() if word.isupper() else word).replace("_", " ")
