"""Holds what was read of a mail: written by the process that reads it, sealed with it, and opened by every page; pure.

Nothing in it proves anything: not its sender, not its day.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter

from shared.domain.rights import Right

_HEX = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
Kind = Literal["text", "html", "forwarded", "file"]
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")
_LENGTH, _PIECE = 8, 2**16


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

    kind: Kind
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class MailProposal:
    """What is certain enough to stand in the form; a person decides.

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
class Incoming:
    """A mail as it is read; ``letters``: those of ours that it answers, or that it says have not arrived.

    ``other_addresses``: those that ``From`` or ``Reply-To`` name, too. ``cut``: only its beginning was read.
    ``checks``: results of SPF, DKIM and DMARC, as our own exchanger wrote; ``authenticated``: of the sender's domain.
    """

    kind: MailKind
    digest: bytes
    received_at: datetime
    by_our_exchanger: bool = False
    message_id: str = ""
    sender: str = ""
    name: str = ""
    subject: str = ""
    other_addresses: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    authenticated: bool = False
    letters: Sequence[UUID] = ()
    parts: Sequence[MailPart] = ()
    attachments: Sequence[MailAttachment] = ()
    cut: bool = False
    language: str | None = None
    proposal: MailProposal = MailProposal()
    __pydantic_config__ = _HEX

    @property
    def text(self) -> str:
        """Every readable part."""
        return "\n\n".join(each.text for each in self.parts)


_ASKED = TypeAdapter(tuple[datetime, Ours, bytes | None], config=_HEX)
_INCOMING = TypeAdapter(Incoming)


def question(raw: bytes, arrived_at: datetime, ours: Ours, body: bytes | None = None) -> bytes:
    """Writes a mail, and by what it is read, for the process that reads it; ``body``: see ``incoming.read``."""
    by = _ASKED.dump_json((arrived_at, ours, body))
    return len(by).to_bytes(_LENGTH, "big") + by + raw


def asked(question: bytes) -> tuple[bytes, datetime, Ours, bytes | None]:
    """Reads what was put into ``question``."""
    end = _LENGTH + int.from_bytes(question[:_LENGTH], "big")
    return question[end:], *_ASKED.validate_json(question[_LENGTH:end])


def dumped(mail: Incoming) -> bytes:
    """Writes what was read, as it is sealed."""
    return _INCOMING.dump_json(mail)


def loaded(content: bytes) -> Incoming:
    """Reads what was put into ``dumped``; raises ``ValueError`` if it is none."""
    return _INCOMING.validate_json(content)


def unreadable(raw: bytes, arrived_at: datetime, ours: Ours) -> Incoming:
    """A mail that cannot be read within the bounds: a person opens the original."""
    digest = hmac.digest(ours.secret, b"mail\0" + _hashed(raw, 0), "sha256")
    return Incoming(MailKind.UNREADABLE, digest, arrived_at)


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
