"""Carries a letter between intake and correspondence: facts as intake seals them, then text; pure.

Both are JSON under the key of the request. Correspondence puts the text in the place of the facts when it renders them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from shared.domain.plain_text import text_of
from shared.domain.sentences import Fact, Lines, dump, load
from shared.domain.wording import Language

_ADDRESS = re.compile(r"(?:[^<>]*<)?([^<>\s@,]+@[^<>\s@,]+\.[^<>\s@,]+)>?")
Field = Fact | Lines
"""A field of a template."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Describes who reads a letter: language, zone (IANA), and country (ISO 3166) where it is known.

    ``instructed``: a customer, who reads of an instruction about a person. ``outside``: a customer or recipient, whom
    no letter to a data subject goes to.
    """

    language: Language
    zone: str
    country: str | None
    instructed: bool = False
    outside: bool = False


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """Holds what a letter needs to be rendered; ``to``: where it goes, if it is known when it is written.

    ``people``: what a digest says of each person.
    """

    kind: str
    reader: Reader
    fields: Mapping[str, Field]
    written_on: datetime
    to: str | None = None
    people: Sequence[Mapping[str, Field]] = ()


@dataclass(frozen=True, slots=True)
class NoticeText:
    """Holds a letter as it is sent, printed or read."""

    language: Language
    subject: str
    html: str
    to: str | None = None

    @property
    def body(self) -> str:
        """Returns its plain text."""
        return text_of(self.html)


def seal_facts(notice: NoticeFacts) -> bytes:
    """Returns the JSON of the facts."""
    to = {"to": notice.to} if notice.to else {}
    known = {"kind": notice.kind, "reader": notice.reader, "fields": notice.fields, "written_on": notice.written_on}
    people = {"people": notice.people} if notice.people else {}
    return dump({**known, **to, **people})


def seal_text(text: NoticeText) -> bytes:
    """Returns the JSON of the text."""
    return orjson.dumps(text)


def opened(content: bytes) -> NoticeFacts | NoticeText:
    """Returns what was sealed; raises ``ValueError``, ``KeyError`` or ``TypeError`` for anything else."""
    known: dict[str, Any] = orjson.loads(content)
    if "html" in known:
        return NoticeText(**known)
    fields, *people = (
        {name: load(each) for name, each in some.items()} for some in (known["fields"], *known.get("people", ()))
    )
    written_on = datetime.fromisoformat(known["written_on"]["instant"])
    return NoticeFacts(known["kind"], Reader(**known["reader"]), fields, written_on, known.get("to"), people)


def addressed(content: bytes, to: str) -> bytes:
    """Returns sealed facts or text with another address."""
    return orjson.dumps({**orjson.loads(content), "to": to})


def address_of(content: bytes) -> str | None:
    """Returns where sealed facts or text go, if they say it."""
    to: str | None = orjson.loads(content).get("to")
    return to


def address_in(to: str) -> str | None:
    """Returns the e-mail address in ``to``: bare, or after a name in angle brackets; None if it has none."""
    found = _ADDRESS.fullmatch(to.strip())
    return found[1] if found else None
