"""What other requests of the same person do to a request: an erasure waits for them, a duplicate ends with the first.

``postponed``: an erasure that may begin, and whose work has not begun, since what the same person asked to see is to be
answered first. It shows ``in_progress``, or ``awaiting_decision`` once time is short.
"""

from dataclasses import replace
from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from services.intake.letters import LetterOf
from services.intake.lifecycle import State
from services.intake.transition import MovingRequest, Transition, closed, verified
from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome, Right

Cause = Literal["answered", "waived", "decided"]
"""Why a postponed erasure begins: nothing is awaited any more, the person wants it at once, or one of ours decided."""


class MovedByOtherRequests(MovingRequest):
    """A request that waits for another of the same person, or repeats it."""

    __slots__ = ()

    def postpone(self) -> Transition[Self]:
        """The erasure could begin now, and waits for what the same person asked to see (G1)."""
        request = replace(self, postponed=True)
        return request.noted("erasure.postponed", events.RequestPostponed.about(request))

    def begin(self, cause: Cause) -> Transition[Self]:
        """The erasure waits no longer; a question that is open meanwhile stays open."""
        if not self.postponed:
            raise IllegalTransition("this request does not wait for another")
        state = State.AWAITING_CLARIFICATION if self.state is State.AWAITING_CLARIFICATION else State.IN_PROGRESS
        request = self.moved("begin", state, postponed=False, at_once=self.at_once or cause != "answered")
        return request.noted("erasure.begun", cause=cause).then(verified(request))

    def waive(self) -> Transition[Self]:
        """The person does not want their erasure to wait for what else they have asked for."""
        if self.right is not Right.ERASURE:
            raise IllegalTransition("only an erasure waits for other requests")
        if self.postponed:
            return self.noted("erasure.waiting_waived").then(self.begin("waived"))
        return self.moved("waive", self.state, at_once=True).noted("erasure.waiting_waived")

    def must_have_begun(self) -> None:
        """Raises ``IllegalTransition`` for an erasure that waits for other requests: it has nothing to be retried."""
        if self.postponed:
            raise IllegalTransition("it waits for other requests of the same person: answer those, or decide `begin`")

    def time_is_short(self) -> Transition[Self]:
        """The due date is near, and what the erasure waits for is not answered: a person must say how it goes on."""
        return self.moved("time_is_short", State.AWAITING_DECISION).noted("decision.needed", operation="erase")

    def repeat(self, first: UUID, received_at: datetime, due_on: date, at: datetime) -> Transition[Self]:
        """It asks for what an open request of the same person asks for, and is answered with that one.

        ``received_at``, ``due_on``: those of the first.
        """
        linked = replace(self, duplicate_of=first, question=None)
        letter: LetterOf = ("duplicate", {"first_received_on": received_at, "first": str(first), "first_due": due_on})
        noted = linked.noted("request.linked_duplicate", first=str(first), received_at=self.received_at.isoformat())
        ended = closed(linked, "repeat", Outcome.DUPLICATE, at)
        return noted.then(replace(ended, letters=(letter,)))
