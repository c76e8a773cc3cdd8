"""What goes to the process that reads one mail, and what comes back; pure."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.intake.mail.incoming import Attachment, Incoming, MailKind, Ours

_LENGTH = 8


def question(raw: bytes, arrived_at: datetime, ours: Ours, body: bytes | None = None) -> bytes:
    """A mail, and by what it is read; ``body``: see ``incoming.read``."""
    by = orjson.dumps(
        {
            "arrived_at": arrived_at,
            "secret": ours.secret.hex(),
            "addresses": [*ours.addresses],
            "exchangers": [*ours.exchangers],
            "body": body.hex() if body else None,
        }
    )
    return len(by).to_bytes(_LENGTH, "big") + by + raw


def asked(question: bytes) -> tuple[bytes, datetime, Ours, bytes | None]:
    """What was put into ``question``."""
    end = _LENGTH + int.from_bytes(question[:_LENGTH], "big")
    by = orjson.loads(question[_LENGTH:end])
    known = (frozenset(by["addresses"]), frozenset(by["exchangers"]))
    ours = Ours(bytes.fromhex(by["secret"]), *known)
    body = bytes.fromhex(by["body"]) if by["body"] else None
    return question[end:], datetime.fromisoformat(by["arrived_at"]), ours, body


def answer(mail: Incoming) -> bytes:
    """What was read."""
    return orjson.dumps(asdict(mail), default=bytes.hex)


def answered(answer: bytes) -> Incoming:
    """What was put into ``answer``; raises ``ValueError``, ``KeyError`` or ``TypeError`` if it is none."""
    known: dict[str, Any] = orjson.loads(answer)
    return Incoming(
        **{
            **known,
            "kind": MailKind(known["kind"]),
            "digest": bytes.fromhex(known["digest"]),
            "received_at": datetime.fromisoformat(known["received_at"]),
            "letters": tuple(map(UUID, known["letters"])),
            "attachments": tuple(Attachment(**each) for each in known["attachments"]),
            "besides": tuple(known["besides"]),
        }
    )
