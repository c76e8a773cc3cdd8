"""Holds sentences before they have words: a key and its facts, without language or template; pure.

``shared.domain.wording`` has the words of every key in every language.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, or a part of one: the key of its text, as ``answer.closed``, and the facts in it."""

    key: str
    facts: Mapping[str, "Fact"]


@dataclass(frozen=True, slots=True)
class Term:
    """A word that a policy or a downstream uses, as a category; read in words where the catalogue has it.

    ``family``: the table of the catalogue, as ``category``. A word that it does not have is shown as it is.
    """

    family: str
    word: str


@dataclass(frozen=True, slots=True)
class FactList:
    """Several facts of one kind, read as a list: ``a, b and c``; without ``final``, ``a, b, c``."""

    facts: tuple["Fact", ...]
    final: bool = True


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences that are shown on separate lines."""

    sentences: tuple[Sentence, ...] = ()


Sentences = tuple[Sentence, ...]
"""Sentences that are read one after the other."""

Fact = str | int | date | Sentence | Term | FactList | Sentences
"""A value in a sentence: text as written; days and numbers in the form of the language; an instant as the reader's day.
"""


def say(key: str, **facts: Fact) -> Sentence:
    """The sentence of that key with these facts."""
    return Sentence(key, facts)


def fact_list(names: Iterable[str]) -> FactList:
    """Names in their order, once each: ``a, b and c``."""
    return FactList(tuple(sorted(set(names))))


def named_system(name: str) -> Term:
    """Returns the term for a system, as the policy names it to people."""
    return Term("system", name)


def named_systems(names: Iterable[str]) -> FactList:
    """Several of them, in the order of their names, once each."""
    return FactList(tuple(map(named_system, sorted(set(names)))))


def article(of_the_gdpr: str) -> Sentence:
    """An article of the GDPR, as ``12(5)(b)``, in the way in which each language cites it; stands after ``Art.``."""
    number, *parts = re.findall(r"[0-9a-z]+", of_the_gdpr)
    match parts:
        case [paragraph, point]:
            return say("article.point", number=number, paragraph=paragraph, point=point)
        case [point] if point.isalpha():
            return say("article.point_alone", number=number, point=point)
        case [paragraph]:
            return say("article.paragraph", number=number, paragraph=paragraph)
        case _:
            return say("article.plain", number=number)


def dump(fields: object) -> bytes:
    """Returns facts as JSON, from which ``load`` restores them; it distinguishes days from text."""
    return orjson.dumps(fields, default=_day, option=orjson.OPT_PASSTHROUGH_DATETIME)


def load(field: Any) -> Fact | Lines:
    """A fact from its JSON, which ``dump`` has made and ``orjson.loads`` has read."""
    fact: Any
    match field:
        case {"key": str(key), "facts": facts}:
            fact = Sentence(key, {name: load(each) for name, each in facts.items()})  # type: ignore[misc]  # no Lines
        case {"facts": facts, "final": final}:
            fact = FactList(tuple(map(load, facts)), final)  # type: ignore[arg-type]
        case {"family": family, "word": word}:
            fact = Term(family, word)
        case {"sentences": sentences}:
            fact = Lines(tuple(map(load, sentences)))  # type: ignore[arg-type]
        case {"instant": instant}:
            fact = datetime.fromisoformat(instant)
        case {"day": day}:
            fact = date.fromisoformat(day)
        case [*sentences]:
            fact = tuple(map(load, sentences))
        case str() | int():
            fact = field
        case _:
            raise ValueError(f"no fact: {type(field).__name__}")
    return fact  # type: ignore[no-any-return]


def _day(value: object) -> Mapping[str, str]:
    match value:
        case datetime():
            return {"instant": value.isoformat()}
        case date():
            return {"day": value.isoformat()}
        case _:
            raise TypeError(type(value).__name__)
