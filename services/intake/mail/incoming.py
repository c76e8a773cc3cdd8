"""What a mail is: who it says it is from, when it reached us, what it answers or reports; pure.

Nothing in it proves anything: not its sender, not its day. When it came follows from the line that our own mail
exchanger has put on top of it, or else from the mailbox. It is read without the structured headers of the standard
library, whose time grows with the square of a header; how long a mail takes at most, ``apart`` sees to.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.utils import parsedate_to_datetime
from enum import StrEnum
from html.parser import HTMLParser
from itertools import islice
from uuid import UUID

import flufl.bounce
import puremagic

from services.intake.mail import headers
from shared.domain import notice_tokens as tokens

_UNREAD = frozenset({"head", "style", "script", "title", "template"})
_BREAKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "blockquote"})


def plain(html: str) -> str:
    """Its words, a line for each paragraph."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.read).splitlines())
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.read: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNREAD:
            self._unread += 1
        elif tag == "body" or tag in _BREAKS:  # what begins a head need not say where it ends
            self._unread = 0
            self.read.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag in _BREAKS:
            self.read.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.read.append(" ".join(data.split("\n")))


_ENVELOPE = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_SAME = ("From", "To", "Cc", "Date", "Subject", "Message-ID")
"""What two copies of one mail have in common; what servers add on the way differs."""
_BY = re.compile(r"\bby\s+([A-Za-z0-9.-]+)")
_LONGEST, _PARTS = 20_000, 50
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_PIECE = 2**16
_HTML, _DEEP = 200_000, 20
"""What is looked at of HTML, in bytes, and of parts in parts."""


class MailKind(StrEnum):
    """What is done with a mail."""

    PROPOSED = "proposed"
    REPLY = "reply"
    BOUNCE = "bounce"
    DELAYED = "delayed"
    OURS = "ours"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Ours:
    """What is ours: the secret of our tokens, the addresses that we write from, the names of our mail exchangers."""

    secret: bytes
    addresses: frozenset[str]
    exchangers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with it: what it is by its first bytes, whatever its name says."""

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mail as it is read; ``letters``: those of ours that it answers, or that it says have not arrived.

    ``besides``: other addresses that it names in ``From`` or ``Reply-To``. ``cut``: only its beginning was read.
    """

    kind: MailKind
    message_id: str
    digest: bytes
    received_at: datetime
    by_our_exchanger: bool
    sender: str
    name: str
    subject: str
    text: str
    letters: Sequence[UUID]
    attachments: Sequence[Attachment]
    besides: Sequence[str] = ()
    cut: bool = False


def read(raw: bytes, arrived_at: datetime, ours: Ours, body: bytes | None = None) -> Incoming:
    """Reads a mail; ``arrived_at``: when the mailbox says that it came.

    ``body``: the digest of its whole body, where ``raw`` is only the beginning.
    """
    mail = message_from_bytes(raw)
    sent_at = _by_our_exchanger(mail, ours)
    known_at = sent_at if sent_at and sent_at <= arrived_at else None
    name, sender = headers.sender(mail, ours.addresses)
    reports = _reported(mail, raw, ours)
    kind, letters = reports or _kind(mail, ours)
    parts = list(islice(_leaves(mail), _PARTS))
    text = next(filter(None, (_of_type(parts, each) for each in ("text/plain", "text/html"))), None)
    return Incoming(
        kind=kind,
        message_id=headers.cleaned(headers.raw(mail, "Message-ID"))[: headers.LINE],
        digest=_digest(mail, body or digest_of_body(raw), ours.secret),
        received_at=known_at or arrived_at,
        by_our_exchanger=known_at is not None,
        sender=sender,
        name=name,
        subject=headers.header(mail, "Subject")[: headers.LINE],
        text=_text(text) if text else "",
        letters=letters,
        attachments=tuple(_attachment(each) for each in parts if each is not text),
        besides=headers.besides(mail, ours.addresses),
        cut=body is not None,
    )


def unreadable(raw: bytes, arrived_at: datetime, ours: Ours) -> Incoming:
    """A mail that cannot be read within the bounds: a person opens the original."""
    digest = hmac.digest(ours.secret, b"mail\0" + _hashed(raw, 0), "sha256")
    return Incoming(MailKind.UNREADABLE, "", digest, arrived_at, False, "", "", "", "", (), ())  # noqa: FBT003  # its fields


def _reported(mail: Message, raw: bytes, ours: Ours) -> tuple[MailKind, tuple[UUID, ...]] | None:
    """What it reports, and of which letters; None: it is no report. One that has a sender a person looks at."""
    returned = _returned(mail, ours)
    if not returned and mail.get_content_type() != "multipart/report":
        return None
    letters = returned or tuple(tokens.letters_in(ours.secret, raw.decode("ascii", "replace")))
    failed = _failed(mail) if letters else None
    if failed is None:
        return None
    if not failed:
        return MailKind.DELAYED, letters
    return MailKind.BOUNCE if _is_from_nobody(mail) else MailKind.REPLY, letters


def _returned(mail: Message, ours: Ours) -> tuple[UUID, ...]:
    """The letters by whose return path it came."""
    to = " ".join(headers.raw(mail, name) for name in _ENVELOPE)
    return tuple(tokens.letters_in(ours.secret, to))


def _kind(mail: Message, ours: Ours) -> tuple[MailKind, tuple[UUID, ...]]:
    returned = any(tokens.letters_in(ours.secret, headers.raw(mail, "Message-ID")))
    if returned and headers.is_from(mail, ours.addresses):
        return MailKind.OURS, ()
    answered = " ".join(headers.raw(mail, name) for name in ("In-Reply-To", "References"))
    letters = tuple(tokens.letters_in(ours.secret, answered)) or _returned(mail, ours)
    return (MailKind.REPLY, letters) if letters else (MailKind.PROPOSED, ())


def _is_from_nobody(mail: Message) -> bool:
    """Whether its envelope has no sender, as that of a report (RFC 3464, 2), as our server has noted."""
    return headers.raw(mail, "Return-Path").strip() == "<>"


def _failed(mail: Message) -> bool | None:
    """Whether a report says that it is final; None: it is none. A delay is no failure: servers try for days."""
    try:
        temporary, permanent = flufl.bounce.all_failures(mail)
    except headers.UNREADABLE:
        return None
    return bool(permanent) if permanent or temporary else None


def _by_our_exchanger(mail: Message, ours: Ours) -> datetime | None:
    """When our mail exchanger took it: by the topmost line that names it, since whoever sends can write those below."""
    for line in headers.all_of(mail, "Received"):
        by = _BY.search(line)
        if by and by[1].lower().rstrip(".") in ours.exchangers:
            try:
                at = parsedate_to_datetime(line.rpartition(";")[2].strip())
                return at.astimezone(UTC) if at.tzinfo else None
            except headers.UNREADABLE:
                return None
    return None


def _leaves(mail: Message, deep: int = 0) -> Iterator[Message]:
    """What is no container, in order; a mail within is one thing, unless there is nothing around it."""
    inside = mail.get_payload() if mail.is_multipart() else None
    whole = mail.get_content_maintype() == "message" and deep > 0
    if not isinstance(inside, list) or whole or deep > _DEEP:
        yield mail
        return
    for each in inside:
        if isinstance(each, Message):
            yield from _leaves(each, deep + 1)


def _of_type(parts: Sequence[Message], kind: str) -> Message | None:
    return next((p for p in parts if p.get_content_type() == kind and not _attached(p)), None)


def _attached(part: Message) -> bool:
    return headers.raw(part, "Content-Disposition").partition(";")[0].strip().lower() == "attachment"


def _text(part: Message) -> str:
    data = _data(part)[:_HTML]
    try:
        content = data.decode(part.get_content_charset("utf-8"), "replace")
    except headers.UNREADABLE:
        content = data.decode("utf-8", "replace")
    shown = plain(content) if part.get_content_type() == "text/html" else content
    return headers.characters(shown).strip()[:_LONGEST]


def _attachment(part: Message) -> Attachment:
    data = _data(part)
    return Attachment(_named(part), _typed(data), len(data))


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
        return headers.cleaned(headers.decoded((part.get_filename() or "")[: headers.LONGEST]))[: headers.NAME]
    except headers.UNREADABLE:
        return ""


def _typed(data: bytes) -> str:
    try:
        return puremagic.from_string(data, mime=True) or "application/octet-stream"
    except (puremagic.PureError, ValueError):
        return "text/plain" if data and b"\0" not in data else "application/octet-stream"


def digest_of_body(raw: bytes) -> bytes:
    """SHA-256 of the body of a mail, however its lines end."""
    head = _HEAD_ENDS.search(raw)
    return _hashed(raw, head.end() if head else len(raw))


def _hashed(raw: bytes, start: int) -> bytes:
    """SHA-256 without carriage returns, piece by piece: a copy of a long mail takes memory."""
    found, view = hashlib.sha256(), memoryview(raw)
    for at in range(start, len(raw), _PIECE):
        found.update(bytes(view[at : at + _PIECE]).replace(b"\r", b""))
    return found.digest()


def _digest(mail: Message, body: bytes, secret: bytes) -> bytes:
    """Keyed, of what two copies of one mail have in common."""
    said = "\n".join(f"{name}: {headers.raw(mail, name)}" for name in _SAME)
    return hmac.digest(secret, b"mail\0" + said.encode("utf-8", "surrogateescape") + b"\0" + body, "sha256")
