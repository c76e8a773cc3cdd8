"""What is said on the bus: facts in the past tense, by reference only, never personal data.

A compatible change keeps the type; an incompatible one adds a class with the next version. The class docstring is the
event's public documentation. The Kafka key is the request id; headers follow the CloudEvents 1.0 Kafka binding.
"""

from datetime import UTC, date, datetime
from functools import cache
from typing import ClassVar, Literal, Protocol, Self, Unpack
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from shared.domain.operations import Limit, TaskReport
from shared.domain.rights import Outcome, Right, Role
from shared.domain.topics import Topic

SubjectRef = UUID
"""Points at a subject in the vault; says nothing about who it is."""


UNPUBLISHED = datetime.min.replace(tzinfo=UTC)
"""When an event occurs that is not published yet."""


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

    def __init_subclass__(cls, *, topic: Topic, **_config: Unpack[ConfigDict]) -> None:
        cls.topic = topic

    @classmethod
    def about(cls, request: Concerned, **fields: object) -> Self:
        """This event about a request: what it does not say otherwise is as the request has it, field by field.

        It occurs when it is published: ``UnitOfWork.publish`` sets the instant.
        """
        known: dict[str, object] = {"occurred_at": UNPUBLISHED, "subject": request.subject_ref}
        for name in _in_common(cls, type(request)):
            known[name] = getattr(request, name)
        return cls.model_validate(known | fields)


@cache
def _in_common(event: type[Event], concerned: type[Concerned]) -> tuple[str, ...]:
    """The fields of the event that whatever it is about has too, as an attribute or as a field of a data class."""
    has = {*dir(concerned), *getattr(concerned, "__dataclass_fields__", ())}
    return tuple(name for name in event.model_fields if name in has)


class RequestReceived(Event, topic=Topic.REQUESTS):
    """Somebody has asked; the clock runs from ``received_at``, whoever they turn out to be."""

    type: Literal["dsr.request.received.v1"] = "dsr.request.received.v1"
    subject: SubjectRef
    channel: str
    received_at: AwareDatetime
    zones: tuple[str, ...]
    calendar: str
    scope: str | None = None
    role: Role = "controller"
    due_on: date


class RequestVerified(Event, topic=Topic.REQUESTS):
    """The requester is the data subject; fulfilment may begin."""

    type: Literal["dsr.request.verified.v1"] = "dsr.request.verified.v1"
    subject: SubjectRef
    scope: str | None = None
    due_on: date


class RequestPostponed(Event, topic=Topic.REQUESTS):
    """An erasure could begin and does not yet: what the same person asked to see is answered first.

    ``dsr.request.verified.v1`` follows when it begins.
    """

    type: Literal["dsr.request.postponed.v1"] = "dsr.request.postponed.v1"
    subject: SubjectRef


class RequestWithdrawn(Event, topic=Topic.REQUESTS):
    """The subject no longer wants it; what has not begun must not begin."""

    type: Literal["dsr.request.withdrawn.v1"] = "dsr.request.withdrawn.v1"
    subject: SubjectRef


class RetryDecided(Event, topic=Topic.REQUESTS):
    """A person has looked at the failed tasks and wants them tried again."""

    type: Literal["dsr.request.retry_decided.v1"] = "dsr.request.retry_decided.v1"
    subject: SubjectRef


class AnswerDecided(Event, topic=Topic.REQUESTS):
    """Two persons have decided to refuse a request, or to answer it with what is done by now.

    Or no answer has come to the question by what else the requester is known: then it is answered with what was found.
    ``owed``: what is missing is still to be done, and the work on it goes on; else it ends. Whoever works on it says
    what is done (``dsr.fulfilment.reported.v1``); the answer follows from that.
    """

    type: Literal["dsr.request.answer_decided.v1"] = "dsr.request.answer_decided.v1"
    subject: SubjectRef
    outcome: Outcome
    owed: bool


class RequestHeld(Event, topic=Topic.REQUESTS):
    """The key that has asked for this erasure asks for too many: nothing more is erased until a retry is decided."""

    type: Literal["dsr.request.held.v1"] = "dsr.request.held.v1"
    subject: SubjectRef


class LimitConfirmed(Event, topic=Topic.REQUESTS):
    """Two persons have confirmed that this request may touch more of a system than its limit allows, up to ``at_most``.

    If the system finds more than that by now, the task waits for them again.
    """

    type: Literal["dsr.request.limit_confirmed.v1"] = "dsr.request.limit_confirmed.v1"
    subject: SubjectRef
    system: str
    limit: Limit
    at_most: int


class TaskRecorded(Event, topic=Topic.REQUESTS):
    """A person has done by hand what a system has no way to do, and entered what was done, in counts."""

    type: Literal["dsr.request.task_recorded.v1"] = "dsr.request.task_recorded.v1"
    subject: SubjectRef
    task: TaskReport


class LiftDecided(Event, topic=Topic.REQUESTS):
    """The subject has been told (Art. 18(3)) and the restriction is to be lifted."""

    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date


class QuestionSent(Event, topic=Topic.REQUESTS):
    """The requester was asked who they are, or what they mean; work on what is clear goes on.

    ``condition_recorded``: reasonable doubt about the identity (Art. 12(6)), or a large quantity of data (Recital 63).
    """

    type: Literal["dsr.request.question_sent.v1"] = "dsr.request.question_sent.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    asked_at: AwareDatetime
    condition_recorded: bool


class QuestionAnswered(Event, topic=Topic.REQUESTS):
    """The answer to a question was received."""

    type: Literal["dsr.request.question_answered.v1"] = "dsr.request.question_answered.v1"
    question_id: UUID
    answered_at: AwareDatetime


class RequestExtended(Event, topic=Topic.REQUESTS):
    """Two persons have extended the time limit, and the subject was told why and until when (Art. 12(3))."""

    type: Literal["dsr.request.extended.v1"] = "dsr.request.extended.v1"
    reason: str
    due_on: date
    told_at: AwareDatetime


class RequestRedated(Event, topic=Topic.REQUESTS):
    """The time limits are to be computed anew: the receipt was corrected, or the policy or a calendar has changed."""

    type: Literal["dsr.request.redated.v1"] = "dsr.request.redated.v1"
    cause: Literal["receipt_corrected", "policy_changed"]
    received_at: AwareDatetime
    zones: tuple[str, ...]
    calendar: str
    due_on: date


class RequestReopened(Event, topic=Topic.REQUESTS):
    """The answer to a question came after the last notice; the clock runs again, until ``due_on``."""

    type: Literal["dsr.request.reopened.v1"] = "dsr.request.reopened.v1"
    subject: SubjectRef
    question_id: UUID
    answered_at: AwareDatetime
    due_on: date


class RequestClosed(Event, topic=Topic.REQUESTS):
    """The subject has their answer; the clock stopped at ``responded_at``.

    ``resumable``: it was closed for want of a reply, and the subject may resume it at any time. ``outstanding``: the
    systems whose part of the answer is still owed; it stays due when the request was. ``goes_on``: the work on what is
    missing does not end with the answer.
    """

    type: Literal["dsr.request.closed.v1"] = "dsr.request.closed.v1"
    subject: SubjectRef
    outcome: Outcome
    responded_at: AwareDatetime
    resumable: bool = False
    outstanding: tuple[str, ...] = ()
    goes_on: bool = False


class PartAnswered(Event, topic=Topic.REQUESTS):
    """Of a request that was answered in part, something that was owed is done; ``outstanding``: what is owed still."""

    type: Literal["dsr.request.part_answered.v1"] = "dsr.request.part_answered.v1"
    subject: SubjectRef
    outstanding: tuple[str, ...]


class FulfilmentCompleted(Event, topic=Topic.COMPLETIONS):
    """Every downstream has done its part and was looked at again.

    ``deferred``: it is the erasure of what had to be kept at first, and the request was answered long before.
    """

    type: Literal["dsr.fulfilment.completed.v1"] = "dsr.fulfilment.completed.v1"
    operation: str
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    deferred: bool = False


class FulfilmentBlocked(Event, topic=Topic.COMPLETIONS):
    """At least one downstream failed for good or could not be searched; somebody must say what happens next.

    ``deferred``: it is the erasure of what had to be kept at first.
    """

    type: Literal["dsr.fulfilment.blocked.v1"] = "dsr.fulfilment.blocked.v1"
    operation: str
    tasks: tuple[TaskReport, ...]
    deferred: bool = False


class FulfilmentReported(Event, topic=Topic.COMPLETIONS):
    """What is done of a request whose answer was decided or that was withdrawn, and what is not (no outcome).

    Where the work ends with that, and something was in hand at that moment, it comes again with what became of it.
    ``package_id``: a copy of what could be collected.
    """

    type: Literal["dsr.fulfilment.reported.v1"] = "dsr.fulfilment.reported.v1"
    operation: str
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None


class DeadlineApproaching(Event, topic=Topic.DEADLINES):
    """The request is still open and due in ``days_left`` days."""

    type: Literal["dsr.deadline.approaching.v1"] = "dsr.deadline.approaching.v1"
    due_on: date
    days_left: int


class DeadlineOverdue(Event, topic=Topic.DEADLINES):
    """The request is still open and the day by which it was due is over."""

    type: Literal["dsr.deadline.overdue.v1"] = "dsr.deadline.overdue.v1"
    due_on: date
    clock: Literal["commitment", "statutory"]


class TargetMissed(Event, topic=Topic.DEADLINES):
    """A target of the staff has passed, and the step that it is for was not taken."""

    type: Literal["dsr.deadline.target_missed.v1"] = "dsr.deadline.target_missed.v1"
    target: str
    target_on: date
    escalate_to: str


class QuestionUnanswered(Event, topic=Topic.DEADLINES):
    """Nobody has answered a question: time for a reminder, or for the last notice (Art. 12(4))."""

    type: Literal["dsr.deadline.question_unanswered.v1"] = "dsr.deadline.question_unanswered.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    notice: Literal["reminder", "last_notice"]
    days_open: int


class RetentionEnded(Event, topic=Topic.DEADLINES):
    """What these systems had to keep of the subject may be kept no longer: the deferred erasure is due."""

    type: Literal["dsr.deadline.retention_ended.v1"] = "dsr.deadline.retention_ended.v1"
    subject: SubjectRef
    systems: tuple[str, ...]
    due_on: date


@cache
def type_of(event: type[Event]) -> str:
    """The ``ce_type`` of an event class."""
    return str(event.model_fields["type"].default)


EVENT_TYPES = {type_of(event): event for event in Event.__subclasses__()}
"""Event class by its ``ce_type``: everything that can be heard on the bus."""
