"""What is said on the bus: facts in the past tense, by reference only, never personal data.

A compatible change keeps the type; an incompatible one adds a class with the next version. The class docstring is the
event's public documentation. The Kafka key is the request id; headers follow the CloudEvents 1.0 Kafka binding.
"""

from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, ClassVar, Literal, Protocol, Self, get_args
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right, Role
from shared.domain.topics import Topic

SubjectRef = UUID
"""Points at a subject in the vault; says nothing about who it is."""


UNPUBLISHED = datetime.min.replace(tzinfo=UTC)
"""When an event occurs that is not published yet."""


_IN_COMMON: dict[tuple[type, type], list[str]] = {}
"""The fields of an event that a kind of request has too: looked up once."""


class Concerned(Protocol):
    """What an event can be about."""

    @property
    def request_id(self) -> UUID: ...
    @property
    def subject_ref(self) -> SubjectRef: ...
    @property
    def right(self) -> Right: ...


class Event(BaseModel):
    """A fact about one request."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[Topic]

    event_id: UUID = Field(default_factory=uuid7)
    request_id: UUID
    occurred_at: AwareDatetime
    right: Right

    @classmethod
    def about(cls, request: Concerned, **fields: object) -> Self:
        """This event about a request: what it does not say otherwise is as the request has it, field by field.

        It occurs when it is published: ``UnitOfWork.publish`` sets the instant.
        """
        known: dict[str, object] = {"occurred_at": UNPUBLISHED, "subject": request.subject_ref}
        pair = (cls, type(request))
        if pair not in _IN_COMMON:
            _IN_COMMON[pair] = [name for name in cls.model_fields if hasattr(request, name)]
        as_it_stands = {name: getattr(request, name) for name in _IN_COMMON[pair]}
        return cls.model_validate(known | as_it_stands | fields)


class RequestReceived(Event):
    """Somebody has asked; the clock runs from ``received_at``, whoever they turn out to be."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.received.v1"] = "dsr.request.received.v1"
    subject: SubjectRef
    channel: str
    received_at: AwareDatetime
    zones: tuple[str, ...]
    calendar: str
    scope: str | None = None
    role: Role = "controller"
    due_on: date


class RequestVerified(Event):
    """The requester is the data subject; fulfilment may begin."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.verified.v1"] = "dsr.request.verified.v1"
    subject: SubjectRef
    scope: str | None = None
    due_on: date


class RequestWithdrawn(Event):
    """The subject no longer wants it; what has not begun must not begin."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.withdrawn.v1"] = "dsr.request.withdrawn.v1"
    subject: SubjectRef


class RetryDecided(Event):
    """A person has looked at the failed tasks and wants them tried again."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.retry_decided.v1"] = "dsr.request.retry_decided.v1"
    subject: SubjectRef


class LiftDecided(Event):
    """The subject has been told (Art. 18(3)) and the restriction is to be lifted."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date


class QuestionSent(Event):
    """The requester was asked who they are, or what they mean; work on what is clear goes on.

    ``condition_recorded``: reasonable doubt about the identity (Art. 12(6)), or a large quantity of data (Recital 63).
    """

    topic = Topic.REQUESTS
    type: Literal["dsr.request.question_sent.v1"] = "dsr.request.question_sent.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    asked_at: AwareDatetime
    condition_recorded: bool


class QuestionAnswered(Event):
    """The answer to a question was received."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.question_answered.v1"] = "dsr.request.question_answered.v1"
    question_id: UUID
    answered_at: AwareDatetime


class RequestExtended(Event):
    """Two persons have extended the time limit, and the subject was told why and until when (Art. 12(3))."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.extended.v1"] = "dsr.request.extended.v1"
    reason: str
    due_on: date
    told_at: AwareDatetime


class RequestRedated(Event):
    """The time limits are to be computed anew: the receipt was corrected, or the policy or a calendar has changed."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.redated.v1"] = "dsr.request.redated.v1"
    cause: Literal["receipt_corrected", "policy_changed"]
    received_at: AwareDatetime
    zones: tuple[str, ...]
    calendar: str
    due_on: date


class RequestReopened(Event):
    """The answer to a question came after the last notice; the clock runs again, until ``due_on``."""

    topic = Topic.REQUESTS
    type: Literal["dsr.request.reopened.v1"] = "dsr.request.reopened.v1"
    subject: SubjectRef
    question_id: UUID
    answered_at: AwareDatetime
    due_on: date


class RequestClosed(Event):
    """The subject has their answer; the clock stopped at ``responded_at``.

    ``resumable``: it was closed for want of a reply, and the subject may resume it at any time.
    """

    topic = Topic.REQUESTS
    type: Literal["dsr.request.closed.v1"] = "dsr.request.closed.v1"
    subject: SubjectRef
    outcome: Outcome
    responded_at: AwareDatetime
    resumable: bool = False


class FulfilmentCompleted(Event):
    """Every downstream has done its part and was looked at again.

    ``deferred``: it is the erasure of what had to be kept at first, and the request was answered long before.
    """

    topic = Topic.COMPLETIONS
    type: Literal["dsr.fulfilment.completed.v1"] = "dsr.fulfilment.completed.v1"
    operation: str
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    deferred: bool = False


class FulfilmentBlocked(Event):
    """At least one downstream failed for good or could not be searched; somebody must say what happens next.

    ``deferred``: it is the erasure of what had to be kept at first.
    """

    topic = Topic.COMPLETIONS
    type: Literal["dsr.fulfilment.blocked.v1"] = "dsr.fulfilment.blocked.v1"
    operation: str
    tasks: tuple[TaskReport, ...]
    deferred: bool = False


class DeadlineApproaching(Event):
    """The request is still open and due in ``days_left`` days."""

    topic = Topic.DEADLINES
    type: Literal["dsr.deadline.approaching.v1"] = "dsr.deadline.approaching.v1"
    due_on: date
    days_left: int


class DeadlineOverdue(Event):
    """The request is still open and the day by which it was due is over."""

    topic = Topic.DEADLINES
    type: Literal["dsr.deadline.overdue.v1"] = "dsr.deadline.overdue.v1"
    due_on: date
    clock: Literal["commitment", "statutory"]


class TargetMissed(Event):
    """A target of the staff has passed, and the step that it is for was not taken."""

    topic = Topic.DEADLINES
    type: Literal["dsr.deadline.target_missed.v1"] = "dsr.deadline.target_missed.v1"
    target: str
    target_on: date
    escalate_to: str


class QuestionUnanswered(Event):
    """Nobody has answered a question: time for a reminder, or for the last notice (Art. 12(4))."""

    topic = Topic.DEADLINES
    type: Literal["dsr.deadline.question_unanswered.v1"] = "dsr.deadline.question_unanswered.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    notice: Literal["reminder", "last_notice"]
    days_open: int


class RetentionEnded(Event):
    """What these systems had to keep of the subject may be kept no longer: the deferred erasure is due."""

    topic = Topic.DEADLINES
    type: Literal["dsr.deadline.retention_ended.v1"] = "dsr.deadline.retention_ended.v1"
    subject: SubjectRef
    systems: tuple[str, ...]
    due_on: date


AnyEvent = Annotated[
    RequestReceived
    | RequestVerified
    | RequestWithdrawn
    | RetryDecided
    | LiftDecided
    | QuestionSent
    | QuestionAnswered
    | RequestExtended
    | RequestRedated
    | RequestReopened
    | RequestClosed
    | FulfilmentCompleted
    | FulfilmentBlocked
    | DeadlineApproaching
    | DeadlineOverdue
    | TargetMissed
    | QuestionUnanswered
    | RetentionEnded,
    Field(discriminator="type"),
]
"""Everything that can be heard on the bus."""

EVENT_TYPES: dict[str, type[Event]] = {cls.model_fields["type"].default: cls for cls in get_args(get_args(AnyEvent)[0])}
"""Event class by its ``ce_type``."""


@cache
def type_of(event: type[Event]) -> str:
    """The ``ce_type`` of an event class."""
    return str(event.model_fields["type"].default)
