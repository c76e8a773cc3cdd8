"""Questions to the requester: who they are, or what they mean (Art. 12(6), Recital 63); what is clear goes on."""

from dataclasses import replace
from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake import correspondence, register
from services.intake.casework import Casework
from services.intake.keys import Caller
from services.intake.letters import Kind, Letters
from services.intake.problems import BadRequest
from services.intake.request import State
from services.intake.submission import QuestionAsked, QuestionReply
from shared.errors import IllegalTransition
from shared.events import QuestionSent
from shared.time_limit_policy import Question
from shared.transaction import Transactions

_LETTER: dict[Question, Kind] = {
    Question.IDENTITY: "identity_question",
    Question.CLARIFICATION: "clarification_question",
}


class Questions:
    """Asks and hears, in one transaction each."""

    def __init__(self, transactions: Transactions, letters: Letters) -> None:
        self._transactions = transactions
        self._letters = letters

    async def ask(self, request_id: UUID, asked: QuestionAsked, caller: Caller) -> State:
        """Sends a question; one at a time, and a clarification never stops the work that has begun (REQ-T10)."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            if filed.question_id is not None:
                raise IllegalTransition("a question is open already; wait for its answer")
            if asked.question is Question.CLARIFICATION:
                request = request.to(State.AWAITING_CLARIFICATION)
            elif request.state is not State.AWAITING_IDENTITY:
                raise IllegalTransition(f"a request that is {request.state} does not wait for proof of identity")
            question_id = uuid7()
            await register.write(tx, [replace(filed, request=request, question_id=question_id)])
            await correspondence.write(
                tx, self._letters, filed, _LETTER[asked.question], {"question": asked.text.strip()}
            )
            tx.record(
                request_id,
                "question.sent",
                {"question": asked.question, "condition_recorded": asked.condition_recorded},
                caller.actor,
            )
            tx.publish(
                QuestionSent(
                    request_id=request_id,
                    occurred_at=tx.now,
                    right=request.right,
                    question_id=question_id,
                    question=asked.question.value,
                    asked_at=tx.now,
                    condition_recorded=asked.condition_recorded,
                )
            )
        return request.state

    async def hear(self, request_id: UUID, reply: QuestionReply, caller: Caller) -> State:
        """The requester has answered a clarification; what was done meanwhile may already be the whole answer."""
        async with self._transactions.begin() as tx:
            filed = await Casework.hold(tx, request_id, caller)
            request = filed.request
            if filed.question_id is None or request.state is State.AWAITING_IDENTITY:
                raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
            if reply.received_at is not None and reply.received_at > tx.now:
                raise BadRequest("received_at lies in the future; leave it out, or say when the answer arrived")
            await correspondence.seal(tx, request.subject_ref, "reply", "requester", reply.text.encode())
            register.answered(tx, filed, caller.actor, reply.received_at)
            moved = replace(filed, question_id=None)
            if request.state is State.AWAITING_CLARIFICATION:
                moved = replace(moved, request=request.to(request.goes_on))
                if filed.finished is not None:
                    moved = replace(moved, request=register.close(tx, moved, filed.finished))
            await register.write(tx, [moved])
        return moved.request.state
