"""The request as an aggregate: each cause of ``services.intake.lifecycle`` is a method; pure, no clock, no database.

A method returns a ``Transition``, or raises ``IllegalTransition`` where the lifecycle has no such step. What arrives
too late on the bus is no error: it is a transition that changes nothing and is named in the evidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import JsonValue

from services.intake import deferrals, limits
from services.intake.closing import closing_letter
from services.intake.letters import LetterKind, LetterOf
from services.intake.lifecycle import State, first_state
from services.intake.stored_request import OpenQuestion, StoredRequest
from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.events import Event
from shared.domain.operations import Limit, Operation, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.suspension import resumed_due
from shared.domain.time_limit import Arrival
from shared.domain.time_limit_policy import Question, TimeLimitPolicy

Evidence = tuple[str, Mapping[str, JsonValue]]
Redating = Literal["receipt_corrected", "policy_changed"]
_ASKED: Mapping[Question, tuple[str, State, LetterKind]] = {
    Question.IDENTITY: ("ask_identity", State.AWAITING_IDENTITY, "identity_question"),
    Question.CLARIFICATION: ("ask_meaning", State.AWAITING_CLARIFICATION, "clarification_question"),
}
_LAST_NOTICE: Mapping[Question, LetterKind] = {
    Question.IDENTITY: "identity_last_notice",
    Question.CLARIFICATION: "clarification_last_notice",
}
_IN_FORCE = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})


@dataclass(frozen=True, slots=True)
class Transition:
    """The request as it is from now on, and what follows: events, evidence, and letters to the subject."""

    request: "Request"
    published: tuple[Event, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    letters: tuple[LetterOf, ...] = ()

    def then(self, after: "Transition") -> "Transition":
        """Both, one after the other."""
        published, evidence = (*self.published, *after.published), (*self.evidence, *after.evidence)
        return Transition(after.request, published, evidence, (*self.letters, *after.letters))


@dataclass(frozen=True, slots=True)
class Request(StoredRequest):
    """A data subject request, and what moves it."""

    def noted(self, action: str, *published: Event, **detail: JsonValue) -> Transition:
        """The request as it is, with one entry of evidence, and what is published with it."""
        return Transition(self, published, ((action, detail),))

    def receive(self, proof: Mapping[str, JsonValue]) -> Transition:
        """Somebody has asked; ``proof``: level and method of assurance that the channel states, and of what numbers."""
        detail = {"right": self.right, "role": self.role, "state": self.state, "due_on": self.due_on.isoformat()}
        published: tuple[Event, ...] = (events.RequestReceived.about(self),)
        if self.state is State.IN_PROGRESS:
            published += (events.RequestVerified.about(self),)
        return Transition(self, published, (("request.received", {**detail, **proof}),))

    def verify(self, proof: Mapping[str, str], at: datetime, policy: TimeLimitPolicy) -> Transition:
        """The requester has proved who they are; proof that comes after the last notice reopens the request."""
        self.must_be_ours()
        proved = self.noted("identity.verified", **proof)
        if self.outcome is Outcome.UNIDENTIFIED:
            return proved.then(_reopened(self, at, policy))
        request = self.moved("verify", State.IN_PROGRESS, question=None)
        return proved.then(_answered(self, at)).then(_verified(request))

    def ask(self, asked: Question, question_id: UUID, words: str, at: datetime, *, recorded: bool) -> Transition:
        """A question is sent, one at a time; a clarification never stops work that has begun (REQ-T10).

        ``recorded``: reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file.
        """
        if self.question is not None:
            raise IllegalTransition("a question is open already; wait for its answer")
        cause, state, letter = _ASKED[asked]
        request = self.moved(cause, state, question=OpenQuestion(question_id, at))
        sent = events.QuestionSent.about(
            self, question_id=question_id, question=asked.value, asked_at=at, condition_recorded=recorded
        )
        noted = request.noted("question.sent", sent, question=asked, condition_recorded=recorded)
        return replace(noted, letters=((letter, {"question": words}),))

    def answer(self, received_at: datetime, at: datetime, policy: TimeLimitPolicy, *, identities: bool) -> Transition:
        """The requester has said what they mean: the request goes on, or closes with what was done meanwhile.

        Where a system could not be searched, it goes on by ``identities`` that came with the answer; else a person
        decides.
        """
        if (
            self.question is None
            or self.outcome is Outcome.UNIDENTIFIED
            or not (self.resumable or self.allows("answer"))
        ):
            raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
        if self.resumable:
            return _reopened(self, received_at, policy)
        answered, request = _answered(self, received_at), replace(self, question=None)
        if self.state is not State.AWAITING_CLARIFICATION:
            return answered.then(Transition(request))
        if self.finished is not None:
            return answered.then(_closed(request, "answer", self.finished, at))
        if not self.unsearched:
            return answered.then(Transition(request.moved("answer", first_state(self.role))))
        if not identities:
            return answered.then(Transition(request.moved("answer", State.AWAITING_DECISION)))
        return answered.then(_retried(request.moved("answer", State.IN_PROGRESS)))

    def unanswered(self, event: events.QuestionUnanswered, words: str, at: datetime) -> Transition:
        """A reminder, or the last notice (Art. 12(4)): then it closes, unless its clear part is still worked on."""
        question, asked = self.question, Question(event.question)
        if question is None or not self.awaits_answer_to(event.question_id):
            return self.noted("question.notice_late", notice=event.notice, state=self.state)
        fields: Mapping[str, str | date] = {"asked_on": question.asked_at, "question": words}
        if event.notice == "reminder":
            return Transition(self, letters=(("question_reminder", fields),))
        request = replace(self, question=replace(question, last_notice_at=at))
        notice: LetterOf = (_LAST_NOTICE[asked], fields)
        given_up = replace(request.noted("question.given_up", question=asked), letters=(notice,))
        if asked is Question.IDENTITY:  # of which the notice says everything
            return given_up.then(replace(_closed(request, "give_up", Outcome.UNIDENTIFIED, at), letters=()))
        if self.finished is not None:
            return given_up.then(_closed(request, "give_up", request.amount_to(self.finished), at))
        if self.state is State.AWAITING_CLARIFICATION:
            state = State.AWAITING_DECISION if self.unsearched else first_state(self.role)
            return given_up.then(Transition(request.moved("give_up", state)))
        return given_up

    def complete(self, event: events.FulfilmentCompleted, at: datetime) -> Transition:
        """Every downstream has done its part: the subject has their answer, unless a question is still open."""
        if event.operation == Operation.LIFT:
            return self.noted("restriction.lift_completed", outcome=event.outcome)
        if event.deferred:
            return _deferred(self, "erasure.deferred_completed", event.tasks)
        if not self.allows("complete"):
            return self.noted("completion.late", state=self.state, outcome=event.outcome)
        done = replace(self, tasks=event.tasks, package_id=event.package_id or self.package_id)
        if self.state is State.AWAITING_CLARIFICATION:
            return replace(done, finished=event.outcome).noted("completion.waits_for_reply", outcome=event.outcome)
        return _closed(done, "complete", self.amount_to(event.outcome), at)

    def block(self, event: events.FulfilmentBlocked) -> Transition:
        """A downstream failed for good: a person must decide; nothing is called done that is not."""
        if event.deferred:
            return _deferred(self, "erasure.deferred_blocked", event.tasks)
        if not self.allows("block"):
            return self.noted("completion.late", state=self.state, blocked=True)
        waiting = self.moved("block", State.AWAITING_DECISION, tasks=event.tasks)
        return waiting.noted("decision.needed", operation=event.operation)

    def may_be_asked(self, reports: Sequence[TaskReport]) -> bool:
        """Whether the requester is asked by what else they are known: nothing failed, and a system was not searched.

        They are asked once, unless a person asks again.
        """
        fresh = self.state is State.IN_PROGRESS and self.question is None and not self.unsearched
        return fresh and deferrals.unsearched(reports) and not any(report.failure for report in reports)

    def retry(self, at: datetime) -> Transition:
        """A person wants what is not done tried again; of a closed erasure, what waits for a person."""
        if self.state is State.CLOSED and deferrals.await_a_person(self.tasks):
            return self.noted("decision.made", decision="retry", deferred=True).then(_retried(self))
        decided = _decided(self, "retry", at)
        waits = decided.request.question is not None and not self.given_up
        state = State.AWAITING_CLARIFICATION if waits else State.IN_PROGRESS
        return decided.then(_retried(decided.request.moved("retry", state)))

    def confirm(self, system: str, limit: Limit, holder: str) -> Transition:
        """Two persons let a task touch what it has found beyond a limit: with the second's word it goes on."""
        deferred = self.state is State.CLOSED and deferrals.await_a_person(self.tasks)
        self.must_allow("confirm_deferred" if deferred else "confirm")
        word = limits.confirm(self.tasks, system, limit, holder)
        state = State.IN_PROGRESS if word.by_two and self.state is State.AWAITING_DECISION else self.state
        request = replace(self, state=state, tasks=word.tasks)
        event = events.LimitConfirmed.about(request, system=system, limit=limit, at_most=word.at_most)
        published = (event,) if word.by_two else ()
        return request.noted("limit.confirmed", *published, **word.detail)

    def close_partially(self, at: datetime) -> Transition:
        """A person closes it with what was done."""
        decided = _decided(self, "close_partially", at)
        return decided.then(_closed(decided.request, "close_partially", Outcome.PARTIALLY_FULFILLED, at))

    def withdraw(self, at: datetime) -> Transition:
        """The subject no longer wants it: what has not begun will not begin, and what may be resumed no longer may."""
        # Before the closure: an erasure must stop working before the key that it works with is shredded.
        withdrawn = Transition(self, (events.RequestWithdrawn.about(self),))
        return withdrawn.then(_closed(replace(self, question=None), "withdraw", Outcome.WITHDRAWN, at))

    def forward(self, answered_by: str, at: datetime, **detail: JsonValue) -> Transition:
        """The customer who decides about the data has it (Art. 28(3)(e)); what was taken for ours may turn out theirs.

        ``answered_by``: how the subject is told who answers.
        """
        if self.role == "controller" and self.state is not State.AWAITING_IDENTITY:
            raise IllegalTransition("only what a customer decides about is forwarded, and before we began to answer")
        told: LetterOf = ("forwarded", {"controller": answered_by})
        noted = replace(self.noted("request.forwarded", **detail), letters=(told,))
        return noted.then(_closed(replace(self, role="processor"), "forward", Outcome.FORWARDED, at))

    def lift(self, at: datetime) -> Transition:
        """A restriction is to be lifted: the subject is told before any system is changed (Art. 18(3))."""
        if self.right is not Right.RESTRICTION or self.outcome not in _IN_FORCE:
            raise IllegalTransition("only a restriction that is in force can be lifted")
        decided = self.noted("restriction.lift_decided", events.LiftDecided.about(self), informed_at=at.isoformat())
        return replace(decided, letters=(("lifting", {"lifted_on": at}),))

    def extend(self, due_on: date, reason: str, words: Mapping[str, str], at: datetime, proposed_by: str) -> Transition:
        """Two persons agree that it needs more time; ``words``: what the subject is told of it (Art. 12(3))."""
        request = self.moved("extend", self.state, due_on=due_on, extended=True)
        event = events.RequestExtended.about(request, reason=reason, told_at=at)
        detail = {"reason": reason, "due_on": due_on.isoformat(), "proposed_by": f"key:{proposed_by}"}
        noted = request.noted("extension.approved", event, **detail)
        return replace(noted, letters=(("extension", {**words, "new_due": due_on}),))

    def redate(
        self, cause: Redating, arrival: Arrival, due_on: date, calc_version: str, **why: JsonValue
    ) -> Transition:
        """Another arrival or due date holds; a warning of a date that has moved away is no longer true."""
        arrived = {"received_at": arrival.received_at, "zones": arrival.zones, "calendar": arrival.calendar or ""}
        warning = None if due_on > self.due_on else self.warning
        moved = self.moved("redate", self.state, due_on=due_on, calc_version=calc_version, warning=warning, **arrived)
        event = events.RequestRedated.about(moved, cause=cause)
        return moved.noted("request.redated", event, cause=cause, before=self.dates, after=moved.dates, **why)

    def warn(self, warning: str) -> Transition:
        """While open, it shows its latest milestone; a missed target of the staff hides no warning of the limit."""
        graver = warning.startswith("target_") and not (self.warning or "target_").startswith("target_")
        return Transition(self if graver or self.state is State.CLOSED else replace(self, warning=warning))


def _verified(request: Request) -> Transition:
    return Transition(request, (events.RequestVerified.about(request),))


def _closed(request: Request, cause: str, outcome: Outcome, at: datetime) -> Transition:
    """The subject has their answer, and the clock stops.

    Whoever was told that they may resume it at any time may do so, however it ended; not if they withdrew it, nor if a
    customer of ours is to answer.
    """
    resumable = request.given_up and outcome not in {Outcome.WITHDRAWN, Outcome.FORWARDED}
    closed = replace(
        request.moved(cause, State.CLOSED), outcome=outcome, responded_at=at, closed_at=at, resumable=resumable
    )
    detail: dict[str, JsonValue] = {"resumable": True} if resumable else {}
    event = events.RequestClosed.about(closed)
    noted = closed.noted("request.closed", event, right=request.right, outcome=outcome, **detail)
    return replace(noted, letters=closing_letter(closed))


def _reopened(request: Request, answered_at: datetime, policy: TimeLimitPolicy) -> Transition:
    """Work begins, as if it had not been closed, with the time that was left when the question was sent (REQ-T9)."""
    question = request.question
    if question is None:
        raise IllegalTransition(f"a request that is {request.state} without an open question cannot be resumed")
    due_on = resumed_due(question.asked_at, answered_at, request.zones, request.due_on, policy)
    nothing = dict.fromkeys(("outcome", "responded_at", "closed_at", "question", "finished", "warning"))
    resumed = request.moved("reopen", State.IN_PROGRESS, due_on=due_on, resumed=True, **nothing)
    event = events.RequestReopened.about(resumed, question_id=question.question_id, answered_at=answered_at)
    noted = resumed.noted("request.reopened", event, due_on=due_on.isoformat(), received_at=answered_at.isoformat())
    letter: LetterOf = ("reopened", {"answered_on": answered_at, "new_due": due_on})
    return replace(noted, letters=(letter,)).then(_verified(resumed))


def _answered(request: Request, received_at: datetime) -> Transition:
    """That the open question has its answer, if one is open; the request is left as it is."""
    if request.question is None:
        return Transition(request)
    event = events.QuestionAnswered.about(request, question_id=request.question.question_id, answered_at=received_at)
    return request.noted("question.answered", event, received_at=received_at.isoformat())


def _decided(request: Request, decision: str, at: datetime) -> Transition:
    """A person has decided; they need not wait for an answer by what else the requester is known."""
    request.must_be_ours()
    if request.state is not State.AWAITING_CLARIFICATION:
        return request.noted("decision.made", decision=decision)
    if not request.unsearched:
        raise IllegalTransition(f"a request that is {request.state} does not wait for a decision")
    return _answered(request, at).then(replace(request, question=None).noted("decision.made", decision=decision))


def _retried(request: Request) -> Transition:
    return Transition(request, (events.RetryDecided.about(request),))


def _deferred(request: Request, action: str, tasks: Sequence[TaskReport]) -> Transition:
    """``action`` is on record with what came of each system: its outcome, or why it failed."""
    updated = replace(request, tasks=deferrals.updated(request.tasks, tasks))
    return updated.noted(action, systems={report.system: report.outcome or report.failure for report in tasks})
