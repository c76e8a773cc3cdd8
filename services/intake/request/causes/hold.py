"""What becomes of data that were kept because of a legal hold, once that is lifted."""

from collections.abc import Collection
from typing import Self

from services.intake.request.transition import MovingRequest, Transition
from shared.domain import events
from shared.domain.rights import Outcome


class MovedByHold(MovingRequest):
    """An erasure that was answered, and left what a legal hold covered."""

    __slots__ = ()

    def let_go_of_hold(self, systems: Collection[str]) -> Transition[Self]:
        """A hold that covered it there is lifted: these systems are asked again, now.

        What another hold or rule covers they keep still. Whoever has withdrawn wants nothing erased any more.
        """
        if self.outcome is Outcome.WITHDRAWN:
            return Transition(self)
        event = events.HoldLifted.about(self, systems=tuple(sorted(systems)))
        return self.noted("hold.let_go", event, systems=[*sorted(systems)])
