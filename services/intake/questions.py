"""Questions to the requester: who they are, or what they mean (Art. 12(6), Recital 63); what is clear goes on."""

from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake import correspondence, deferrals, register
from services.intake.auth import Caller
from services.intake.casework import Casework, retry_decided
from services.intake.errors import BadRequest
from services.intake.letters import Kind, Letters
from services.intake.register import Filed, OpenQuestion
from services.intake.reopening import Reopening
from services.intake.request import State
from services.intake.schemas import QuestionAsked, QuestionReply, received_in_the_future
from shared.domain.errors import IllegalTransition
from shared.domain.events import QuestionSent
from shared.domain.time_limit_policy import Question
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.vault import encode_identities

_LETTER: dict[Question, Kind] = {
    Question.IDENTITY: "identity_question",
    Question.CLARIFICATION: "clarification_question",
}


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked; ``condition_recorded``: reasonable doubt, or a large quantity of data, is on file."""

    question: Question
    text: str
    condition_recorded: bool


async def send(tx: UnitOfWork, letters: Letters, filed: Filed, asking: Asking, actor: str | None = None) -> Filed:
    """Writes the letter and says so; returns the request with the question open, to be put back."""
    request, question_id, words = filed.request, uuid7(), asking.text.strip()
    await correspondence.seal(tx, request.subject_ref, "question", asking.question, words.encode(), question_id)
    await correspondence.write(tx, letters, filed, _LETTER[asking.question], {"question": words})
    detail: dict[str, JsonValue] = {
        "question": asking.question,
        "condition_recorded": asking.condition_recorded,
    }
    tx.log_evidence(request.request_id, "question.sent", detail, actor)
    tx.publish(
        QuestionSent(
            request_id=request.request_id,
            occurred_at=tx.now,
            right=request.right,
            question_id=question_id,
            question=asking.question.value,
            asked_at=tx.now,
            condition_recorded=asking.condition_recorded,
        )
    )
    return replace(filed, question=OpenQuestion(question_id, tx.now))


class Questions:
    """Asks and hears, in one transaction each."""

    def __init__(self, unit_of_work: UnitOfWorkFactory, letters: Letters, reopening: Reopening) -> None:
        self._transactions = unit_of_work
        self._letters = letters
        self._reopening = reopening

    async def ask(self, request_id: UUID, asked: QuestionAsked, caller: Caller) -> State:
        """Sends a question; one at a time, and a clarification never stops the work that has begun (REQ-T10)."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            if filed.question is not None:
                raise IllegalTransition("a question is open already; wait for its answer")
            if asked.question is Question.CLARIFICATION:
                request = request.to(State.AWAITING_CLARIFICATION)
            elif request.state is not State.AWAITING_IDENTITY:
                raise IllegalTransition(f"a request that is {request.state} does not wait for proof of identity")
            asking = Asking(asked.question, asked.text, asked.condition_recorded)
            moved = await send(tx, self._letters, replace(filed, request=request), asking, caller.actor)
            await register.write(tx, [moved])
        return request.state

    async def hear(self, request_id: UUID, reply: QuestionReply, caller: Caller) -> State:
        """The requester has answered a clarification; what was done meanwhile may already be the whole answer.

        An answer that comes after the request was closed without it reopens the request.
        """
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            if not filed.awaits_reply:
                raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
            if reply.received_at is not None and received_in_the_future(reply.received_at, tx.now):
                raise BadRequest("received_at lies in the future; leave it out, or say when the answer arrived")
            if reply.subject and not deferrals.unsearched(filed.tasks):
                raise BadRequest("subject belongs to the answer where a system could not be searched; leave it out")
            await correspondence.seal(tx, request.subject_ref, "reply", "requester", reply.text.encode())
            if reply.subject:
                known = encode_identities(reply.subject.identities())
                await correspondence.seal(tx, request.subject_ref, "identities", "requester", known)
            if request.resumable:
                moved = await self._reopening.resume(tx, filed, reply.received_at or tx.now, caller.actor)
            else:
                register.answered(tx, filed, caller.actor, reply.received_at)
                moved = _answered(tx, replace(filed, question=None), more_is_known=reply.subject is not None)
            await register.write(tx, [moved])
        return moved.request.state


def _answered(tx: UnitOfWork, filed: Filed, *, more_is_known: bool) -> Filed:
    """The request goes on, or closes with what was done while the question was open.

    Where a system could not be searched, it goes on by what else the subject is known by; else a person decides.
    """
    if filed.request.state is not State.AWAITING_CLARIFICATION:
        return filed
    if deferrals.unsearched(filed.tasks):
        if not more_is_known:
            return replace(filed, request=filed.request.to(State.AWAITING_DECISION))
        tx.publish(retry_decided(filed.request, tx.now))
    moved = replace(filed, request=filed.request.to(filed.request.goes_on))
    return moved if filed.finished is None else replace(moved, request=register.close(tx, moved, filed.finished))
