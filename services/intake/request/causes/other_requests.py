"""What other requests of the same person do to a request: an erasure waits for them.

``postponed``: an erasure that may begin, and does not yet, since what the same person asked to see is to be answered
first; or any other request while an erasure of the same person is at work. It shows ``in_progress``, or
``awaiting_decision`` once time is short, or where a restriction of the same person opposes the erasure.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request.letter_kinds import LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition, lifted, retried, verified
from shared.domain import events, reference
from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome, Right

Cause = Literal["answered", "waived", "decided"]
"""Why a postponed erasure begins: nothing is awaited any more, the person wants it at once, or one of ours decided."""


class MovedByOtherRequests(MovingRequest):
    """A request that waits for another of the same person."""

    __slots__ = ()

    def postpone(self) -> Transition[Self]:
        """It could begin now, and waits for another request of the same person (G1)."""
        request = replace(self, postponed=True)
        return request.noted(f"{self.right}.postponed", events.RequestPostponed.about(request))

    def yield_to(self, awaits: Sequence[UUID], *, opposed: bool) -> Transition[Self]:
        """The erasure has found whose data they are, or would go on with its rest: other requests come before that.

        ``opposed``: one of them is a restriction, and a person must find out which of the two holds.
        """
        if not self.allows("yield_to"):
            return self.noted("erasure.postponed_late", state=self.state)
        waiting = self.state is State.AWAITING_CLARIFICATION
        goes = State.AWAITING_DECISION if opposed else State.IN_PROGRESS
        state = self.state if waiting else goes
        after = {"postponed": True, "begun": True, "opposed": opposed, "question": self.question}
        request = self.moved("yield_to", state, **after)
        others: list[JsonValue] = [str(other) for other in awaits]
        event = events.RequestPostponed.about(request)
        noted = request.noted("erasure.postponed", event, awaits=others, opposed=opposed)
        if opposed and not self.opposed:
            noted = replace(
                noted, letters=(("erasure_opposed", {"restriction": ", ".join(map(reference.of, awaits))}),)
            )
        return noted.then(request.begin("waived")) if self.at_once and not opposed else noted

    def begin(self, cause: Cause) -> Transition[Self]:
        """It waits no longer; a question that is open meanwhile stays open."""
        if not self.postponed:
            raise IllegalTransition("this request does not wait for another")
        state = State.AWAITING_CLARIFICATION if self.state is State.AWAITING_CLARIFICATION else State.IN_PROGRESS
        waived, insisted = self.at_once or cause != "answered", self.insisted or cause == "decided"
        begun: dict[str, bool] = {
            "postponed": False,
            "begun": False,
            "opposed": False,
            "at_once": waived,
            "insisted": insisted,
        }
        request = self.moved("begin", state, **begun)
        goes_on = retried(request) if self.begun else verified(request)
        return request.noted(f"{self.right}.begun", cause=cause).then(goes_on)

    def end_with_erasure(self, erasure: UUID, at: datetime) -> Transition[Self]:
        """What it restricts is to be erased: it is lifted, and the subject told before anything is changed."""
        if not self.is_in_force:
            return Transition(self)
        noted = self.noted("restriction.ended_by_erasure", erasure=str(erasure))
        ended = noted.then(lifted(replace(self, ended_by=erasure), at))
        letter: LetterOf = ("lifting", {"lifted_on": at, "cause": "erased", "erasure": reference.of(erasure)})
        return replace(ended, letters=(letter,))

    def waive(self) -> Transition[Self]:
        """The person does not want their erasure to wait for what else they have asked for."""
        if self.right is not Right.ERASURE:
            raise IllegalTransition("only an erasure waits for other requests")
        if self.postponed:
            return self.noted("erasure.waiting_waived").then(self.begin("waived"))
        return self.moved("waive", self.state, at_once=True).noted("erasure.waiting_waived")

    def waive_packages(self) -> Transition[Self]:
        """The person wants their erasure to remove the packages, too, that were made for their earlier requests."""
        if self.right is not Right.ERASURE:
            raise IllegalTransition("only an erasure removes the packages of other requests")
        if self.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED} or self.packages_waived:
            raise IllegalTransition("it removes nothing, or was told to remove the packages before")
        return self.moved_in_place("waive_packages", packages_waived=True).noted("packages.waived")

    def must_have_begun(self) -> None:
        """Raises ``IllegalTransition`` for an erasure that waits for other requests: it has nothing to be retried."""
        if self.postponed:
            raise IllegalTransition("it waits for other requests of the same person: answer those, or decide `begin`")

    def time_is_short(self) -> Transition[Self]:
        """The due date is near, and what it waits for has not ended: a person must say how it goes on."""
        return self.moved("time_is_short", State.AWAITING_DECISION).noted("decision.needed", right=self.right)
