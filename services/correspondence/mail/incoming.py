"""Reads a mail: who it says it is from, when it reached us, what it answers or reports, and every readable part; pure.

Nothing in it proves anything: not its sender, not its day. When it came follows from the line that our own mail
exchanger has put on top of it, or else from the mailbox. It is read without the structured headers of the standard
library, whose time grows with the square of a header; ``parser_process`` bounds how long a mail takes.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.utils import parsedate_to_datetime
from uuid import UUID

import flufl.bounce
import puremagic

from services.correspondence.mail import headers, readable
from services.correspondence.mail.proposal import mail_policy, propose
from shared.domain import notices as tokens
from shared.domain.mail_content import (
    Incoming,
    MailAttachment,
    MailContent,
    MailKind,
    MailPart,
    OurMail,
    digest_of_body,
)

_ENVELOPE = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_SAME = ("From", "To", "Cc", "Date", "Subject", "Message-ID")
"""Returns a hash that two copies of one mail share, whatever servers add on the way."""
_BY = re.compile(r"\bby\s+([A-Za-z0-9.-]+)")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_READABLE = frozenset({"text", "message", "multipart"})
_WORD = re.compile(r"\w+")
_FOLDER = re.compile(r"^.*[/\\]")
_LONGEST, _LONGEST_IN_ALL, _PARTS, _DEEP, _OTHERS = 20_000, 100_000, 50, 20, 5
"""Limits of a mail: characters of a part and in all, parts, nesting, addresses."""


def read(raw: bytes, arrived_at: datetime, own_addresses: OurMail, body: bytes | None = None) -> Incoming:
    """Reads a mail; ``arrived_at``: when the mailbox says that it came.

    ``body``: the digest of its whole body, where ``raw`` is only the beginning.
    """
    mail = message_from_bytes(raw)
    sent_at = _by_our_exchanger(mail, own_addresses)
    known_at = sent_at if sent_at and sent_at <= arrived_at else None
    (sender, name), *others = [*headers.senders(mail, own_addresses.addresses).items()] or [("", "")]
    kind, letters = _reported(mail, raw, own_addresses) or _kind(mail, own_addresses)
    checks, authenticated = headers.checked(mail, own_addresses.exchangers)
    found = _Read(mail)
    text, quoted = readable.own(found.said)
    subject = headers.header(mail, "Subject")[: headers.LINE]
    answers = bool(quoted or headers.raw(mail, "In-Reply-To"))  # then the subject is another's
    words = text if answers else f"{subject}\n\n{text}"
    of_others = bool(quoted) and kind is not MailKind.REPLY and not _is_to(quoted, own_addresses)
    forwards = found.forwards or _is_of(sender, own_addresses) or of_others
    content = MailContent(
        message_id=headers.cleaned(headers.raw(mail, "Message-ID"))[: headers.LINE],
        sender=sender,
        name=name,
        subject=subject,
        other_addresses=[address for address, _ in others[:_OTHERS]],
        checks=checks,
        authenticated=authenticated,
        parts=found.parts,
        attachments=found.attachments,
        language=readable.language(text),
        cut=body is not None or found.cut,
    )
    content = replace(content, proposal=propose(content, words, mail_policy(), forwards=forwards))
    digest = _digest(mail, body or digest_of_body(raw), own_addresses.secret)
    return Incoming(kind, digest, known_at or arrived_at, known_at is not None, letters, content)


def _is_of(sender: str, own_addresses: OurMail) -> bool:
    """Returns whether a colleague sent it, who forwards mails of others."""
    return sender.rpartition("@")[2] in {each.rpartition("@")[2] for each in own_addresses.addresses}


def _is_to(quoted: str, own_addresses: OurMail) -> bool:
    """Returns whether the quoted mail was to us or from us."""
    return not own_addresses.addresses.isdisjoint(each.lower() for each in _ADDRESS.findall(quoted))


def _reported(mail: Message, raw: bytes, own_addresses: OurMail) -> tuple[MailKind, tuple[UUID, ...]] | None:
    """Returns what a report says of which letters; None for any other mail, and for one with a sender."""
    returned = _returned(mail, own_addresses)
    if not returned and mail.get_content_type() != "multipart/report":
        return None
    letters = returned or tuple(tokens.letters_in(own_addresses.secret, raw.decode("ascii", "replace")))
    failed = _failed(mail) if letters else None
    if failed is None:
        return None
    if not failed:
        return MailKind.DELAYED, letters
    # A report has no envelope sender (RFC 3464, 2), as our server has noted.
    return MailKind.BOUNCE if headers.raw(mail, "Return-Path").strip() == "<>" else MailKind.REPLY, letters


def _returned(mail: Message, own_addresses: OurMail) -> tuple[UUID, ...]:
    """Returns the letters by whose return path the mail came."""
    to = " ".join(headers.raw(mail, name) for name in _ENVELOPE)
    return tuple(tokens.letters_in(own_addresses.secret, to))


def _kind(mail: Message, own_addresses: OurMail) -> tuple[MailKind, tuple[UUID, ...]]:
    returned = any(tokens.letters_in(own_addresses.secret, headers.raw(mail, "Message-ID")))
    if returned and headers.author(mail) in own_addresses.addresses:
        return MailKind.OURS, ()
    answered = " ".join(headers.raw(mail, name) for name in ("In-Reply-To", "References"))
    letters = tuple(tokens.letters_in(own_addresses.secret, answered)) or _returned(mail, own_addresses)
    return (MailKind.REPLY, letters) if letters else (MailKind.PROPOSED, ())


def _failed(mail: Message) -> bool | None:
    """Returns whether a report is final; None if it is none. A delay is no failure: servers retry for days."""
    try:
        temporary, permanent = flufl.bounce.all_failures(mail)
    except headers.UNREADABLE:
        return None
    return bool(permanent) if permanent or temporary else None


def _by_our_exchanger(mail: Message, own_addresses: OurMail) -> datetime | None:
    """Returns when our mail exchanger took it, by the topmost line that names it: senders can forge those below."""
    for line in headers.all_of(mail, "Received"):
        by = _BY.search(line)
        if by and by[1].lower().rstrip(".") in own_addresses.exchangers:
            try:
                at = parsedate_to_datetime(line.rpartition(";")[2].strip())
                return at.astimezone(UTC) if at.tzinfo else None
            except headers.UNREADABLE:
                return None
    return None


def _leaves(mail: Message, deep: int = 0, within: Message | None = None) -> Iterator[tuple[Message | None, Message]]:
    """Yields each part that is no container, with its forwarded mail; that mail comes first."""
    inside = mail.get_payload() if mail.is_multipart() else None
    nested = [each for each in inside if isinstance(each, Message)] if isinstance(inside, list) else []
    if not nested or deep > _DEEP or mail.get_content_maintype() not in {"multipart", "message"}:
        yield within, mail
    elif mail.get_content_type() == "message/rfc822":
        yield nested[0], mail
        yield from _leaves(nested[0], deep + 1, nested[0])
    elif mail.get_content_maintype() == "message":  # a report, of headers alone
        yield within, mail
    else:
        for each in nested:
            yield from _leaves(each, deep + 1, within)


class _Read:
    """Collects the readable parts and files of a mail, and the visible words of its body."""

    def __init__(self, mail: Message) -> None:
        self.parts: list[MailPart] = []
        self.attachments: list[MailAttachment] = []
        self.forwards = False
        self.cut = False
        self._room = _LONGEST_IN_ALL
        self._plain, self._html, self._hides, self._sure = "", "", False, True
        for place, (forwarded, part) in enumerate(_leaves(mail)):
            if place == _PARTS or not self._room:
                self.cut = True
                return
            self._take(forwarded, part)

    @property
    def said(self) -> str:
        """Returns the visible words of the body; text hidden in HTML may appear in the plain text."""
        return "" if not self._sure else self._html if self._hides else self._plain or self._html

    def _take(self, forwarded: Message | None, part: Message) -> None:
        kind, name = part.get_content_type(), _named(part)
        if kind == "message/rfc822" and forwarded:
            self.forwards = True
            known = ((each, headers.header(forwarded, each)) for each in ("From", "To", "Date", "Subject"))
            head = "\n".join(f"{name}: {value}" for name, value in known if value)
            self._add(MailPart("forwarded", headers.header(forwarded, "Subject"), head))
            return
        data = _data(part)
        text = readable.decoded(data, part.get_content_charset()) if kind.partition("/")[0] in _READABLE else ""
        page = readable.page(text) if kind == "text/html" else None
        text = headers.characters((page.text if page else text)[:_LONGEST]).strip()
        attached = headers.raw(part, "Content-Disposition").lower().startswith("attachment")
        if name or attached or kind not in {"text/plain", "text/html"}:
            self.attachments.append(MailAttachment(name, _typed(data), len(data)))
            self._add(MailPart("file", name or kind, text))
        elif forwarded:
            self._add(MailPart("forwarded", headers.header(forwarded, "Subject"), text))
        elif page:
            self._html += f"\n\n{text}"
            self._hides, self._sure = self._hides or page.hides, self._sure and page.sure
            if not {*_WORD.findall(text)} <= {*_WORD.findall(self._plain)}:
                self._add(MailPart("html" if self._plain else "text", "", text))
        else:
            self._plain += f"\n\n{text}" if text else ""
            self._add(MailPart("text", "", text))

    def _add(self, part: MailPart) -> None:
        shown = replace(part, title=part.title[: headers.LINE], text=part.text[: self._room])
        self._room -= len(shown.text)
        self.parts += [shown] if shown.text else []


def _data(part: Message) -> bytes:
    if part.is_multipart():
        return part.as_bytes()
    try:
        content = part.get_payload(decode=True)
    except headers.UNREADABLE:
        content = None
    return content if isinstance(content, bytes) else b""


def _named(part: Message) -> str:
    try:
        name = headers.cleaned(headers.plain((part.get_filename() or "")[: headers.LONGEST]))
        return _FOLDER.sub("", name)[: headers.NAME]
    except headers.UNREADABLE:
        return ""


def _typed(data: bytes) -> str:
    try:
        return puremagic.from_string(data, mime=True) or "application/octet-stream"
    except (puremagic.PureError, ValueError):
        return "text/plain" if data and b"\0" not in data else "application/octet-stream"


def _digest(mail: Message, body: bytes, secret: bytes) -> bytes:
    """Returns a keyed digest that is equal for copies of one mail."""
    text = "\n".join(f"{name}: {headers.raw(mail, name)}" for name in _SAME)
    return hmac.digest(secret, b"mail\0" + text.encode("utf-8", "surrogateescape") + b"\0" + body, "sha256")
