"""A step of a request, and what follows from it: events, evidence, letters; and the steps that several causes take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from pydantic import JsonValue

from services.intake.request import deferrals, reports
from services.intake.request.closing import closing_letter
from services.intake.request.letter_kinds import LetterOf
from services.intake.request.lifecycle import State, first_state
from services.intake.request.stored_request import StoredRequest
from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.events import Event
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import resumed_due
from shared.domain.time_limit_policy import TimeLimitPolicy

Evidence = tuple[str, Mapping[str, JsonValue]]
R = TypeVar("R", bound="MovingRequest")


@dataclass(frozen=True, slots=True)
class Transition(Generic[R]):
    """The request as it is from now on, and what follows: events, evidence, and letters to the subject."""

    request: R
    published: tuple[Event, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    letters: tuple[LetterOf, ...] = ()

    def then(self, after: "Transition[R]") -> "Transition[R]":
        """Both, one after the other."""
        published, evidence = (*self.published, *after.published), (*self.evidence, *after.evidence)
        return Transition(after.request, published, evidence, (*self.letters, *after.letters))


class MovingRequest(StoredRequest):
    """A request that moves, and says what is on record about it."""

    __slots__ = ()

    @property
    def is_in_force(self) -> bool:
        """Whether it is an answered restriction that was asked for, and that nobody has decided to lift."""
        asked = self.right is Right.RESTRICTION and self.state is State.CLOSED and not self.resumable
        restricts = self.outcome in {Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED}
        return asked and restricts and self.lift_told_at is None and self.lifted_at is None

    @property
    def search_incomplete(self) -> bool:
        """Whether more could be found by proof, or by what else the subject is known."""
        return self.unsearched or deferrals.ambiguous(self.tasks)

    def must_be_ours(self) -> None:
        """Checks that we decide about the data: where a customer of ours does, we only forward.

        Raises:
            IllegalTransition: a customer of ours decides.
        """
        if self.role == "processor":
            raise IllegalTransition("we only process these data for a customer: forward the request to that customer")

    def moved_in_place(self, cause: str, **changes: Any) -> Self:
        """The request in its state, and resumable as before, with what else has changed.

        Raises:
            IllegalTransition: see ``must_allow``.
        """
        self.must_allow(cause)
        return replace(self, **changes)

    def moved(self, cause: str, state: State, **changes: Any) -> Self:
        """The request in another state, with what else has changed.

        Raises:
            IllegalTransition: see ``must_allow``.
        """
        self.must_allow(cause)
        return replace(self, **{"state": state, "resumable": False, **changes})

    def reports_with(self, later: Sequence[TaskReport]) -> tuple[TaskReport, ...]:
        """Its reports with later ones: nothing that was done since it was received is forgotten."""
        return reports.with_later(self.right, self.tasks, later)

    def noted(self, action: str, *published: Event, **detail: JsonValue) -> Transition[Self]:
        """The request as it is, with one entry of evidence, and what is published with it."""
        return Transition(self, published, ((action, detail),))


def verified(request: R) -> Transition[R]:
    """Work may begin."""
    return Transition(request, (events.RequestVerified.about(request),))


def closed(request: R, cause: str, outcome: Outcome, at: datetime) -> Transition[R]:
    """The subject has their answer, which is written as the letter of that outcome, and the clock stops.

    Whoever was told that they may resume it at any time may do so, however it ended; not if they withdrew it, nor if a
    customer of ours is to answer. Where it is such a customer's instruction, we have assisted, and fulfilled nothing.
    """
    if request.tenant and outcome in {Outcome.FULFILLED, Outcome.NO_DATA}:
        outcome = Outcome.ASSISTED
    resumable = request.given_up and outcome not in {Outcome.WITHDRAWN, Outcome.FORWARDED}
    lifts = lifts_with(request, outcome)
    known: dict[str, Any] = {"outcome": outcome, "responded_at": at, "closed_at": at, "resumable": resumable}
    closed = request.moved(cause, State.CLOSED, **known, **({"lift_told_at": at} if lifts else {}))
    detail: dict[str, JsonValue] = {"resumable": True} if resumable else {}
    event = events.RequestClosed.about(closed)
    noted = closed.noted("request.closed", event, right=request.right, outcome=outcome, **detail)
    ended = replace(noted, letters=closing_letter(closed))
    return lifted(closed, at).then(ended) if lifts else ended


def lifts_with(request: StoredRequest, outcome: Outcome) -> bool:
    """Whether a restriction is lifted as the request closes so: what has taken effect, or may at this very moment."""
    begun = request.allows("complete") or request.was_restricted
    nothing = outcome is Outcome.NO_DATA and not request.was_restricted
    return request.restricts and begun and not nothing and reports.ends_with(request.right, outcome)


def lifted(request: R, at: datetime) -> Transition[R]:
    """A restriction is to be lifted, of which the subject is told by a letter of this very transition (Art. 18(3))."""
    told = replace(request, lift_told_at=at)
    event = events.LiftDecided.about(told)
    return told.noted("restriction.lift_decided", event, informed_at=at.isoformat())


def ended(request: R, cause: str, work: Outcome, at: datetime) -> Transition[R]:
    """The work has ended: that is the answer."""
    return closed(request, cause, request.amount_to(work), at)


def reopened(request: R, answered_at: datetime, policy: TimeLimitPolicy) -> Transition[R]:
    """Work begins, as if it had not been closed, with the time that was left when the question was sent (REQ-T9)."""
    question = request.question
    if question is None:
        raise IllegalTransition(f"a request that is {request.state} without an open question cannot be resumed")
    due_on = resumed_due(question.asked_at, answered_at, request.zones, request.due_on, policy)
    nothing = dict.fromkeys(("outcome", "responded_at", "closed_at", "question", "finished", "decided", "warning"))
    resumed = request.moved("reopen", State.IN_PROGRESS, due_on=due_on, resumed=True, owed=False, **nothing)
    event = events.RequestReopened.about(resumed, question_id=question.question_id, answered_at=answered_at)
    noted = resumed.noted("request.reopened", event, due_on=due_on.isoformat(), received_at=answered_at.isoformat())
    letter: LetterOf = ("update", {"about": "reopened", "answered_on": answered_at, "new_due": due_on})
    return replace(noted, letters=(letter,)).then(verified(resumed))


def answered(request: R, received_at: datetime) -> Transition[R]:
    """That the open question has its answer, if one is open; the request is left as it is."""
    if request.question is None:
        return Transition(request)
    event = events.QuestionAnswered.about(request, question_id=request.question.question_id, answered_at=received_at)
    return request.noted("question.answered", event, received_at=received_at.isoformat())


def without_reply(request: R) -> Transition[R]:
    """The requester was told that we go on without their answer: how it goes on from where it waits.

    What clarifies nothing any more goes on; what could not be searched is answered with what was found elsewhere. That
    comes as soon as nothing else is missing: what waits for a person, a key or another request comes before.
    """
    waits_already = request.state in {State.IN_PROGRESS, State.AWAITING_DECISION}
    if request.suspended or request.postponed or (waits_already and not deferrals.only_unsearched(request.tasks)):
        return Transition(request.moved("give_up", request.state if waits_already else State.IN_PROGRESS))
    if not request.search_incomplete:
        return Transition(request.moved("give_up", first_state(request.role)))
    if request.state is State.IN_PROGRESS:  # it is being searched once more
        return Transition(request)
    if not deferrals.only_unsearched(request.tasks):
        return Transition(request.moved("give_up", State.AWAITING_DECISION))
    outcome = Outcome.PARTIALLY_FULFILLED if deferrals.found(request.tasks) else Outcome.UNIDENTIFIED
    awaiting = request.moved("give_up", State.IN_PROGRESS, decided=outcome)
    return Transition(awaiting, (events.AnswerDecided.about(awaiting, outcome=outcome, owed=False),))


def less_owed(before: StoredRequest, after: StoredRequest) -> tuple[Event, ...]:
    """That something was done which was owed of an answered request, if it was."""
    return (events.PartAnswered.about(after),) if after.outstanding != before.outstanding else ()


def retried(request: R) -> Transition[R]:
    """What is not done is tried again."""
    return Transition(request, (events.RetryDecided.about(request),))
