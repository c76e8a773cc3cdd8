"""What a mail is: who it says it is from, when it reached us, whether a machine has written it, what it answers; pure.

Nothing in it proves anything: not its sender, not its day. When it came follows from the line that our own mail
exchanger has put on top of it, or else from the mailbox.
"""

import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from enum import StrEnum
from uuid import UUID

import flufl.bounce
import puremagic

from services.intake.mail import tokens
from services.intake.mail.plain import plain

_ENVELOPE = ("To", "Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To")
_SAME = ("From", "To", "Cc", "Date", "Subject", "Message-ID")
"""What two copies of one mail have in common; what servers add on the way differs."""
_BY = re.compile(r"\bby\s+([A-Za-z0-9.-]+)")
_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})
_LONGEST, _NAME, _LINE, _PARTS = 20_000, 120, 300, 50
_UNREADABLE = (MessageError, ValueError, LookupError, AttributeError, TypeError)
"""What the standard library raises at what people and machines send."""


class MailKind(StrEnum):
    """What is done with a mail."""

    PROPOSED = "proposed"
    REPLY = "reply"
    AUTOMATIC = "automatic"
    BOUNCE = "bounce"
    DELAYED = "delayed"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Ours:
    """What is ours: the secret of our tokens, the addresses that we write from, the names of our mail exchangers."""

    secret: bytes
    addresses: frozenset[str]
    exchangers: frozenset[str]
    largest_attachment: int


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with it: what it is by its first bytes, whatever its name says; ``taken``: within the bounds."""

    name: str
    kind: str
    size: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mail as it is read; ``letters``: those of ours that it answers, or that it says have not arrived."""

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


def read(raw: bytes, arrived_at: datetime, ours: Ours) -> Incoming:
    """Reads a mail; ``arrived_at``: when the mailbox says that it came."""
    mail = message_from_bytes(raw, policy=policy.default)
    sent_at = _by_our_exchanger(mail, ours)
    known_at = sent_at if sent_at and sent_at <= arrived_at else None
    name, sender = _sender(mail, ours)
    text = _text(mail)
    kind, letters = _kind(mail, raw, ours)
    return Incoming(
        kind=kind,
        message_id=_header(mail, "Message-ID").strip()[:_LINE],
        digest=_digest(mail, raw, ours.secret),
        received_at=known_at or arrived_at,
        by_our_exchanger=known_at is not None,
        sender=sender,
        name=name,
        subject=_header(mail, "Subject")[:_LINE],
        text=text,
        letters=letters,
        attachments=tuple(_attachments(mail, ours.largest_attachment)),
    )


def _kind(mail: EmailMessage, raw: bytes, ours: Ours) -> tuple[MailKind, tuple[UUID, ...]]:
    to = " ".join(_header(mail, name) for name in _ENVELOPE)
    returned = tuple(tokens.letters_in(ours.secret, to))
    if returned or mail.get_content_type() == "multipart/report":
        letters = returned or tuple(tokens.letters_in(ours.secret, raw.decode("ascii", "replace")))
        if letters and (failed := _failed(mail)) is not None:
            return MailKind.BOUNCE if failed else MailKind.DELAYED, letters
    if _first(_header(mail, "From"))[1] in ours.addresses:
        return MailKind.OURS, ()
    if _automatic(mail):
        return MailKind.AUTOMATIC, ()
    answered = " ".join(_header(mail, name) for name in ("In-Reply-To", "References"))
    letters = tuple(tokens.letters_in(ours.secret, answered)) or returned
    return (MailKind.REPLY, letters) if letters else (MailKind.PROPOSED, ())


def _failed(mail: EmailMessage) -> bool | None:
    """Whether a report says that it is final; None: it is none. A delay is no failure: servers try for days."""
    try:
        temporary, permanent = flufl.bounce.all_failures(mail)
    except _UNREADABLE:
        return None
    return bool(permanent) if permanent or temporary else None


def _automatic(mail: EmailMessage) -> bool:
    """Whether a machine seems to have written it (RFC 3834); a person may have: it is put aside, and looked at."""
    submitted = _header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
    said = submitted not in {"", "no"}
    bulk = _header(mail, "Precedence").strip().lower() in _BULK
    named = any(name in mail for name in ("X-Autoreply", "X-Autorespond", "List-Id"))
    nobody = _header(mail, "Return-Path").strip() == "<>"
    return said or bulk or named or nobody or mail.get_content_type() == "multipart/report"


def _by_our_exchanger(mail: EmailMessage, ours: Ours) -> datetime | None:
    """When our mail exchanger took it: by the topmost line that names it, since whoever sends can write those below."""
    for line in mail.get_all("Received") or ():
        by = _BY.search(str(line))
        if by and by[1].lower().rstrip(".") in ours.exchangers:
            try:
                at = parsedate_to_datetime(str(line).rpartition(";")[2].strip())
            except _UNREADABLE:
                return None
            return at.astimezone(UTC) if at.tzinfo else None
    return None


def _sender(mail: EmailMessage, ours: Ours) -> tuple[str, str]:
    """Whom it says it is from, and where they want the answer; never at an address of ours."""
    name, author = _first(_header(mail, "From"))
    _, answer_to = _first(_header(mail, "Reply-To"))
    return name, answer_to if answer_to and answer_to not in ours.addresses else author


def _first(header: str) -> tuple[str, str]:
    found = getaddresses([header])
    name, address = found[0] if found else ("", "")
    return " ".join(name.split())[:_NAME], address.strip().lower()[:_LINE]


def _header(mail: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(mail.get(name, "")).split())
    except _UNREADABLE:
        return ""


def _text(mail: EmailMessage) -> str:
    try:
        body = mail.get_body(("plain", "html"))
        content = str(body.get_content()) if body else ""
    except _UNREADABLE:
        return ""
    return (plain(content) if body and body.get_content_type() == "text/html" else content).strip()[:_LONGEST]


def _attachments(mail: EmailMessage, largest: int) -> Iterator[Attachment]:
    try:
        parts = list(mail.iter_attachments())[:_PARTS]
    except _UNREADABLE:
        return
    for part in parts:
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        yield Attachment(_named(part), _typed(data), len(data), len(data) <= largest)


def _named(part: EmailMessage) -> str:
    try:
        return " ".join((part.get_filename() or "").split())[:_NAME]
    except _UNREADABLE:
        return ""


def _typed(data: bytes) -> str:
    try:
        return puremagic.from_string(data, mime=True) or "application/octet-stream"
    except (puremagic.PureError, ValueError):
        return "text/plain" if data and b"\0" not in data else "application/octet-stream"


def _digest(mail: EmailMessage, raw: bytes, secret: bytes) -> bytes:
    """Keyed, of what two copies of one mail have in common."""
    body = raw.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
    said = "\n".join(f"{name}: {_header(mail, name)}" for name in _SAME)
    return hmac.digest(secret, b"mail\0" + said.encode("utf-8", "replace") + b"\0" + body, "sha256")
