"""Letters to the subject: sealed in the vault, put on record, and read by whoever may read the request."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from services.intake.letters import LetterKind, Letters, letter_date
from services.intake.request import Request, Transition
from services.intake.stored_request import StoredRequest
from shared.domain.time_limit_policy import Question
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.vault import Sealing


async def write(
    tx: UnitOfWork, letters: Letters, request: StoredRequest, kind: LetterKind, fields: Mapping[str, str | date]
) -> None:
    """Writes a letter and keeps it.

    Raises:
        Shredded: the subject's key is gone.
    """
    known = {"received_on": request.received_at, "reference": str(request.request_id), **fields}
    letter = letters.write(kind, request.calendar.partition("-")[0], known)
    letter_id = await seal(tx, request, "letter", kind, orjson.dumps(letter))
    await tx.connection.execute(
        "INSERT INTO letter (letter_id, request_id, kind, written_at) VALUES ($1, $2, $3, $4)",
        *(letter_id, request.request_id, kind, tx.now),
    )
    tx.log_evidence(request.request_id, "letter.written", {"letter_id": str(letter_id), "kind": kind})


async def seal(
    tx: UnitOfWork, request: StoredRequest, kind: str, source: str, content: bytes, place: UUID | None = None
) -> UUID:
    """Puts words about a person into the vault, in that place if one is given; returns where."""
    sealing = Sealing(request.subject_ref, kind, source, content, place or uuid7())
    await tx.vault.seal(tx.connection, [sealing], tx.now)
    return sealing.sealed_id


async def ask(tx: UnitOfWork, request: Request, asked: Question, words: str, *, recorded: bool) -> Transition:
    """A question is sent: its words are kept on their own too, since reminders quote them."""
    question_id = uuid7()
    transition = request.ask(asked, question_id, words, tx.now, recorded=recorded)
    await seal(tx, request, "question", asked, words.encode(), question_id)
    return transition


async def words_of(tx: UnitOfWork, request: StoredRequest) -> str:
    """The words of the question that is open; where they were not kept on their own, the day of its letter."""
    if request.question is None:
        return ""
    sealed = await tx.vault.open_one(tx.connection, request.question.question_id)
    return sealed.decode() if sealed else f"(see our letter of {letter_date(request.question.asked_at)})"


async def read(unit_of_work: UnitOfWorkFactory, request: StoredRequest) -> list[dict[str, object]]:
    """Every letter of a request, the oldest first.

    Raises:
        Shredded: they can no longer be read.
    """
    async with unit_of_work.pool.acquire() as connection:
        written = "SELECT letter_id, kind, written_at FROM letter WHERE request_id = $1 ORDER BY letter_id"
        rows = await connection.fetch(written, request.request_id)
        if not rows:
            return []
        opened = await unit_of_work.vault.open_kind(connection, request.subject_ref, "letter")
    words = {letter_id: content for letter_id, _, content in opened}
    return [{**row, **orjson.loads(words[row["letter_id"]])} for row in rows]
