"""Headers of a mail as people and machines send them: each in one line, no longer than is looked at; pure.

They are read without the structured headers of the standard library, whose time grows with the square of a header.
"""

import re
from collections.abc import Collection, Mapping
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses
from typing import Final

from services.correspondence.mail.readable import decoded

LONGEST: Final = 4_096
"""The longest part of a header that is read, in characters."""
NAME: Final = 120
LINE: Final = 300
UNREADABLE = (MessageError, ValueError, LookupError, AttributeError, TypeError, OverflowError, RecursionError)
"""Errors that the standard library raises for malformed mail."""
_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction in which a text is shown."""
_ASIDE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)')
_CHECK: Final = re.compile(r"\s*(spf|dkim|dmarc)\s*=\s*([a-z]+)", re.IGNORECASE)
_SIGNED_BY: Final = re.compile(r"\bheader\.[di]\s*=\s*\S*?([a-z0-9.-]+)(?=[\s;]|$)", re.IGNORECASE)


def senders(mail: Message, own_addresses: Collection[str]) -> dict[str, str]:
    """Returns the addresses in ``From`` and ``Reply-To``, with their names; never one of our addresses.

    The first is whom it says it is from: our own form says in ``Reply-To`` who has filled it in.
    """
    found: dict[str, str] = {}
    for line in (*all_of(mail, "From"), *all_of(mail, "Reply-To")):
        for name, address in _all(line):
            if address and address not in own_addresses:
                found.setdefault(address, name)
    return found


def checked(mail: Message, exchangers: Collection[str]) -> tuple[Mapping[str, str], bool]:
    """Results of SPF, DKIM and DMARC, and whether they vouch for the domain in ``From``.

    Only the topmost ``Authentication-Results`` counts, and only if one of our exchangers has written it (RFC 8601).
    """
    value = raw(mail, "Authentication-Results")
    while (without := _ASIDE.sub(" ", value)) != value:
        value = without
    server, *results = value.split(";")
    if '"' in value or "(" in value or server.partition(" ")[0].lower() not in exchangers:
        return {}, False
    found: dict[str, str] = {}
    domain = author(mail).rpartition("@")[2]
    signed = False
    for each in results:
        if check := _CHECK.match(each):
            name, result = check[1].lower(), check[2].lower()
            found[name] = "pass" if found.get(name) == "pass" else result
            by = _SIGNED_BY.search(each) if (name, result) == ("dkim", "pass") else None
            signed = signed or (by is not None and f".{domain}".endswith(f".{by[1].lower()}"))
    return found, found["dmarc"] == "pass" if "dmarc" in found else signed


def author(mail: Message) -> str:
    """Returns the first address in ``From``."""
    return next((address for _, address in _all(raw(mail, "From"))), "")


def _all(header: str) -> list[tuple[str, str]]:
    try:
        found = getaddresses([header])
    except UNREADABLE:
        found = []
    return [(cleaned(plain(name))[:NAME], cleaned(address).lower()[:LINE]) for name, address in found]


def all_of(mail: Message, name: str) -> list[str]:
    """Returns the raw headers of a name, each in one line and shortened."""
    found = (value for each, value in mail.raw_items() if each.lower() == name.lower())
    return [" ".join(str(value)[:LONGEST].split()) for value in found]


def raw(mail: Message, name: str) -> str:
    """Returns the first raw header of a name, or an empty text."""
    return next(iter(all_of(mail, name)), "")


def header(mail: Message, name: str) -> str:
    """Returns the first header of a name, decoded."""
    return cleaned(plain(raw(mail, name)))


def plain(text: str) -> str:
    """Decodes encoded words (RFC 2047) of any character set."""
    value = text.encode("utf-8", "surrogateescape")
    if b"=?" not in value:
        return decoded(value, None)
    try:
        return "".join(decoded(p, known) if isinstance(p, bytes) else p for p, known in decode_header(text))
    except UNREADABLE:
        return text


def cleaned(text: str) -> str:
    """Returns the text in one line, without invisible characters."""
    return " ".join(characters(text).split())


def characters(text: str) -> str:
    """Removes control characters and invalid characters."""
    return _UNSEEN.sub("", text.encode("utf-8", "replace").decode("utf-8"))
