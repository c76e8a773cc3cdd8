"""An objection to what we do for legitimate interests (Art. 21(1)): the data are restricted until it is weighed.

They are restricted from its opening (Art. 18(1)(d)); two persons weigh it, with the burden of proof on us. Upheld, the
restriction stays, and erasure is offered (Art. 17(1)(c)); otherwise the person is told why, and it is lifted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal, Self

from services.intake.request import deferrals
from services.intake.request.closing import done
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition, closed
from shared.domain import events
from shared.domain.errors import IllegalTransition
from shared.domain.operations import Change, Operation
from shared.domain.proofs import Action, action_of
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import say

Finding = Literal["upheld", "overridden", "legal_claims", "contract", "legal_obligation", "consent"]
"""What the weighing finds: the objection is upheld; compelling grounds of ours override it; we need the data for legal
claims; or it does not apply, since we process the data for a contract, for a legal obligation or by consent
(Art. 21(1), 6(1))."""


class MovedByWeighing(MovingRequest):
    """A request that is weighed before it is answered."""

    __slots__ = ()

    def waits_for_weighing(self, event: events.FulfilmentCompleted) -> bool:
        """Whether what was completed is the restriction that an objection begins with, and there is data to weigh."""
        restricted = event.operation == Operation.RESTRICT and event.outcome is not Outcome.NO_DATA
        return self.is_weighed and restricted and self.allows("restricted")

    def must_not_wait_for_weighing(self) -> None:
        """Raises ``IllegalTransition`` for an objection whose restriction is done: there is nothing to be retried."""
        undone = self.unsearched or any(map(deferrals.is_undone, self.tasks or ()))
        if self.is_weighed and self.state is State.AWAITING_DECISION and not undone:
            raise IllegalTransition("its data are restricted: propose what the weighing of the objection finds")

    def restricted(self, event: events.FulfilmentCompleted) -> Transition[Self]:
        """Every system has restricted what it holds: now two persons must weigh the objection."""
        waiting = self.moved("restricted", State.AWAITING_DECISION, tasks=self.reports_with(event.tasks))
        return waiting.noted("decision.needed", operation="weigh")

    def weigh(self, finding: Finding, explanation: str, proposed_by: str, at: datetime) -> Transition[Self]:
        """Two persons have weighed it; ``explanation``: what the person is told of why."""
        upheld = finding == "upheld"
        ended = closed(replace(self, question=None), "weigh", Outcome.FULFILLED if upheld else Outcome.REFUSED, at)
        noted = self.noted("objection.weighed", finding=finding, proposed_by=proposed_by)
        if upheld:
            return noted.then(ended)
        why: Mapping[str, LetterField] = {
            "about": "overridden",
            "answer": (say("answer.weighed"), say(f"finding.{finding}")),
            "explanation": explanation,
            "follows": say("answer.objection_lifted", lifted_on=at),
        }
        letter: LetterOf = ("answer", {**why, "done": done(self.tasks)})
        return noted.then(replace(ended, letters=(letter,)))


def asks_for(right: Right, scope: str | None, changes: Iterable[Change]) -> Action:
    """What is asked for, as far as proof is concerned: an objection that restricts needs that of a restriction."""
    return action_of(right, changes, restricts=scope == "legitimate_interests")
