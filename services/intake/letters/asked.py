"""Letters that ask what is asked no more, or is known already: none is printed for that, or said to be awaited."""

from typing import Final
from uuid import UUID

from services.intake.letters import portal_news
from services.intake.request.aggregate import Transition
from services.intake.request.stored_request import StoredRequest
from shared.domain.events import QuestionSent
from shared.messaging.unit_of_work import UnitOfWork

_KNOWN: Final = """
UPDATE delivery SET awaited = (
    SELECT jsonb_agg(told) FROM jsonb_array_elements(awaited) told WHERE told ->> 'question_id' IS DISTINCT FROM $2)
WHERE request_id = $1 AND state IN ('waiting', 'person')
  AND awaited @> jsonb_build_array(jsonb_build_object('question_id', $2::text))
"""
# What waits for the mail server may be on its way, and goes.
_OVER: Final = """
UPDATE delivery SET state = 'spared', fault = 'asked_no_more'
WHERE request_id = $1 AND (state = 'person' OR (state = 'waiting' AND way = 'post')) AND jsonb_array_length(awaited) = 1
  AND awaited @> jsonb_build_array(jsonb_build_object('question_id', $2::text)) RETURNING letter_id
"""


async def known(tx: UnitOfWork, request_id: UUID, question_id: UUID) -> None:
    """It was read elsewhere: nothing waits for its letter any more, which goes out all the same."""
    await tx.connection.execute(_KNOWN, request_id, str(question_id))


async def readable(tx: UnitOfWork, transition: Transition) -> bool:
    """Whether what it asks in the portal is said by a mail to whoever has asked: else nobody can know of it."""
    asks = any(isinstance(event, QuestionSent) for event in transition.published)
    return not (asks and transition.request.channel == "portal") or await portal_news.reaches(tx, transition.request)


async def unless_open(tx: UnitOfWork, before: StoredRequest, after: StoredRequest) -> None:
    """Of a question that is open no more no letter is printed, or anybody's task."""
    if before.question is None or before.question == after.question:
        return
    if after.question is None or after.question.question_id != before.question.question_id:
        await _over(tx, before.request_id, before.question.question_id)


async def _over(tx: UnitOfWork, request_id: UUID, question_id: UUID) -> None:
    for row in await tx.connection.fetch(_OVER, request_id, str(question_id)):
        tx.log_evidence(request_id, "letter.spared", {"letter_id": str(row["letter_id"]), "fault": "asked_no_more"})
    await known(tx, request_id, question_id)
