"""Lists the states of a request and every move between them, on one page.

A method of ``aggregate.Request`` checks the row of its move with ``must_allow``. A test compares what the methods do
with this table. The diagram in docs/architecture.md is drawn from it. What a request waits for is a blocker
(``blockers``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import product
from typing import Literal

from shared.domain import events
from shared.domain.events import Event
from shared.domain.rights import Role


class State(StrEnum):
    """Where a request stands."""

    AWAITING_IDENTITY = "awaiting_identity"
    AWAITING_CLARIFICATION = "awaiting_clarification"
    IN_PROGRESS = "in_progress"
    AWAITING_DECISION = "awaiting_decision"
    CLOSED = "closed"


Place = State | Literal["new", "resumable"]
"""A state; a request that is not stored yet; one that was closed for want of a reply, which reopens it."""
Places = frozenset[Place | Literal["same"]]


@dataclass(frozen=True)
class Move:
    """One move: where it leads from each place, and which events it may publish, in this order."""

    paths: Mapping[Places, Places]
    events: tuple[type[Event], ...]

    @cached_property
    def sources(self) -> Places:
        """Returns the places from which it may start."""
        return frozenset[Place | Literal["same"]]().union(*self.paths)

    def steps(self) -> Iterator[tuple[Place, Place]]:
        """Yields each pair of places that it connects."""
        for sources, targets in self.paths.items():
            for start, end in product(sources, targets):
                if start != "same":
                    yield start, start if end == "same" else end


def move(paths: Mapping[Places, Places], *published: type[Event]) -> Move:
    """Builds a row of the table."""
    return Move(paths, published)


IDENTITY, MEANING, WORK, PERSON, CLOSED = (Places({state}) for state in State)
NEW, RESUMABLE, SAME = Places({"new"}), Places({"resumable"}), Places({"same"})
BEGUN = MEANING | WORK | PERSON
OPEN = IDENTITY | BEGUN
ENDED = CLOSED | RESUMABLE
ANSWERED, RETRIED = events.QuestionAnswered, events.RetryRequested
CLOSES = events.LiftDecided, events.RequestClosed
"""A restriction that ends with the request is lifted, and the subject is notified, before it is closed."""


def first_state(role: Role, *, identified: bool = True) -> State:
    """Returns where a request begins: a person forwards what a customer decides about."""
    if role == "processor":
        return State.AWAITING_DECISION
    return State.IN_PROGRESS if identified else State.AWAITING_IDENTITY


# fmt: off
MOVES: Mapping[str, Move] = {
    # The requester, and the question that is put to them.
    "receive": move({NEW: IDENTITY | WORK | PERSON}, events.RequestReceived, events.RequestVerified),
    "ask": move({WORK | PERSON: IDENTITY | MEANING, IDENTITY: SAME}, events.QuestionSent),
    "verify": move({IDENTITY | PERSON: WORK}, ANSWERED, events.RequestVerified, RETRIED),
    "answer": move({MEANING: WORK | PERSON | CLOSED, PERSON: WORK | SAME, IDENTITY | WORK: SAME},
                   ANSWERED, RETRIED, *CLOSES),
    "give_up": move({IDENTITY: WORK | RESUMABLE, MEANING: WORK | PERSON | RESUMABLE, WORK: RESUMABLE | SAME,
                     PERSON: WORK | RESUMABLE | SAME}, events.AnswerDecided, events.RequestClosed),
    "reopen": move({RESUMABLE: WORK}, events.RequestReopened, events.RequestVerified),
    "withdraw": move({OPEN | RESUMABLE: CLOSED}, events.RequestWithdrawn, *CLOSES),
    # The work: it stops for a person or another request, begins again, ends.
    "stop": move({BEGUN: BEGUN}, events.AnswerDecided),
    "begin": move({PERSON: WORK | SAME, MEANING | WORK: SAME}, events.RequestVerified, RETRIED),
    "complete": move({BEGUN: ENDED, MEANING: SAME}, ANSWERED, *CLOSES),
    # The privacy team.
    "retry": move({MEANING | PERSON: MEANING | WORK}, ANSWERED, events.LimitConfirmed, RETRIED),
    "record": move({IDENTITY | MEANING | PERSON: SAME}, events.TaskRecorded),
    "decide": move({MEANING | WORK: WORK, PERSON: WORK | CLOSED}, ANSWERED, events.AnswerDecided, *CLOSES),
    "forward": move({OPEN | RESUMABLE: CLOSED}, events.RequestForwarded, events.RequestClosed),
    "redate": move({OPEN: SAME}, events.RequestExtended, events.RequestRedated),
    # What is owed, lifted or rebuilt after the answer.
    "follow_up": move({ENDED: SAME}, events.ControllerReplied, events.LimitConfirmed, events.TaskRecorded, RETRIED,
                      events.RequestVerified, events.PartAnswered, events.LiftDecided),
}
# fmt: on


def diagram() -> str:
    """Draws the table as a Mermaid state diagram, without moves that leave a request in its state."""
    return "\n".join(["stateDiagram-v2", *_arrows()])


def _arrows() -> Iterator[str]:
    names: dict[tuple[str, str], dict[str, None]] = {}
    for name, row in MOVES.items():
        for start, end in row.steps():
            if _drawn(start) != _drawn(end):
                names.setdefault((_drawn(start), _drawn(end)), {})[name] = None
    for (source, target), moves in sorted(names.items()):
        yield f"    {source} --> {target}: {', '.join(moves)}"


def _drawn(place: Place) -> str:
    return {"new": "[*]", "resumable": str(State.CLOSED)}.get(place, str(place))
