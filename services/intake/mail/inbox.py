"""Stores received mail once each, sealed; staff decide about it, except about delivery reports.

A copy to another of our addresses is the same mail. A bounce marks its letter as undelivered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from services.intake.core.errors import NotFound
from services.intake.core.metrics import MAIL
from services.intake.delivery import outcomes
from services.intake.letters.letter_facts import LetterFacts
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.events import MailReceived
from shared.domain.mail_content import CONTENT, KIND, READ, MailContent, MailKind
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.vault import Sealing

_STATES: Final[Mapping[MailKind, str]] = {
    MailKind.PROPOSED: "proposed",
    MailKind.REPLY: "reply",
    MailKind.UNREADABLE: "proposed",
}
"""States of the kinds that a person sees."""
_COLUMNS = "mail_id, digest, received_at, by_mx, read_at, state, request_id, reason, decided_by, decided_at"
_INSERT = """
INSERT INTO mail (mail_id, digest, received_at, by_mx, read_at, state, request_id, decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (digest) DO NOTHING RETURNING true
"""
_READ = f"SELECT {_COLUMNS} FROM mail WHERE mail_id = $1"  # noqa: S608  # constants
_OPEN = f"""
SELECT {_COLUMNS} FROM mail
WHERE state IN ('proposed', 'reply') AND ($1::text IS NULL OR state = $1) AND (received_at, mail_id) > ($2, $3)
ORDER BY received_at, mail_id LIMIT $4
"""  # noqa: S608  # constants
_DECIDE = """
UPDATE mail SET state = $2, request_id = coalesce($3, request_id), reason = $4, decided_by = $5, decided_at = $6
WHERE mail_id = $1 AND state IN ('proposed', 'reply') RETURNING true
"""
_REPORTED_WITHIN: Final = timedelta(days=10)
"""After which no mail server tries any more (RFC 5321, 4.5.4.1: at least four or five days)."""
# An earlier report waits for a decision.
_TRUSTED = """
SELECT coalesce(bool_and(d.sent_at IS NULL OR (d.sent_at > $2 AND NOT EXISTS (
    SELECT FROM mail m WHERE m.request_id = d.request_id AND m.read_at >= d.sent_at
       AND NOT (m.state = 'done' AND m.decided_by IS NULL)))), true)
FROM delivery d WHERE d.letter_id = ANY($1)
"""
_ABOUT = """
SELECT l.request_id FROM letter l JOIN vault.subject v ON v.subject_ref = l.request_id
WHERE l.letter_id = ANY($1) AND v.wrapped_key IS NOT NULL ORDER BY l.letter_id DESC LIMIT 1
"""
_OF_REQUEST = f"""
SELECT * FROM (SELECT {_COLUMNS} FROM mail WHERE request_id = $1 ORDER BY received_at DESC LIMIT $2) AS last
ORDER BY received_at
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Mail:
    """A received mail and its state."""

    mail_id: UUID
    digest: bytes
    received_at: datetime
    by_mx: bool
    read_at: datetime
    state: str
    request_id: UUID | None
    reason: str | None
    decided_by: str | None
    decided_at: datetime | None


async def receive(tx: UnitOfWork, letters: LetterFacts, mail: MailReceived) -> MailKind | None:
    """Stores a received mail and acts on its kind; None: it is a duplicate, and this copy is destroyed.

    A bounce that the addressee could have forged needs review, like a reply.
    """
    kind, mail_id = mail.kind, mail.request_id
    if kind is MailKind.BOUNCE and not await _is_trusted_report(tx, mail.letters):
        kind = MailKind.REPLY
    answered = (
        await _answered_request(tx.connection, mail.letters) if kind in {MailKind.REPLY, MailKind.BOUNCE} else None
    )
    known = kind is not MailKind.REPLY or answered
    state = _STATES.get(kind, "done") if known else "proposed"
    given = (mail_id, bytes.fromhex(mail.digest), mail.received_at, mail.by_our_exchanger, tx.now, state, answered)
    if not await tx.connection.fetchval(_INSERT, *given, None if kind in _STATES else tx.now):
        await _destroy(tx, mail_id)
        return None
    if answered:
        await move_to_request(tx, answered, mail_id, mail_id)
        await _destroy(tx, mail_id)
        named = {"mail_id": str(mail_id), "received_at": mail.received_at.isoformat()}
        tx.log_evidence(answered, "mail.answers" if kind is MailKind.REPLY else "mail.reports", named)
    elif kind not in _STATES:
        await _destroy(tx, mail_id)
    if kind is MailKind.BOUNCE:
        for letter_id in mail.letters:
            await outcomes.record_failed(tx, letters, letter_id, "returned")
    tx.after_commit(MAIL.labels(kind).inc)
    return kind


async def read(connection: Connection, mail_id: UUID) -> Mail | None:
    """Returns a mail, or None."""
    row = await connection.fetchrow(_READ, mail_id)
    return Mail(*row) if row else None


async def find(connection: Connection, mail_id: UUID) -> Mail:
    """Returns a mail; raises ``NotFound``."""
    if (mail := await read(connection, mail_id)) is None:
        raise NotFound("no such mail")
    return mail


async def of_request(connection: Connection, request_id: UUID, limit: int) -> list[Mail]:
    """Returns the last mails that became this request, or answer its letters; oldest first."""
    return [Mail(*row) for row in await connection.fetch(_OF_REQUEST, request_id, limit)]


async def open_mails(connection: Connection, state: str | None, after: tuple[datetime, UUID], limit: int) -> list[Mail]:
    """Returns mails that wait for staff, by time of arrival, from which their time limit runs."""
    return [Mail(*row) for row in await connection.fetch(_OPEN, state, *after, limit)]


async def contents(tx: UnitOfWork, mails: Sequence[Mail]) -> dict[UUID, MailContent]:
    """Returns by mail the contents that are still stored."""
    contents = await _sealed_contents(tx, mails, READ)
    return {
        each.mail_id: CONTENT.validate_json(contents[str(each.mail_id)])
        for each in mails
        if str(each.mail_id) in contents
    }


async def open_mail(tx: UnitOfWork, mail_id: UUID, kind: str = READ) -> tuple[Mail, bytes]:
    """Returns a mail with its parsed content, or its original; raises ``NotFound``, ``Shredded``."""
    mail = await find(tx.connection, mail_id)
    contents = await _sealed_contents(tx, [mail], kind)
    if not contents:
        raise Shredded("the mail was no request, and is not kept")
    return mail, contents[str(mail_id)]


async def _sealed_contents(tx: UnitOfWork, mails: Sequence[Mail], kind: str) -> dict[str, bytes]:
    subjects = {each.request_id or each.mail_id for each in mails}
    return await tx.vault.open_named(tx.connection, subjects, kind, [str(each.mail_id) for each in mails])


async def decide(
    tx: UnitOfWork, mail_id: UUID, state: str, actor: str, *, request_id: UUID | None = None, reason: str | None = None
) -> None:
    """Records a decision once, and destroys the original; raises ``IllegalTransition`` if it was decided before."""
    if not await tx.connection.fetchval(_DECIDE, mail_id, state, request_id, reason, actor, tx.now):
        raise IllegalTransition("this mail was decided meanwhile: open it again, and look")
    await _destroy(tx, mail_id)


async def _destroy(tx: UnitOfWork, mail_id: UUID) -> None:
    await tx.vault.shred(tx.connection, [mail_id], tx.now)
    await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = $1", mail_id)


async def move_to_request(tx: UnitOfWork, request_id: UUID, mail_id: UUID, sealed_under: UUID) -> None:
    """Seals a mail under the key of its request; ``sealed_under``: the record that has it now.

    Raises ``Shredded``.
    """
    for kind in (KIND, READ):
        found = await tx.vault.open_named(tx.connection, {sealed_under}, kind, [str(mail_id)])
        await tx.vault.seal(tx.connection, [Sealing(request_id, kind, *each) for each in found.items()], tx.now)


async def _is_trusted_report(tx: UnitOfWork, letters: Sequence[UUID]) -> bool:
    """Whether a bounce takes effect without review.

    The addressee could forge one: it counts for ten days, and not after they have answered.
    """
    return bool(await tx.connection.fetchval(_TRUSTED, list(letters), tx.now - _REPORTED_WITHIN))


async def _answered_request(connection: Connection, letters: Sequence[UUID]) -> UUID | None:
    """Returns the request that a mail answers; None if its correspondence has expired."""
    found: UUID | None = await connection.fetchval(_ABOUT, list(letters))
    return found
