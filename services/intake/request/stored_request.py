"""A request as it is stored, and what follows from its state; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import deferrals, reports
from services.intake.request.lifecycle import MOVES, State
from shared.domain.errors import IllegalTransition
from shared.domain.languages import Language
from shared.domain.operations import ANSWERING, Operation, TaskReport
from shared.domain.precedence import RequestKind
from shared.domain.rights import Level, Outcome, Right, Role
from shared.domain.time_limit import Arrival

_OPPOSING = frozenset({"unlawful", "needed_for_claims"})
"""The grounds of a restriction that want data kept which are to be erased (Art. 18(1)(b), (c))."""

COPIES = frozenset({Right.ACCESS, Right.PORTABILITY})
"""Rights that change nothing in any system, and are answered by a package."""
_AT_WORK = frozenset({State.IN_PROGRESS, State.AWAITING_CLARIFICATION, State.AWAITING_DECISION})
_ANSWERED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})


class Waits(StrEnum):
    """Causes that a request waits for; ``PACKAGE``: the release of a withheld package, next to any other."""

    PERSON = "person"
    PROOF = "proof"
    REPLY = "reply"
    OTHERS = "others"
    KEY = "key"
    PACKAGE = "package"


_WAITS: Mapping[State, Waits] = {
    State.AWAITING_IDENTITY: Waits.PROOF,
    State.AWAITING_CLARIFICATION: Waits.REPLY,
    State.AWAITING_DECISION: Waits.PERSON,
}


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question to the requester that has no answer."""

    question_id: UUID
    asked_at: datetime
    last_notice_at: datetime | None = None  # when the requester was notified that we go on without an answer
    undelivered: bool | None = None  # the requester cannot have read it yet
    own_words: bool | None = None  # an officer has worded it
    condition_recorded: bool | None = None  # the reason why it stops the clock is on file


@dataclass(slots=True)
class StoredRequest:
    """One data subject request; personal data about its subject are in the vault."""

    request_id: UUID
    subject_ref: UUID
    right: Right
    state: State
    scope: str | None
    channel: str
    key_id: str  # the API key that submitted it
    received_at: datetime
    accepted_at: datetime
    due_on: date
    zones: tuple[str, ...]
    calendar: str
    version: int = 1  # rises with each change
    country: str | None = None  # where the subject lives (ISO 3166), if stated
    language: Language = "en"  # of letters to the subject
    role: Role = "controller"
    calc_version: str = ""  # the rules, policy and holidays behind due_on
    case_id: UUID | None = None  # the first request of the message that asked for several rights
    anonymous: bool = False  # done without proof of identity: answers must not reveal who is a customer
    # The answer.
    outcome: Outcome | None = None
    responded_at: datetime | None = None
    closed_at: datetime | None = None
    resumable: bool = False  # closed, and a late reply reopens it
    resumed: bool = False  # a late reply reopened it and set its due date
    finished: Outcome | None = None  # outcome of the work that ended while a question was open
    decided: Outcome | None = None  # the answer that two officers have decided, until the work has stopped
    owed: bool = False  # a part was still to be done at the answer
    # What it waits for, apart from its state.
    suspended: bool = False  # the release of its API key
    postponed: bool = False  # other requests of the same person
    opposed: bool = False  # one of those is a restriction, which wants the data kept
    question: OpenQuestion | None = None
    # The time limit.
    extended: bool = False
    warning: str | None = None  # the latest milestone
    # The work.
    tasks: tuple[TaskReport, ...] | None = None  # reports of the systems, in counts
    package_id: UUID | None = None
    package_fault: str | None = None  # why the package is withheld
    package_gone: UUID | None = None  # the package, once it was removed
    renewing: bool = False  # the package is being rebuilt
    lift_notified_at: datetime | None = None  # when the subject was notified that a restriction is lifted
    lifted_at: datetime | None = None  # when every system had lifted it
    # A customer who decides about the data.
    tenant: str | None = None  # the customer whose instruction it is
    instruction_id: str | None = None
    forwarded_at: datetime | None = None  # when that customer got it
    controller_replied_at: datetime | None = None
    # A withdrawal of consent.
    purposes: tuple[str, ...] = ()
    consent_text: str | None = None  # the version of the text to which consent was given

    @property
    def arrival(self) -> Arrival:
        """When and where it arrived."""
        return Arrival(self.received_at, self.zones, self.calendar)

    @property
    def dates(self) -> dict[str, JsonValue]:
        """When and where it arrived, until when it is due, and by which rules: as the evidence has it."""
        return {
            "received_at": self.received_at.isoformat(),
            "zones": [*self.zones],
            "calendar": self.calendar,
            "due_on": self.due_on.isoformat(),
            "calc_version": self.calc_version,
        }

    @property
    def unsearched(self) -> bool:
        """Whether a system, or a part of it, could not be searched for the subject."""
        return deferrals.unsearched(self.tasks)

    @property
    def lacks(self) -> Level | None:
        """The least level of proof with which more of it could be done; None where nothing waits for proof."""
        return min((task.level for task in deferrals.unproved(self.tasks) if task.level), default=None)

    @property
    def awaits_proof(self) -> bool:
        """Whether proof of who they are is asked of the requester: for all of it, or for what was not searched."""
        unidentified = self.outcome is Outcome.UNIDENTIFIED and not self.unsearched
        return unidentified or bool(deferrals.unproved(self.tasks))

    @property
    def begins_by_proof(self) -> bool:
        """Whether a proof of identity begins the work; otherwise it only shows the state."""
        return self.state is State.AWAITING_IDENTITY or (self.resumable and self.awaits_proof)

    @property
    def outstanding(self) -> tuple[str, ...]:
        """The systems whose part is still owed though the request was answered.

        A system that could not be searched owes nothing until the subject says more. While a package is rebuilt, every
        system owes its part.
        """
        if self.renewing:
            return tuple(sorted({task.system for task in self.tasks or () if task.operation == Operation.EXPORT}))
        tasks = self.tasks or () if self.has_outstanding else ()
        return deferrals.undone(task for task in tasks if task.failure or not task.outcome)

    @property
    def has_begun(self) -> bool:
        """Whether work on it has begun, and it is not answered."""
        return self.allows("complete")

    @property
    def is_in_force(self) -> bool:
        """Whether it is an answered restriction that was asked for, and no officer has decided to lift it."""
        asked = self.right is Right.RESTRICTION and self.state is State.CLOSED and not self.resumable
        return asked and self.outcome in _ANSWERED and self.lift_notified_at is None and self.lifted_at is None

    @property
    def search_incomplete(self) -> bool:
        """Whether more could be found by proof, or by what else the subject is known."""
        return self.unsearched or deferrals.ambiguous(self.tasks)

    @property
    def awaits_delivery(self) -> bool:
        """Whether it is closed, and its answer has not reached the subject yet."""
        return self.state is State.CLOSED and self.responded_at is None

    @property
    def awaits_report(self) -> bool:
        """Whether two people have decided how it is answered, as soon as it is known what is done."""
        return self.decided is not None and self.state is not State.CLOSED

    @property
    def answered_in_part(self) -> bool:
        """Whether a part was still owed when the request was answered."""
        return self.state is State.CLOSED and self.outcome is Outcome.PARTIALLY_FULFILLED and self.owed

    @property
    def has_outstanding(self) -> bool:
        """Whether the work goes on though the request was answered, since a part is still to be done."""
        return self.answered_in_part and bool(deferrals.undone(self.tasks))

    @property
    def unfinished(self) -> bool:
        """Whether it is closed, and its answer has not reached the person, or a part of it is owed."""
        return self.state is State.CLOSED and (self.responded_at is None or self.renewing or bool(self.outstanding))

    @property
    def open(self) -> bool:
        """Whether it is open to the privacy team: not closed, or unfinished (a column)."""
        return self.state is not State.CLOSED or self.unfinished

    @property
    def waits(self) -> Waits | None:
        """Returns the cause that it waits for (a column), except the release of its package."""
        if self.state is State.CLOSED:
            looked_into = self.outcome in _ANSWERED and deferrals.needs_review(self.tasks)
            return Waits.PERSON if looked_into or any(map(deferrals.lift_undone, self.tasks or ())) else None
        if self.suspended:
            return Waits.KEY
        return Waits.OTHERS if self.postponed else _WAITS.get(self.state)

    @property
    def may_be_done_later(self) -> bool:
        """Whether something may still be done of a request that was answered: what is owed, or was kept, or failed."""
        if self.state is State.CLOSED and any(map(deferrals.lift_undone, self.tasks or ())):
            return True
        if self.state is not State.CLOSED or self.outcome in {Outcome.WITHDRAWN, Outcome.REFUSED}:
            return False
        if self.decided is not None and not self.owed:
            return deferrals.needs_officer(task for task in self.tasks or () if deferrals.is_retained(task))
        return self.has_outstanding or self.renewing or deferrals.needs_officer(self.tasks)

    @property
    def precedes(self) -> RequestKind | None:
        """Why other requests of the same person must know of it for now; None where none must."""
        if self.role == "processor":
            return None
        match self.right:
            case Right.ACCESS | Right.PORTABILITY:
                return RequestKind.COPY if self.responded_at is None or self.has_outstanding else None
            case Right.RESTRICTION if self.scope in _OPPOSING:
                in_force = self.outcome in {Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED} and self.lifted_at is None
                return RequestKind.RESTRICTION if self.state is not State.CLOSED or in_force else None
            case _:
                return None

    @property
    def forgets_its_subject(self) -> bool:
        """Whether it is an erasure that is closed for good, after which its subject is not known by it any more."""
        kept = self.resumable or self.has_outstanding or self.outcome in {Outcome.FORWARDED, Outcome.REFUSED}
        return self.state is State.CLOSED and not kept and self.right is Right.ERASURE

    @property
    def is_contested(self) -> bool:
        """Whether it is a rectification that restricts: what is wrong is contested (18(1)(a))."""
        return self.right is Right.RECTIFICATION and self.scope == "accuracy_contested"

    @property
    def is_weighed(self) -> bool:
        """Whether it is an objection that restricts, and that two people weigh (Art. 21(1))."""
        return self.right is Right.OBJECTION and self.scope == "legitimate_interests"

    @property
    def package_is_gone(self) -> bool:
        """Whether its package is no longer kept: it was fetched as often as it may be, or its days are over."""
        return self.package_id is not None and self.package_gone == self.package_id

    @property
    def restricts(self) -> bool:
        """Whether it restricts, asked for or as what another right brings with it (Art. 18(1)(a), (d))."""
        return self.right is Right.RESTRICTION or self.is_contested or self.is_weighed

    @property
    def begun_to_stop(self) -> bool:
        """Whether something of it may have stopped immediately, and it is not answered yet."""
        stops = self.right in {Right.OBJECTION, Right.CONSENT_WITHDRAWAL, Right.RESTRICTION}
        return stops and self.outcome is None and self.state in _AT_WORK and bool(self.tasks)

    @property
    def was_restricted(self) -> bool:
        """Whether a restriction of it has taken effect in any system."""
        return reports.is_restricted(self.tasks)

    @property
    def given_up(self) -> bool:
        """Whether the last notice was sent: we go on without their answer, and they may resume at any time."""
        return self.question is not None and self.question.last_notice_at is not None

    def awaits_answer_to(self, question_id: UUID | None) -> bool:
        """Whether that question is open, and its last notice was not sent yet."""
        asked = self.question is not None and self.question.question_id == question_id
        return asked and not self.given_up and self.allows("give_up")

    @property
    def had_nothing_to_end(self) -> bool:
        """Whether they withdraw a consent for which no system holds anything, so that none was asked."""
        asked = any(task.operation in ANSWERING for task in self.tasks or ())
        return self.right is Right.CONSENT_WITHDRAWAL and not asked

    def amount_to(self, work: Outcome) -> Outcome:
        """Returns the outcome of finished work: partly while a question is open; earlier work counts, too."""
        if self.given_up:
            return Outcome.PARTIALLY_FULFILLED
        if self.had_nothing_to_end:
            return Outcome.FULFILLED
        done_before = work is Outcome.NO_DATA and deferrals.changed(reports.of_request(self.right, self.tasks))
        return Outcome.FULFILLED if done_before else work

    def allows(self, move: str) -> bool:
        """Whether that move may start where the request stands (``lifecycle.MOVES``)."""
        return ("resumable" if self.resumable else self.state) in MOVES[move].sources

    def must_allow(self, move: str) -> None:
        """Raises ``IllegalTransition`` where that move may not start."""
        if not self.allows(move):
            raise IllegalTransition(f"a request that is {self.state} does not allow: {move.replace('_', ' ')}")


R = TypeVar("R", bound=StoredRequest)


def for_requester(request: R) -> R:
    """Returns an anonymous request without what shows who is a customer (REQ-S5); any other unchanged.

    It looks the same for an address that we know and for one that was made up.
    """
    if not request.anonymous:
        return request
    ended = request.state is State.CLOSED
    outcome = Outcome.WITHDRAWN if request.outcome is Outcome.WITHDRAWN else Outcome.FULFILLED
    nothing: dict[str, Any] = dict.fromkeys(("tasks", "question", "warning", "decided", "finished"))
    state = State.CLOSED if ended else State.IN_PROGRESS
    return replace(request, state=state, outcome=outcome if ended else None, owed=False, resumable=False, **nothing)
