"""What the delivery of a letter does to its request: from then on the subject was told, until it comes back; pure.

Whoever fetches their letters has been told once they can be read; in the portal, unless the mail that says so cannot be
delivered (``unknown``). Whoever asked by e-mail or by post is told when the letter was accepted by the next server, or
was posted: the end of the clock, a question, an extension and the lift of a restriction (Art. 18(3)) wait for that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Self, TypeVar
from uuid import UUID

from pydantic import JsonValue

from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition
from shared.domain import events
from shared.domain.events import Event
from shared.domain.time_limit_policy import Question

Told = Mapping[str, JsonValue]
"""What a letter tells: an answer, a lift, a question or an extension, with what its event says besides.

``there``: it can be read in the portal, and was told when that was written; the letter is the mail that says so.
"""
SENT_TO: frozenset[str] = frozenset({"email", "post"})
"""The channels by which somebody asks who does not fetch their letters."""


class MovedByDelivery(MovingRequest):
    """A request of which a letter was delivered, or has come back."""

    __slots__ = ()

    def told(self, letter: Sequence[Told], at: datetime) -> Transition[Self]:
        """A letter was delivered; what it tells of a state that is over by now is said no more."""
        request, published = self, list[Event]()
        for each in (one for one in letter if "there" not in one):
            match each["what"]:
                case "answer" if request.awaits_delivery:
                    request = replace(request, responded_at=at)
                    published.append(events.RequestClosed.about(request))
                case "lift" if request.lift_told_at is not None and request.lifted_at is None:
                    request = replace(request, lift_told_at=at)
                    published.append(events.LiftDecided.about(request))
                case "question" if request.question and request.question.untold and request.is_open(each):
                    shown = request.shown(at)
                    request = shown.request
                    published += shown.published
                case "extension" if at < datetime.fromisoformat(str(each["tell_before"])):
                    request = replace(request, due_on=date.fromisoformat(str(each["due_on"])))
                    published.append(events.RequestExtended.about(request, reason=each["reason"], told_at=at))
        return Transition(request, tuple(published))

    def untold(self, letter: Sequence[Told]) -> Transition[Self]:
        """A letter that was delivered has come back: what it was to tell, the subject does not know."""
        request, published = self, list[Event]()
        for each in letter:
            match each["what"]:
                case "answer" if request.state is State.CLOSED and request.responded_at is not None:
                    request = replace(request, responded_at=None)
                    published.append(events.LetterReturned.about(request, what="answer"))
                case "question" if (asked := request.question) and request.is_open(each) and not asked.untold:
                    request = replace(request, question=replace(asked, untold=True))
                    returned = {"what": "question", "question_id": asked.question_id}
                    published.append(events.LetterReturned.about(request, **returned))
                case "extension" if request.state is not State.CLOSED:
                    request = replace(request, due_on=date.fromisoformat(str(each["due_before"])))
                    published.append(events.LetterReturned.about(request, what="extension"))
        return Transition(request, tuple(published))

    def shown(self, at: datetime) -> Transition[Self]:
        """The open question can be read from now on: it counts as asked, once.

        One about who they are that was overtaken by their proof asks what they mean, and stops no clock.
        """
        if self.question is None or not self.question.untold:
            return Transition(self)
        request = replace(self, question=replace(self.question, asked_at=at, untold=False))
        about_who = self.state is State.AWAITING_IDENTITY or self.awaits_proof
        meant = self.state is State.AWAITING_CLARIFICATION and not self.awaits_proof
        sent = events.QuestionSent.about(
            request,
            question_id=self.question.question_id,
            question=(Question.IDENTITY if about_who else Question.CLARIFICATION).value,
            asked_at=at,
            condition_recorded=bool(self.question.condition_recorded) and (about_who or meant),
        )
        return Transition(request, (sent,))

    def undeliverable(self, letter: Sequence[Told], at: datetime) -> Transition[Self]:
        """Nobody can deliver the letter: an answer counts as given then, and a restriction is not lifted by it.

        Who somebody is may be asked anew then; what they mean stays open, since the rest of the work waits for that.
        """
        request, published = self, list[Event]()
        for each in letter:
            match each["what"]:
                case "answer" if request.awaits_delivery:
                    request = replace(request, responded_at=at)
                    published.append(events.RequestClosed.about(request))
                case "lift":
                    request = replace(request, lift_told_at=None)
                case "question" if request.state is State.AWAITING_IDENTITY and request.is_open(each):
                    request = replace(request, question=None)
        return Transition(request, tuple(published))

    def is_open(self, told: Told) -> bool:
        """Whether the question that a letter asks is the one that is open."""
        return self.question is not None and self.question.question_id == UUID(str(told["question_id"]))

    @property
    def awaits_delivery(self) -> bool:
        """Whether it is closed, and its answer has not reached the subject yet."""
        return self.state is State.CLOSED and self.responded_at is None


Evidence = Sequence[tuple[str, Mapping[str, JsonValue]]]
_OF_EXTENSION = ("reason", "due_on", "due_before", "tell_before")
M = TypeVar("M", bound=MovedByDelivery)


def until_delivered(transition: Transition[M], *, readable: bool = True) -> tuple[Transition[M], list[Told]]:
    """The transition without what is said only once its letter is delivered, and that.

    What is done of a part while the answer is on its way is said with the answer. Of what is read in the portal nothing
    waits; what must not be begun before it was told (Art. 18(3)) is not undone either. ``readable``: whoever has asked
    there gets a mail that says so; else a question waits until they open their request.
    """
    if not readable:
        transition = _unasked(transition)
    request = transition.request
    if request.channel == "portal" and transition.letters:
        there = filter(None, (_told_by(event, transition.evidence) for event in transition.published))
        return transition, [{**each, "there": True} for each in there]
    if request.channel not in SENT_TO or request.tenant:
        return transition, []
    if not transition.letters:
        said = (event for event in transition.published if not isinstance(event, events.PartAnswered))
        return (replace(transition, published=tuple(said)) if request.awaits_delivery else transition), []
    told, published = list[Told](), list[Event]()
    for event in transition.published:
        if isinstance(event, events.RequestClosed):
            request = replace(request, responded_at=None)
        if isinstance(event, events.RequestExtended):
            request = replace(request, due_on=date.fromisoformat(str(_extended(transition.evidence)["due_before"])))
        if tells := _told_by(event, transition.evidence):
            told.append(tells)
        elif not (isinstance(event, events.PartAnswered) and request.awaits_delivery):
            published.append(event)
    evidence = tuple((action, _until_informed(detail, told)) for action, detail in transition.evidence)
    later = replace(transition, request=request, published=tuple(published), evidence=evidence)
    return (_unasked(later) if any(each["what"] == "question" for each in told) else later), told


def unknown(letter: Sequence[Told]) -> list[Told]:
    """What such a mail was to tell, once nobody can know of it: it is told when it was delivered after all."""
    return without_lift(
        [{name: value for name, value in each.items() if name != "there"} for each in letter if "there" in each]
    )


def without_lift(letter: Sequence[Told]) -> list[Told]:
    """Returns what a letter tells without the lift, which systems were asked for: sent again it asks them no more."""
    return [each for each in letter if each["what"] != "lift"]


def _told_by(event: Event, evidence: Evidence) -> Told | None:
    match event:
        case events.RequestClosed():
            return {"what": "answer"}
        case events.LiftDecided():
            return {"what": "lift"}
        case events.QuestionSent():
            known = event.model_dump(mode="json", include={"question_id", "question", "condition_recorded"})
            return {"what": "question", **known}
        case events.RequestExtended():
            said = _extended(evidence)
            return {"what": "extension", **{name: said[name] for name in _OF_EXTENSION}}
        case _:
            return None


def _unasked(transition: Transition[M]) -> Transition[M]:
    """The transition with its question open, and not asked yet."""
    request = transition.request
    if request.question is None:
        return transition
    unread = replace(request, question=replace(request.question, untold=True))
    published = tuple(each for each in transition.published if not isinstance(each, events.QuestionSent))
    return replace(transition, request=unread, published=published)


def _extended(evidence: Evidence) -> Mapping[str, JsonValue]:
    return next(detail for action, detail in evidence if action == "extension.approved")


def _until_informed(detail: Mapping[str, JsonValue], told: Sequence[Told]) -> Mapping[str, JsonValue]:
    """What is on record, without an instant that has not come yet."""
    return {name: value for name, value in detail.items() if not (told and name == "informed_at")}
