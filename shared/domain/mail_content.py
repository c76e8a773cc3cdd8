"""Describes a parsed mail: the parser writes it, the vault seals it, and pages show it; pure.

Nothing in it proves anything: not its sender, not its day.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter

from shared.domain.rights import Right

KIND: Final = "mail"
"""The kind under which the original is sealed."""
READ: Final = "mail_content"
"""The kind under which ``MailContent`` is sealed."""
NOT_VISIBLE: Final = "[not visible] "
"""The beginning of a line that is not visible where the mail is read."""
_HEX = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
PartKind = Literal["text", "html", "forwarded", "file"]
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_PIECE = 2**16


class MailKind(StrEnum):
    """The kinds of a mail."""

    PROPOSED = "proposed"
    REPLY = "reply"
    BOUNCE = "bounce"
    DELAYED = "delayed"
    OURS = "ours"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class OurMail:
    """The secret of our tokens, the addresses that we write from, the names of our mail exchangers."""

    secret: bytes
    addresses: frozenset[str]
    exchangers: frozenset[str]
    __pydantic_config__ = _HEX


@dataclass(frozen=True, slots=True)
class MailAttachment:
    """A file that came with it: its name without folders and unseen characters, its type by its first bytes."""

    name: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class MailPart:
    """A part that people can read, at most 20,000 characters; ``title``: a file's name, a forwarded subject."""

    kind: PartKind
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class MailProposal:
    """The proposal for the form; a person decides.

    ``rights`` are ticked, ``mentioned`` are not. ``no_subject``: why no data subject is proposed. ``phones``: as they
    are written; where the country code is missing, ask which country's they are.
    """

    rights: Sequence[Right] = ()
    mentioned: Sequence[Right] = ()
    no_subject: Literal["forwards", "for_another"] | None = None
    email: str | None = None
    name: str | None = None
    account_id: str | None = None
    phones: Sequence[str] = ()
    urgent: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MailContent:
    """The content of a mail, and what it seems to ask for.

    ``sender``, ``name``: whom it says it is from. ``other_addresses``: what else ``From`` or ``Reply-To`` name: neither
    who they are nor an answer goes by these. ``checks``: results of SPF, DKIM and DMARC, as our own exchanger wrote;
    ``authenticated``: of the sender's domain. ``language``: ISO 639; null where it is not sure. ``cut``: the original
    has more. ``readable``: false where it cannot be taken apart: open the original.
    """

    message_id: str = ""
    sender: str = ""
    name: str = ""
    subject: str = ""
    other_addresses: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    authenticated: bool = False
    parts: Sequence[MailPart] = ()
    attachments: Sequence[MailAttachment] = ()
    language: str | None = None
    proposal: MailProposal = MailProposal()
    cut: bool = False
    readable: bool = True

    @property
    def text(self) -> str:
        """Returns the text of all readable parts."""
        return "\n\n".join(each.text for each in self.parts)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A parsed mail; ``letters``: our letters that it answers or reports as undelivered."""

    kind: MailKind
    digest: bytes
    received_at: datetime
    by_our_exchanger: bool
    letters: Sequence[UUID]
    content: MailContent
    __pydantic_config__ = _HEX


QUESTION = TypeAdapter(tuple[datetime, OurMail, bytes | None], config=_HEX)
"""The settings of the process that reads a mail: see ``incoming.read``."""
INCOMING = TypeAdapter(Incoming)
CONTENT = TypeAdapter(MailContent)


def unreadable(raw: bytes, arrived_at: datetime, own_mail: OurMail) -> Incoming:
    """A mail that cannot be read within the bounds: a person opens the original."""
    digest = hmac.digest(own_mail.secret, b"mail\0" + _hashed(raw, 0), "sha256")
    return Incoming(MailKind.UNREADABLE, digest, arrived_at, False, (), MailContent(readable=False))  # noqa: FBT003


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
