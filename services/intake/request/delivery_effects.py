"""Applies what waits for the delivery of a letter: an answer, a question, an extension, a lift; pure.

In the portal a letter counts as read once it can be read, unless the mail that announces it cannot be delivered
(``announced_effects``). By e-mail or post it counts when the next server accepted it, or when it was posted. The end of
the clock, a question, an extension and the lift of a restriction (Art. 18(3)) wait for that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from pydantic import JsonValue

from services.intake.request.aggregate import Request, Transition
from services.intake.request.lifecycle import State
from shared.domain import events
from shared.domain.events import Event
from shared.domain.time_limit_policy import Question

OnDelivery = Mapping[str, JsonValue]
"""A decision that takes effect when its letter is delivered: an answer, a lift, a question or an extension.

It has more facts of its event. ``there``: the portal has shown it; the letter is the mail that says so.
"""
SENT_CHANNELS: frozenset[str] = frozenset({"email", "post"})
"""The channels whose letters are sent, and not fetched."""


def on_delivered(request: Request, letter: Sequence[OnDelivery], at: datetime) -> Transition:
    """Moves the request when a letter is delivered; drops what no longer applies."""
    published = list[Event]()
    for each in (one for one in letter if "there" not in one):
        match each["what"]:
            case "answer" if request.awaits_delivery:
                request = replace(request, responded_at=at)
                published.append(events.RequestClosed.about(request))
            case "lift" if request.lift_notified_at is not None and request.lifted_at is None:
                request = replace(request, lift_notified_at=at)
                published.append(events.LiftDecided.about(request))
            case "question" if request.question and request.question.undelivered and _is_open(request, each):
                asked = on_question_read(request, at)
                request = asked.request
                published += asked.published
            case "extension" if at < datetime.fromisoformat(str(each["tell_before"])):
                request = replace(request, due_on=date.fromisoformat(str(each["due_on"])))
                published.append(events.RequestExtended.about(request, reason=each["reason"], notified_at=at))
    return Transition(request, tuple(published))


def on_returned(request: Request, letter: Sequence[OnDelivery]) -> Transition:
    """Moves the request when a delivered letter has come back: the subject does not know what it says."""
    published = list[Event]()
    for each in letter:
        match each["what"]:
            case "answer" if request.state is State.CLOSED and request.responded_at is not None:
                request = replace(request, responded_at=None)
                published.append(events.LetterReturned.about(request, what="answer"))
            case "question" if (asked := request.question) and _is_open(request, each) and not asked.undelivered:
                request = replace(request, question=replace(asked, undelivered=True))
                about = {"what": "question", "question_id": asked.question_id}
                published.append(events.LetterReturned.about(request, **about))
            case "extension" if request.state is not State.CLOSED:
                request = replace(request, due_on=date.fromisoformat(str(each["due_before"])))
                published.append(events.LetterReturned.about(request, what="extension"))
    return Transition(request, tuple(published))


def on_question_read(request: Request, at: datetime) -> Transition:
    """Counts the open question as asked, once, since it can be read from now on.

    One about who they are that was overtaken by their proof asks what they mean, and stops no clock.
    """
    question = request.question
    if question is None or not question.undelivered:
        return Transition(request)
    request = replace(request, question=replace(question, asked_at=at, undelivered=False))
    about_who = request.state is State.AWAITING_IDENTITY or request.awaits_proof
    meant = request.state is State.AWAITING_CLARIFICATION and not request.awaits_proof
    sent = events.QuestionSent.about(
        request,
        question_id=question.question_id,
        question=(Question.IDENTITY if about_who else Question.CLARIFICATION).value,
        asked_at=at,
        condition_recorded=bool(question.condition_recorded) and (about_who or meant),
    )
    return Transition(request, (sent,))


def on_undeliverable(request: Request, letter: Sequence[OnDelivery], at: datetime) -> Transition:
    """Moves the request when a letter cannot be delivered: an answer counts as given, a restriction stays.

    A question of identity may be asked again; one about what they mean stays open, as work waits for it.
    """
    published = list[Event]()
    for each in letter:
        match each["what"]:
            case "answer" if request.awaits_delivery:
                request = replace(request, responded_at=at)
                published.append(events.RequestClosed.about(request))
            case "lift":
                request = replace(request, lift_notified_at=None)
            case "question" if request.state is State.AWAITING_IDENTITY and _is_open(request, each):
                request = replace(request, question=None)
    return Transition(request, tuple(published))


def _is_open(request: Request, each: OnDelivery) -> bool:
    """Whether the question that a letter asks is the one that is open."""
    return request.question is not None and request.question.question_id == UUID(str(each["question_id"]))


Evidence = Sequence[tuple[str, Mapping[str, JsonValue]]]
_OF_EXTENSION = ("reason", "due_on", "due_before", "tell_before")


def defer_until_delivered(transition: Transition, *, readable: bool = True) -> tuple[Transition, list[OnDelivery]]:
    """Splits a transition: what holds now, and the decisions that take effect on delivery of its letter.

    A part that is done while the answer is on its way is reported with the answer. In the portal nothing waits. A lift
    that its letter must precede (Art. 18(3)) is not undone either. ``readable``: the requester gets a mail that says
    so; else a question waits until they open their request.
    """
    if not readable:
        transition = _with_unsent_question(transition)
    request = transition.request
    if request.channel == "portal" and transition.letters:
        there = filter(None, (_on_delivery(event, transition.evidence) for event in transition.published))
        return transition, [{**each, "there": True} for each in there]
    if request.channel not in SENT_CHANNELS or request.tenant:
        return transition, []
    if not transition.letters:
        said = (event for event in transition.published if not isinstance(event, events.PartAnswered))
        return (replace(transition, published=tuple(said)) if request.awaits_delivery else transition), []
    deferred, published = list[OnDelivery](), list[Event]()
    for event in transition.published:
        if isinstance(event, events.RequestClosed):
            request = replace(request, responded_at=None)
        if isinstance(event, events.RequestExtended):
            request = replace(
                request, due_on=date.fromisoformat(str(_extension_evidence(transition.evidence)["due_before"]))
            )
        if decision := _on_delivery(event, transition.evidence):
            deferred.append(decision)
        elif not (isinstance(event, events.PartAnswered) and request.awaits_delivery):
            published.append(event)
    evidence = tuple((action, _until_informed(detail, deferred)) for action, detail in transition.evidence)
    later = replace(transition, request=request, published=tuple(published), evidence=evidence)
    return (_with_unsent_question(later) if any(each["what"] == "question" for each in deferred) else later), deferred


def announced_effects(letter: Sequence[OnDelivery]) -> list[OnDelivery]:
    """Returns the effects that wait again, since the mail that announced the letter in the portal did not arrive."""
    return without_lift(
        [{name: value for name, value in each.items() if name != "there"} for each in letter if "there" in each]
    )


def without_lift(letter: Sequence[OnDelivery]) -> list[OnDelivery]:
    """Returns the effects without a lift, which the systems have already been asked for."""
    return [each for each in letter if each["what"] != "lift"]


def _on_delivery(event: Event, evidence: Evidence) -> OnDelivery | None:
    match event:
        case events.RequestClosed():
            return {"what": "answer"}
        case events.LiftDecided():
            return {"what": "lift"}
        case events.QuestionSent():
            known = event.model_dump(mode="json", include={"question_id", "question", "condition_recorded"})
            return {"what": "question", **known}
        case events.RequestExtended():
            said = _extension_evidence(evidence)
            return {"what": "extension", **{name: said[name] for name in _OF_EXTENSION}}
        case _:
            return None


def _with_unsent_question(transition: Transition) -> Transition:
    """Returns the transition with its question open, but not counted as asked."""
    request = transition.request
    if request.question is None:
        return transition
    unread = replace(request, question=replace(request.question, undelivered=True))
    published = tuple(each for each in transition.published if not isinstance(each, events.QuestionSent))
    return replace(transition, request=unread, published=published)


def _extension_evidence(evidence: Evidence) -> Mapping[str, JsonValue]:
    return next(detail for action, detail in evidence if action == "extension.approved")


def _until_informed(detail: Mapping[str, JsonValue], deferred: Sequence[OnDelivery]) -> Mapping[str, JsonValue]:
    """Returns evidence without the time of a notification that is still on its way."""
    return {name: value for name, value in detail.items() if not (deferred and name == "informed_at")}
