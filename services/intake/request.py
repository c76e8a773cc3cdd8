"""The lifecycle of a request: which states there are, and which may follow which.

``received`` → ``awaiting_identity`` | ``awaiting_clarification`` → ``in_progress`` → ``awaiting_decision`` (only where
a person must decide) → ``responded`` (the clock stops) → ``closed``. What the requester means may also be asked
while work is in progress: what is clear goes on, and nothing closes before the answer or the last notice. What was
closed for want of an answer is *resumable*: a late answer reopens it. Pure: no clock, no database.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome, Right, Role


class State(StrEnum):
    """Where a request stands."""

    RECEIVED = "received"
    AWAITING_IDENTITY = "awaiting_identity"
    AWAITING_CLARIFICATION = "awaiting_clarification"
    IN_PROGRESS = "in_progress"
    AWAITING_DECISION = "awaiting_decision"
    RESPONDED = "responded"
    CLOSED = "closed"


FOLLOWS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset(
        {
            State.AWAITING_IDENTITY,
            State.AWAITING_CLARIFICATION,
            State.IN_PROGRESS,
            State.AWAITING_DECISION,
            State.RESPONDED,
        }
    ),
    State.AWAITING_IDENTITY: frozenset({State.IN_PROGRESS, State.RESPONDED}),
    State.AWAITING_CLARIFICATION: frozenset({State.IN_PROGRESS, State.AWAITING_DECISION, State.RESPONDED}),
    State.IN_PROGRESS: frozenset({State.AWAITING_CLARIFICATION, State.AWAITING_DECISION, State.RESPONDED}),
    State.AWAITING_DECISION: frozenset({State.IN_PROGRESS, State.AWAITING_CLARIFICATION, State.RESPONDED}),
    State.RESPONDED: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}
RESUMES = frozenset({State.IN_PROGRESS, State.RESPONDED})
"""What may follow a closure for want of an answer: the answer, or that the subject no longer wants it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One data subject request, by reference; who it is about is in the vault."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    state: State
    scope: str | None
    channel: str
    received_at: datetime
    accepted_at: datetime
    due_on: date
    outcome: Outcome | None = None
    responded_at: datetime | None = None
    closed_at: datetime | None = None
    resumable: bool = False
    role: Role = "controller"

    @property
    def lacks_identity(self) -> bool:
        """Whether it waits for proof of who asks, or was closed without."""
        return self.state is State.AWAITING_IDENTITY or self.outcome is Outcome.UNIDENTIFIED

    @property
    def goes_on(self) -> State:
        """The state in which it goes on once nothing more is asked: a person forwards what is not ours to answer."""
        return State.IN_PROGRESS if self.role == "controller" else State.AWAITING_DECISION

    def must_be_ours(self) -> None:
        """Raises ``IllegalTransition`` where a customer of ours decides: we do nothing on our own, and forward."""
        if self.role == "processor":
            raise IllegalTransition("we only process these data for a customer: forward the request to that customer")

    def to(self, state: State) -> "Request":
        """The same request in its next state; raises ``IllegalTransition`` if that state may not follow."""
        if state not in (RESUMES if self.resumable else FOLLOWS[self.state]):
            message = f"a request that is {self.state} cannot become {state}"
            raise IllegalTransition(message)
        return replace(self, state=state, resumable=False)

    def answered(self, outcome: Outcome, at: datetime, *, resumable: bool = False) -> "Request":
        """The subject has their answer: the clock stops, and the request closes with its outcome."""
        closed = self.to(State.RESPONDED).to(State.CLOSED)
        return replace(closed, outcome=outcome, responded_at=at, closed_at=at, resumable=resumable)

    def reopened(self, due_on: date) -> "Request":
        """A late answer came: work begins, as if the request had not been closed, and is due on another day."""
        running = self.to(State.IN_PROGRESS)
        return replace(running, outcome=None, responded_at=None, closed_at=None, due_on=due_on)
