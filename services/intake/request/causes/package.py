"""What becomes of a package after the answer: withheld, released by two persons who have looked, or made anew."""

from dataclasses import replace
from typing import Self

from pydantic import JsonValue

from services.intake.request.closing import later_letter
from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition, less_owed
from shared.domain import events
from shared.domain.errors import IllegalTransition


class MovedByPackage(MovingRequest):
    """A request whose package is looked at again."""

    __slots__ = ()

    def must_be_withheld(self) -> None:
        """Raises ``IllegalTransition`` where nothing is withheld, or it is being made anew."""
        self.must_allow("renew")
        if self.package_fault is None or self.package_is_gone:
            raise IllegalTransition("no package of this request is withheld")
        if self.renewing:
            raise IllegalTransition("its package is being made anew")

    def release(self, holder: str) -> Transition[Self]:
        """Two people have looked, and say that it is the subject's: it can be fetched again."""
        self.must_be_withheld()
        detail: dict[str, JsonValue] = {"holder": holder, "fault": self.package_fault}
        released = replace(self, package_fault=None).noted("package.released", **detail)
        return replace(released, letters=(("update", {"about": "package_released"}),))

    def renew(self) -> Transition[Self]:
        """Everything is searched and collected again; the package comes in the place of the one that is withheld.

        Until then it is owed, and its due date is that of the request: nobody has what they asked for.
        """
        self.must_be_withheld()
        renewing = replace(self, renewing=True)
        published = (events.RequestVerified.about(renewing), *less_owed(self, renewing))
        return renewing.noted("package.renewal_decided", *published)

    def renewal_blocked(self, event: events.FulfilmentBlocked) -> Transition[Self]:
        """A system has failed, or what it gave may be somebody else's: a person must see to it, and it stays owed."""
        systems: JsonValue = {report.system: report.outcome or report.failure for report in event.tasks}
        return replace(self, tasks=event.tasks).noted("package.renewal_blocked", systems=systems)

    def made_anew(self, event: events.FulfilmentCompleted) -> Transition[Self]:
        """It was searched again: what there is now is the answer, and the subject is told."""
        now = replace(self, tasks=event.tasks, renewing=False)
        done = less_owed(self, now)
        if event.package_id is None:
            return now.noted("package.not_renewed", *done, outcome=event.outcome)
        renewed = replace(now, package_id=event.package_id, package_fault=None)
        return replace(renewed.noted("package.renewed", *done), letters=later_letter(renewed))

    @property
    def is_renewed(self) -> bool:
        """Whether what is completed now is the package that is made anew."""
        return self.renewing and self.state is State.CLOSED
