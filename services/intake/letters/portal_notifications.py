"""Announces letters in the portal by mail, and withdraws letters of closed questions."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from services.intake.request.aggregate import Transition
from services.intake.request.letter_kinds import LetterOf
from services.intake.request.stored_request import StoredRequest
from services.portal.settings import PortalSettings
from shared.domain.events import QuestionSent
from shared.domain.identities import Identity, IdentityType
from shared.domain.rights import NOTHING
from shared.messaging.unit_of_work import UnitOfWork


async def notifications(tx: UnitOfWork, written: Iterable[StoredRequest]) -> list[tuple[StoredRequest, LetterOf]]:
    """Returns the mails that announce new letters to requesters in the portal.

    They go to the proved address; an unproved one gets no second mail (REQ-S5).
    """
    asked = {each.request_id: each for each in written if each.channel == "portal"}
    settings = PortalSettings() if asked else None
    if settings is None or not settings.url:
        return []
    known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in asked.values()])
    return [
        (request, ("portal_news", {"to": address, "link": f"{settings.url}/portal/{request.language}/follow"}))
        for request in asked.values()
        if request.subject_ref in known and (address := proved_address(known[request.subject_ref].identities))
    ]


async def reaches(tx: UnitOfWork, request: StoredRequest) -> bool:
    """Returns whether a mail can announce a letter, to an address that is proved."""
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    return known is not None and proved_address(known.identities) is not None


def proved_address(identities: Iterable[Identity]) -> str | None:
    """Returns the first address that the requester has stated and proved; pure."""
    stated = (each for each in identities if each.type is IdentityType.EMAIL and each.source == "requester")
    return next((each.value for each in stated if each.level > NOTHING), None)


_NOTE_READ: Final = """
UPDATE delivery SET awaited = (
    SELECT jsonb_agg(decision) FROM jsonb_array_elements(awaited) decision
    WHERE decision ->> 'question_id' IS DISTINCT FROM $2)
WHERE request_id = $1 AND state IN ('waiting', 'needs_attention')
  AND awaited @> jsonb_build_array(jsonb_build_object('question_id', $2::text))
"""
# What waits for the mail server may be on its way, and goes.
_CANCEL: Final = """
UPDATE delivery SET state = 'cancelled', fault = 'asked_no_more'
WHERE request_id = $1 AND (state = 'needs_attention' OR (state = 'waiting' AND way = 'post'))
  AND jsonb_array_length(awaited) = 1
  AND awaited @> jsonb_build_array(jsonb_build_object('question_id', $2::text)) RETURNING letter_id
"""


async def note_read(tx: UnitOfWork, request_id: UUID, question_id: UUID) -> None:
    """Records that the question was read in the portal; its letter still goes out."""
    await tx.connection.execute(_NOTE_READ, request_id, str(question_id))


async def is_announced(tx: UnitOfWork, transition: Transition) -> bool:
    """Returns whether a mail announces the question, without which the requester would not see it."""
    asks = any(isinstance(event, QuestionSent) for event in transition.published)
    return not (asks and transition.request.channel == "portal") or await reaches(tx, transition.request)


async def cancel_closed_question(tx: UnitOfWork, before: StoredRequest, after: StoredRequest) -> None:
    """Ends the delivery of letters with a question that is closed."""
    if before.question is None or before.question == after.question:
        return
    if after.question is None or after.question.question_id != before.question.question_id:
        await _cancel(tx, before.request_id, before.question.question_id)


async def _cancel(tx: UnitOfWork, request_id: UUID, question_id: UUID) -> None:
    for row in await tx.connection.fetch(_CANCEL, request_id, str(question_id)):
        tx.log_evidence(request_id, "letter.cancelled", {"letter_id": str(row["letter_id"]), "fault": "asked_no_more"})
    await note_read(tx, request_id, question_id)
