"""Carries a letter between intake and correspondence: facts as intake seals them, then text; pure.

Both are JSON under the key of the request. Correspondence puts the text in the place of the facts when it renders them.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import orjson

from shared.domain.languages import Language
from shared.domain.sentences import Fact, Lines, dump, load

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
    """Parses sealed content; raises ``ValueError``, ``KeyError`` or ``TypeError`` if it is malformed."""
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


_PARAGRAPHS = frozenset({"p", "h1", "ul"})
_UNREAD = frozenset({"head", "style"})
_BLANK = re.compile(r"[ \t\r\n]+")


def text_of(html: str) -> str:
    """Converts HTML to text: blank lines around paragraphs and lists, ``- `` before items; quoted text keeps lines."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "\n\n".join(reader.paragraphs) + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self._read: list[str] = []
        self._unread = 0
        self._as_written = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag in _PARAGRAPHS:
            self._read = []
            self._as_written = ("class", "own") in attrs
        elif tag == "br":
            self._read.append("\n")
        elif tag == "li":
            self._read.append("\n- " if self._read else "- ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread -= 1
        elif tag in _PARAGRAPHS and (text := "".join(self._read).strip()):
            self.paragraphs.append(text)
            self._read = []

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._read.append(data if self._as_written else _BLANK.sub(" ", data))


_SEAL_BYTES = 10
_TOKEN = re.compile(r"\bl([a-z2-7]{26})([a-z2-7]{16})\b", re.IGNORECASE)


def token(secret: bytes, letter_id: UUID) -> str:
    """43 letters and digits: they fit into the local part of an address, with which case does not count."""
    return f"l{_encoded(letter_id.bytes)}{_encoded(_seal(secret, letter_id))}"


def letters_in(secret: bytes, text: str) -> Iterator[UUID]:
    """Yields our letters whose valid tokens are in a text, each once."""
    seen = dict[UUID, None]()
    for found in _TOKEN.finditer(text):
        letter_id = UUID(bytes=base64.b32decode(f"{found[1].upper()}======"))
        if hmac.compare_digest(_encoded(_seal(secret, letter_id)), found[2].lower()):
            seen[letter_id] = None
    yield from seen


def _seal(secret: bytes, letter_id: UUID) -> bytes:
    return hmac.digest(secret, b"delivery\0" + letter_id.bytes, "sha256")[:_SEAL_BYTES]


def _encoded(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()
