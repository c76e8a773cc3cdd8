"""Moves of a request by its requester, or by other requests of the same person."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import deferrals
from services.intake.request.closing import lifting_letter
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.lifecycle import State, first_state
from services.intake.request.transition import (
    MovingRequest,
    Transition,
    answered,
    closed,
    ended,
    lifted,
    reopened,
    retried,
    verified,
    without_reply,
)
from shared.domain import events, reference
from shared.domain.errors import IllegalTransition
from shared.domain.events import Event
from shared.domain.rights import Outcome
from shared.domain.time_limit_policy import Question, TimeLimitPolicy


class MovedByRequester(MovingRequest):
    """A request that is received, verified, answered, left without an answer, withdrawn."""

    __slots__ = ()

    def receive(self, proof: Mapping[str, JsonValue]) -> Transition[Self]:
        """Somebody has asked; ``proof``: level and method of assurance that the channel states, and of what numbers."""
        detail = {"right": self.right, "role": self.role, "state": self.state, "due_on": self.due_on.isoformat()}
        instructed = {"tenant": self.tenant, "instruction_id": self.instruction_id} if self.tenant else {}
        published: tuple[Event, ...] = (events.RequestReceived.about(self),)
        if self.state is State.IN_PROGRESS:
            published += (events.RequestVerified.about(self),)
        return Transition(self, published, (("request.received", {**detail, **instructed, **proof}),))

    def verify(self, proof: Mapping[str, JsonValue], at: datetime, policy: TimeLimitPolicy) -> Transition[Self]:
        """The requester has proved who they are: work begins, or what had waited for that goes on.

        Proof that comes after the last notice reopens the request. A question that a person has worded and that nobody
        has been able to read is not answered by it: it stays open, and stops no work.
        """
        self.must_be_ours()
        proved = self.noted("identity.verified", **proof)
        if self.resumable and self.awaits_proof:
            return proved.then(reopened(self, at, policy))
        if self.state is State.AWAITING_DECISION and not self.awaits_proof:
            raise IllegalTransition("nothing of it waits for proof")
        untold, own = (self.question.untold, self.question.own_words) if self.question else (None, None)
        request = self.moved("verify", State.IN_PROGRESS, question=self.question if untold and own else None)
        goes_on = retried(request) if self.awaits_proof else verified(request)
        heard = Transition(self) if untold else answered(self, at)
        return proved.then(heard).then(goes_on)

    def answer(
        self, received_at: datetime, at: datetime, policy: TimeLimitPolicy, *, identities: bool
    ) -> Transition[Self]:
        """The requester has said what they mean: the request goes on, or closes with what was done meanwhile.

        What they say to a question of a person's about who they are proves nothing: proof is waited for still.

        Where a system could not be searched, it goes on by ``identities`` that came with the answer; else a person
        decides.
        """
        if self.question is not None and self.question.own_words and self.allows("answer_identity"):
            return self._heard(received_at)
        return self._clarified(received_at, at, policy, identities=identities)

    def _clarified(
        self, received_at: datetime, at: datetime, policy: TimeLimitPolicy, *, identities: bool
    ) -> Transition[Self]:
        if (
            self.question is None
            or (self.awaits_proof and not deferrals.answerable(self.tasks))
            or not (self.resumable or self.allows("answer"))
        ):
            raise IllegalTransition("no clarification is open; proof of identity goes to /verify")
        if self.resumable:
            return reopened(self, received_at, policy)
        said, request = answered(self, received_at), replace(self, question=None)
        begins_later = self.suspended or self.postponed  # and is searched then by what is known then
        if begins_later or (
            self.state is not State.AWAITING_CLARIFICATION and not (identities and self.search_incomplete)
        ):
            return said.then(Transition(request))
        if self.finished is not None:
            return said.then(ended(request, "answer", self.finished, at))
        if not self.search_incomplete:
            return said.then(Transition(request.moved("answer", first_state(self.role))))
        if not identities:
            return said.then(Transition(request.moved("answer", State.AWAITING_DECISION)))
        return said.then(retried(request.moved("answer", State.IN_PROGRESS)))

    def _heard(self, received_at: datetime) -> Transition[Self]:
        """What they have said about who they are is heard, and proof is waited for still."""
        untold = self.question is not None and self.question.untold
        heard = Transition(self) if untold else answered(self, received_at)
        return heard.then(Transition(self.moved("answer_identity", self.state, question=None)))

    def unanswered(self, event: events.TimerFired, words: str, at: datetime) -> Transition[Self]:
        """A reminder, or the last notice (Art. 12(4)): then it closes, unless its clear part is still worked on.

        Where a system could not be searched, it is answered with what was found elsewhere, as soon as that is known and
        nothing else is missing: what has failed, or is to be done by hand, comes before. The notice says which it is.
        """
        question, asked = self.question, event.question
        if question is None or asked is None or not self.awaits_answer_to(event.question_id):
            return self.noted("question.notice_late", notice=event.step, state=self.state)
        fields: Mapping[str, LetterField] = {"asked_on": question.asked_at, "question": words}
        if event.step == "reminder":
            return Transition(self, letters=(("question", {"about": "again", **fields}),))
        request = replace(self, question=replace(question, last_notice_at=at))
        begun = bool(self.tasks)
        in_part = begun and asked is Question.IDENTITY
        about = "proof" if in_part else "unsearched" if self.search_incomplete else "meaning"
        given_up = request.noted("question.given_up", question=asked)
        if asked is Question.IDENTITY and not begun:  # the notice says everything
            about = "identity"
            follows = replace(closed(request, "give_up", Outcome.UNIDENTIFIED, at), letters=())
        elif self.finished is not None:
            follows = closed(request, "give_up", request.amount_to(self.finished), at)
        else:
            follows = without_reply(request)
        answers = follows.request.decided or follows.request.state is State.CLOSED
        if about in {"proof", "unsearched"} and not answers:  # no letter is promised that must wait for something else
            about = f"{about}_unfinished"
        notice: LetterOf = ("last_notice", {**fields, "about": about})
        return replace(given_up, letters=(notice,)).then(follows)

    def withdraw(self, at: datetime) -> Transition[Self]:
        """The subject no longer wants it: what has not begun will not begin, and what may be resumed no longer may.

        A restriction that was answered and is in force is given up, and lifted as any (Art. 18(3)).
        """
        if self.is_in_force:
            given_up = self.noted("restriction.given_up").then(lifted(self, at))
            return replace(given_up, letters=(lifting_letter(self, "given_up", lifted_on=at),))
        # Before the closure: an erasure must stop working before the key that it works with is shredded.
        withdrawn = Transition(self, (events.RequestWithdrawn.about(self),))
        return withdrawn.then(closed(replace(self, question=None), "withdraw", Outcome.WITHDRAWN, at))


Cause = Literal["answered", "decided"]
"""Why a postponed erasure begins: nothing is awaited any more, or two persons decided."""


class MovedByOtherRequests(MovingRequest):
    """A request that waits for another of the same person."""

    __slots__ = ()

    def yield_to(self, awaits: Sequence[UUID], *, opposed: bool) -> Transition[Self]:
        """The erasure has found whose data they are, or would go on with its rest: other requests come before that.

        ``opposed``: one of them is a restriction, and a person must find out which of the two holds.
        """
        if not self.allows("yield_to"):
            return self.noted("erasure.postponed_late", state=self.state)
        goes = State.AWAITING_DECISION if opposed else State.IN_PROGRESS
        state = self.state if self.state is State.AWAITING_CLARIFICATION else goes
        request = self.moved("yield_to", state, postponed=True, opposed=opposed)
        others: list[JsonValue] = [str(other) for other in awaits]
        noted = request.noted("erasure.postponed", awaits=others, opposed=opposed)
        if opposed and not self.opposed:
            named = ", ".join(map(reference.of, awaits))
            return replace(noted, letters=(("update", {"about": "erasure_opposed", "restriction": named}),))
        return noted

    def begin(self, cause: Cause) -> Transition[Self]:
        """It waits no longer; a question that is open meanwhile stays open."""
        if not self.postponed:
            raise IllegalTransition("this request does not wait for another")
        state = State.AWAITING_CLARIFICATION if self.state is State.AWAITING_CLARIFICATION else State.IN_PROGRESS
        request = self.moved("begin", state, postponed=False, opposed=False)
        event = events.RetryDecided.about(request, regardless=cause == "decided")
        return request.noted("erasure.begun", event, cause=cause)

    def must_have_begun(self) -> None:
        """Raises ``IllegalTransition`` for an erasure that waits for other requests: it has nothing to be retried."""
        if self.postponed:
            raise IllegalTransition("it waits for other requests of the same person: answer those, or decide `begin`")
