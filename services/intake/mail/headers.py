"""Headers of a mail as people and machines send them: each in one line, no longer than is looked at; pure.

They are read without the structured headers of the standard library, whose time grows with the square of a header.
"""

from collections.abc import Collection
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Final

LONGEST: Final = 4_096
"""Characters of a header that are looked at."""
NAME: Final = 120
LINE: Final = 300
_BESIDES = 5
UNREADABLE = (MessageError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)
"""What the standard library raises at what people and machines send."""


def sender(mail: Message, ours: Collection[str]) -> tuple[str, str]:
    """Whom it says it is from, name and address; a form of our own says in ``Reply-To`` who has filled it in.

    Never an address of ours; none where nothing else is said.
    """
    name, author = _first(raw(mail, "From"))
    if author and author not in ours:
        return name, author
    name, wanted = _first(raw(mail, "Reply-To"))
    return (name, wanted) if wanted and wanted not in ours else ("", "")


def is_from(mail: Message, ours: Collection[str]) -> bool:
    """Whether ``From`` names one of our addresses first."""
    return _first(raw(mail, "From"))[1] in ours


def besides(mail: Message, ours: Collection[str]) -> tuple[str, ...]:
    """What other addresses it says it is from, or wants the answer at (``Reply-To``), than the one that we go by."""
    _, known = sender(mail, ours)
    named = [each for name in ("From", "Reply-To") for header in all_of(mail, name) for _, each in _all(header)]
    return tuple(each for each in dict.fromkeys(named) if each and each != known and each not in ours)[:_BESIDES]


def _first(header: str) -> tuple[str, str]:
    return next(iter(_all(header)), ("", ""))


def _all(header: str) -> list[tuple[str, str]]:
    try:
        found = getaddresses([header])
    except UNREADABLE:
        found = []
    return [(cleaned(decoded(name))[:NAME], cleaned(address).lower()[:LINE]) for name, address in found]


def all_of(mail: Message, name: str) -> list[str]:
    """The headers of that name as they came, each in one line and no longer than is looked at."""
    found = (value for each, value in mail.raw_items() if each.lower() == name.lower())
    return [" ".join(str(value)[:LONGEST].split()) for value in found]


def raw(mail: Message, name: str) -> str:
    """The first header of that name as it came; empty where there is none."""
    return next(iter(all_of(mail, name)), "")


def header(mail: Message, name: str) -> str:
    """The same as people read it."""
    return cleaned(decoded(raw(mail, name)))


def decoded(text: str) -> str:
    """Its encoded words (RFC 2047) in plain; bytes that should not be there are taken for UTF-8."""
    try:
        said = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return str(make_header(decode_header(said)))
    except UNREADABLE:
        return text


def cleaned(text: str) -> str:
    """In one line, without what is no character."""
    return " ".join(characters(text).split())


def characters(text: str) -> str:
    """Without what is no character."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")
