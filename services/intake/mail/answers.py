"""What somebody of ours has written back to a mail: where it lies, how far it has come, and when it goes.

Each answer has a key of its own, which has its id: the mail may be gone before the answer is delivered. It goes once
the mail's own copy is gone and nobody can report any more that it has not arrived.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from services.intake.letters import delivery
from services.intake.letters.plain_text import text_of
from services.intake.letters.rendering import Letter
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.vault import Sealing

_INSERT = "INSERT INTO mail_answer (letter_id, mail_id, written_by, written_at) VALUES ($1, $2, $3, $4)"
_COUNT = "SELECT count(*) FROM mail_answer WHERE mail_id = $1"
_READ = """
SELECT a.letter_id, a.mail_id, a.written_by, a.written_at, d.state, d.fault, d.sent_at
FROM mail_answer a JOIN delivery d USING (letter_id) WHERE {} ORDER BY a.letter_id
"""
_OF_MAIL = _READ.format("a.mail_id = $1")
_NAMED = _READ.format("a.letter_id = ANY($1)")
# $1: before when an answer must have been sent that nobody reports any more.
DUE: Final = """
SELECT m.request_id, a.letter_id
FROM mail_answer a JOIN mail m USING (mail_id) JOIN delivery d USING (letter_id)
WHERE (d.state = 'given_up' OR d.state = 'sent' AND d.sent_at < $1)
  AND (m.request_id IS NOT NULL OR m.decided_at IS NOT NULL) AND NOT EXISTS (
    SELECT FROM vault.subject v WHERE v.subject_ref = m.request_id AND v.wrapped_key IS NOT NULL)
"""
_FORGET = f"""
DELETE FROM mail_answer WHERE letter_id IN (SELECT due.letter_id FROM ({DUE}) AS due) RETURNING letter_id, mail_id
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a mail: its plain text, where it goes, and how far it has come."""

    letter_id: UUID
    mail_id: UUID
    written_by: str
    written_at: datetime
    state: str
    fault: str | None
    sent_at: datetime | None
    to: str
    body: str


async def write(
    tx: UnitOfWork, mail_id: UUID, letter: Letter, goes: tuple[str, Sequence[str]], written_by: str
) -> UUID:
    """Has an answer delivered; returns the id of the letter. ``goes``: to which address, and what it follows."""
    letter_id, (to, thread) = uuid7(), goes
    said = {"language": letter.language, "subject": letter.subject, "html": letter.html}
    content = orjson.dumps({**said, "to": [to], "thread": [*thread]})
    sealing = Sealing(letter_id, "letter", delivery.OF_MAIL, content, letter_id)
    await delivery.to_sender(tx, sealing, mail_id)
    await tx.connection.execute(_INSERT, letter_id, mail_id, written_by, tx.now)
    return letter_id


async def count(tx: UnitOfWork, mail_id: UUID) -> int:
    """How many answers a mail has had."""
    written: int = await tx.connection.fetchval(_COUNT, mail_id)
    return written


async def of_mail(tx: UnitOfWork, mail_id: UUID) -> list[Answer]:
    """What was written back to a mail, the first of it first."""
    return await _opened(tx, _OF_MAIL, mail_id)


async def named(tx: UnitOfWork, letters: Sequence[UUID]) -> list[Answer]:
    """Those of our letters that were written back to a mail: what comes now answers them."""
    return await _opened(tx, _NAMED, list(letters))


async def forget(tx: UnitOfWork, began: datetime) -> int:
    """Ends what is past its period; see ``DUE``."""
    gone = {row[0]: row[1] for row in await tx.connection.fetch(_FORGET, began)}
    for table, column in (("vault.sealed", "subject_ref"), ("vault.subject", "subject_ref"), ("delivery", "letter_id")):
        await tx.connection.execute(f"DELETE FROM {table} WHERE {column} = ANY($1)", [*gone])  # noqa: S608  # ours
    for mail_id in gone.values():
        tx.log_evidence(mail_id, "evidence.tier_expired", {"tier": "mail_answers"})
    return len(gone)


async def _opened(tx: UnitOfWork, query: str, about: object) -> list[Answer]:
    found = list[Answer]()
    for row in await tx.connection.fetch(query, about):
        content = orjson.loads(await tx.vault.open_one(tx.connection, row["letter_id"]) or b"{}")
        found.append(Answer(**row, to=content["to"][0], body=text_of(content["html"])))
    return found
