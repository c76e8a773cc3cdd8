"""Nobody is left in silence (REQ-T9): who does not answer is reminded, and told at last, with reasons (Art. 12(4))."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.intake import correspondence, deferrals, questions, register
from services.intake.letters import Kind, Letters
from services.intake.register import Filed, OpenQuestion
from services.intake.request import State
from shared.domain.events import DeadlineApproaching, DeadlineOverdue, QuestionUnanswered, TargetMissed
from shared.domain.rights import Outcome
from shared.domain.time_limit_policy import Question
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.metrics import REQUESTS

ASKING = "question_sent"
"""The target of the staff by which a question should have been sent."""

_LAST_NOTICE: Mapping[Question, Kind] = {
    Question.IDENTITY: "identity_last_notice",
    Question.CLARIFICATION: "clarification_last_notice",
}


async def unanswered(events: Sequence[QuestionUnanswered], tx: UnitOfWork, *, letters: Letters) -> None:
    """Write the reminder or the last notice; with the latter close what cannot go on, so that it may be resumed."""
    held = await register.hold(tx, [event.request_id for event in events])
    moved: set[UUID] = set()
    for event in events:
        filed = held[event.request_id]
        question = filed.question
        if question is None or not _still_open(filed, question, event):
            detail = {"notice": event.notice, "state": filed.request.state}
            tx.log_evidence(event.request_id, "question.notice_late", detail)
        elif event.notice == "reminder":
            await _write(tx, letters, filed, question, "question_reminder")
        else:
            kind = Question(event.question)
            await _write(tx, letters, filed, question, _LAST_NOTICE[kind])
            held[event.request_id] = _given_up(tx, filed, replace(question, last_notice_at=tx.now), kind)
            moved.add(event.request_id)
    if moved:
        await register.write(tx, [held[request_id] for request_id in sorted(moved)])


async def ask_at_last(
    events: Sequence[TargetMissed | DeadlineApproaching | DeadlineOverdue], tx: UnitOfWork, *, letters: Letters
) -> None:
    """Ask the standing question where the staff have asked none in time: without a question nothing would follow.

    A request that is due before that target would end has no such target: the warnings of its own limit take its place.
    """
    late = [event.request_id for event in events if not isinstance(event, TargetMissed) or event.target == ASKING]
    held = await register.hold(tx, late)
    asked: dict[UUID, Filed] = {}
    for request_id, filed in held.items():
        if filed.question is None and filed.request.state is State.AWAITING_IDENTITY:
            asking = questions.Asking(Question.IDENTITY, letters.standing(Question.IDENTITY), condition_recorded=False)
            asked[request_id] = await questions.send(tx, letters, filed, asking)
    if asked:
        await register.write(tx, list(asked.values()))


def _still_open(filed: Filed, question: OpenQuestion, event: QuestionUnanswered) -> bool:
    return (
        question.question_id == event.question_id
        and not filed.given_up
        and filed.request.state not in {State.RESPONDED, State.CLOSED}
    )


def _given_up(tx: UnitOfWork, filed: Filed, question: OpenQuestion, kind: Question) -> Filed:
    """The request after the last notice: closed, unless work on its clear part still runs or waits for a person."""
    request, told = filed.request, replace(filed, question=question)
    tx.log_evidence(request.request_id, "question.given_up", {"question": kind})
    if kind is Question.IDENTITY:
        REQUESTS.labels(request.right, "identity_abandoned").inc()
        return replace(told, request=register.close(tx, told, Outcome.UNIDENTIFIED))
    if filed.finished is not None:
        return replace(told, request=register.close(tx, told, told.comes_to(filed.finished)))
    if request.state is State.AWAITING_CLARIFICATION:
        unsearched = deferrals.unsearched(filed.tasks)
        return replace(told, request=request.to(State.AWAITING_DECISION if unsearched else request.goes_on))
    return told


async def _write(tx: UnitOfWork, letters: Letters, filed: Filed, question: OpenQuestion, kind: Kind) -> None:
    sealed = await tx.vault.open_one(tx.connection, question.question_id)
    asked_on = _day(question.asked_at)
    # A question that was sent before its words were kept on their own stands in the letter of that day alone.
    words = sealed.decode() if sealed else f"(see our letter of {asked_on})"
    await correspondence.write(tx, letters, filed, kind, {"asked_on": asked_on, "question": words})


def _day(instant: datetime) -> str:
    return f"{instant:%d %B %Y}"
