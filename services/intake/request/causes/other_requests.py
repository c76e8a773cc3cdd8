"""What other requests of the same person do to an erasure: it waits for copies, and a restriction opposes it.

``postponed``: the erasure service has found whose data they are, and that something else comes first. It shows
``in_progress``, or ``awaiting_decision`` where a restriction of the same person opposes it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Self
from uuid import UUID

from pydantic import JsonValue

from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition
from shared.domain import events, reference
from shared.domain.errors import IllegalTransition

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
