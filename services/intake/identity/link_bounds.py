"""How many letters with a link go out: so many an hour of one request, by one who asks, and to one mailbox.

Who asks with somebody's address must not use up what the owner of that address may have sent: so what others have asked
for counts against them, and not against the request of somebody else. What is withheld is put before a person.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from shared.domain.identity_rules import LinkPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.keyring import Keyring

_HOUR: Final = timedelta(hours=1)
_DOTTED: Final = frozenset({"gmail.com", "googlemail.com"})
"""Where a dot in the local part makes no other mailbox."""
_LOCK = "SELECT pg_advisory_xact_lock($1)"
_SENT = """
SELECT count(*) FILTER (WHERE request_id = $1),
       count(*) FILTER (WHERE mailbox = $2 AND asker = $3 AND first = $4),
       count(*) FILTER (WHERE mailbox = $2)
  FROM proof_link WHERE (request_id = $1 OR mailbox = $2) AND sent_at > $5
"""
_IS_FIRST = "SELECT NOT EXISTS (SELECT FROM proof_link WHERE request_id = $1)"
_WITHHELD = "INSERT INTO proof_withheld (request_id, withheld_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_SENT_AFTER_ALL = "DELETE FROM proof_withheld WHERE request_id = $1"


@dataclass(frozen=True, slots=True)
class Counted:
    """By what a letter with a link is counted: keyed marks of the mailbox, and of who asks (each day another one)."""

    mailbox: bytes
    asker: bytes | None
    first: bool


def mailbox_of(address: str) -> str:
    """The mailbox of an address: what follows a plus makes no other one (RFC 5233), nor do dots where it is known."""
    local, _, domain = address.rpartition("@")
    local = local.partition("+")[0] or local
    return f"{local.replace('.', '') if domain in _DOTTED else local}@{domain}"


async def counted(
    tx: UnitOfWork, policy: LinkPolicy, request_id: UUID, address: str, asker: str | None
) -> Counted | None:
    """By what another letter of that request to that address is counted; None: it is one too many, and is withheld.

    ``asker``: the network address of whoever asks for it; None: one of ours.
    """
    keyring: Keyring = tx.vault.keyring
    mailbox = mailbox_mark(keyring, address)
    await tx.connection.execute(_LOCK, int.from_bytes(mailbox[:8], signed=True))
    who = _mark(keyring, f"asker {tx.now.date()}", asker) if asker else None
    first: bool = await tx.connection.fetchval(_IS_FIRST, request_id)
    [row] = await tx.connection.fetch(_SENT, request_id, mailbox, who, first, tx.now - _HOUR)
    of_request, by_asker, to_mailbox = row
    if max(of_request, by_asker) >= policy.per_hour or to_mailbox >= policy.per_mailbox:
        await tx.connection.execute(_WITHHELD, request_id, tx.now)
        return None
    await tx.connection.execute(_SENT_AFTER_ALL, request_id)
    return Counted(mailbox, who, first)


def mailbox_mark(keyring: Keyring, address: str) -> bytes:
    """The keyed mark of a mailbox."""
    return _mark(keyring, "mailbox", mailbox_of(address))


def _mark(keyring: Keyring, kind: str, value: str) -> bytes:
    return hmac.digest(keyring.lookup, f"{kind}\0{value}".encode(), "sha256")
