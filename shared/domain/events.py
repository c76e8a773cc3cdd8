"""Defines the events on the bus: facts in the past tense, by reference only, never personal data.

A compatible change keeps the type; an incompatible one adds a class with the next version. The class docstring is the
event's public documentation. The Kafka key is the request id; headers follow the CloudEvents 1.0 Kafka binding.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from typing import Annotated, ClassVar, Literal, Protocol, Self, Unpack
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from uuid_utils.compat import uuid7

from shared.domain.mail_content import MailKind
from shared.domain.operations import Limit, TaskReport
from shared.domain.rights import Outcome, Right, Role
from shared.domain.text import Word
from shared.domain.time_limit_policy import Question
from shared.domain.topics import COMPLETIONS, Topic

SubjectRef = UUID
"""Points at the subject record of one request in the vault; it identifies no person."""


UNPUBLISHED = datetime.min.replace(tzinfo=UTC)
"""The time of an event that is not published yet."""


class Concerned(Protocol):
    """A request that an event can be about."""

    @property
    def request_id(self) -> UUID: ...
    @property
    def subject_ref(self) -> SubjectRef: ...
    @property
    def right(self) -> Right: ...


class Event(BaseModel):
    """A fact about one request."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topics: ClassVar[Mapping[Right, Topic]]

    event_id: UUID = Field(default_factory=uuid7)
    request_id: UUID
    occurred_at: AwareDatetime
    right: Right

    def __init_subclass__(cls, *, topic: Topic | Mapping[Right, Topic], **_config: Unpack[ConfigDict]) -> None:
        cls.topics = dict.fromkeys(Right, topic) if isinstance(topic, Topic) else topic

    @classmethod
    def about(cls, request: Concerned, **fields: object) -> Self:
        """Returns this event about a request; fields that are not given are copied from the request.

        ``UnitOfWork.publish`` sets the time.
        """
        known: dict[str, object] = {"occurred_at": UNPUBLISHED, "subject": request.subject_ref}
        for name in _in_common(cls, type(request)):
            known[name] = getattr(request, name)
        return cls.model_validate(known | fields)

    def occurs(self, at: datetime) -> None:
        """Sets the time of publication."""
        self.__dict__["occurred_at"] = at


@cache
def _in_common(event: type[Event], concerned: type[Concerned]) -> tuple[str, ...]:
    """Returns the fields that the event shares with the class it is about."""
    has = {*dir(concerned), *getattr(concerned, "__dataclass_fields__", ())}
    return tuple(name for name in event.model_fields if name in has)


@cache
def type_of(event: type[Event]) -> str:
    """The ``ce_type`` of an event class."""
    return str(event.model_fields["type"].default)


# Results of fulfilment, on the topic of each right.
class FulfilmentCompleted(Event, topic=COMPLETIONS):
    """Every system has done its part and was verified.

    ``deferred``: the erasure of data that were retained at first; the request was answered before.
    """

    type: Literal["dsr.fulfilment.completed.v1"] = "dsr.fulfilment.completed.v1"
    operation: Word
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    deferred: bool = False


class FulfilmentBlocked(Event, topic=COMPLETIONS):
    """At least one system failed for good or could not be searched; an officer decides how to continue.

    ``deferred``: the erasure of data that were retained at first.
    """

    type: Literal["dsr.fulfilment.blocked.v1"] = "dsr.fulfilment.blocked.v1"
    operation: Word
    tasks: tuple[TaskReport, ...]
    deferred: bool = False


class FulfilmentPostponed(Event, topic=Topic.ERASURE_COMPLETIONS):
    """The erasure has not begun: other requests of the same person come first.

    ``opposed``: one of them is a restriction, which keeps the data; an officer must decide which one prevails.
    ``dsr.request.retry_requested.v1`` continues the erasure.
    """

    type: Literal["dsr.fulfilment.postponed.v1"] = "dsr.fulfilment.postponed.v1"
    operation: Word
    awaits: tuple[UUID, ...]
    opposed: bool = False


class FulfilmentReported(Event, topic=COMPLETIONS):
    """Reports what is done, and what is not (no outcome), for a request with a decided answer or a withdrawal.

    It is published again if a task was still running when the work ended. ``package_id``: a copy of the collected
    data. ``so_far``: nothing is decided yet; the report lists what stopped immediately.
    """

    type: Literal["dsr.fulfilment.reported.v1"] = "dsr.fulfilment.reported.v1"
    operation: Word | Literal[""]
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    so_far: bool = False


class ErasurePlanned(Event, topic=Topic.ERASURE_COMPLETIONS):
    """Answers ``dsr.request.preview_requested.v1``: what an erasure would do in each system. Nothing was changed."""

    type: Literal["dsr.fulfilment.erasure_planned.v1"] = "dsr.fulfilment.erasure_planned.v1"
    plan_id: UUID
    tasks: tuple[TaskReport, ...]


# The event of the deadline service.
class TimerKind(StrEnum):
    """The kind of a timer.

    ``milestone``: an open request is due soon or overdue. ``target``: the staff missed a step. ``question``: the
    requester has not answered. ``customer``: a customer has not replied to a forwarded request. ``retention``: the
    retention period of a system has ended.
    """

    MILESTONE = "milestone"
    TARGET = "target"
    QUESTION = "question"
    CUSTOMER = "customer"
    RETENTION = "retention"


class TimerFired(Event, topic=Topic.DEADLINES):
    """A step of a timer is due.

    ``days``: days left before ``due_on``, days since the question, or working days since a request was forwarded.
    """

    type: Literal["dsr.timer.fired.v1"] = "dsr.timer.fired.v1"
    subject: SubjectRef
    kind: TimerKind
    step: Word
    due_on: date
    days: int = 0
    question_id: UUID | None = None
    question: Question | None = None
    systems: tuple[Word, ...] = ()


# Letters and mails between intake and correspondence, by id alone: their text and addressee are in the vault.
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
"""A digest in hex."""
DeliveryFault = Literal["refused", "put_off", "address_unknown", "address_unusable", "key_gone"]
"""Reasons why a letter cannot be delivered by e-mail."""


class NoticeRequested(Event, topic=Topic.NOTICES):
    """Requests the rendering of a letter, and its delivery by e-mail if ``by_mail`` is set.

    ``kind``: the kind of letter. ``threaded``: the mail continues the conversation with the requester. The event is
    repeated to send a letter again. A digest to a recipient covers many requests: ``request_id`` is the digest's own
    id, and ``right`` has no meaning.
    """

    type: Literal["dsr.notice.requested.v1"] = "dsr.notice.requested.v1"
    notice_id: UUID
    kind: Word
    by_mail: bool
    threaded: bool


class NoticeSettled(Event, topic=Topic.DELIVERIES):
    """The mail server has accepted a letter, or the letter cannot be delivered and an officer must act.

    ``sha256``: the digest of the letter as sent (HTML, UTF-8), in hex.
    """

    type: Literal["dsr.notice.settled.v1"] = "dsr.notice.settled.v1"
    notice_id: UUID
    state: Literal["sent", "failed"]
    fault: DeliveryFault | None = None
    sha256: Sha256 | None = None


class MailReceived(Event, topic=Topic.DELIVERIES):
    """A mail was read from the mailbox and sealed; it is not assigned to a request yet, and ``right`` has no meaning.

    ``request_id``: the id of the mail. ``digest``: a keyed hash that is equal for copies of one mail. ``letters``: the
    letters that it answers or reports as undelivered. ``by_our_exchanger``: our own mail exchanger wrote
    ``received_at``; otherwise the mailbox did.
    """

    type: Literal["dsr.mail.received.v1"] = "dsr.mail.received.v1"
    kind: MailKind
    digest: Sha256
    received_at: AwareDatetime
    by_our_exchanger: bool
    letters: tuple[UUID, ...]


# Events that intake publishes about requests.
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64)]
Calendar = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2}(-[A-Z0-9]{1,4})?)?$")]
Reason = Annotated[str, StringConstraints(pattern=r"^[A-Z_]{1,64}$")]


class RequestReceived(Event, topic=Topic.REQUESTS):
    """A request has arrived; the clock runs from ``received_at``, before the identity is verified.

    A request that is verified on receipt has no such event: ``dsr.request.verified.v1`` says when it arrived.
    ``tenant``: the customer who instructs us. ``purposes``: purposes to which consent is withdrawn (Art. 7(3)).
    """

    type: Literal["dsr.request.received.v1"] = "dsr.request.received.v1"
    subject: SubjectRef
    channel: Word
    received_at: AwareDatetime
    zones: tuple[Zone, ...]
    calendar: Calendar
    scope: Word | None = None
    purposes: tuple[Word, ...] = ()
    role: Role = "controller"
    tenant: Word | None = None
    due_on: date


Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]


class ArrivalFacts(BaseModel):
    """When a request arrived, by which calendar it is counted, and what we are for the data."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    received_at: AwareDatetime
    calendar: Calendar
    role: Role


class RequestVerified(Event, topic=Topic.REQUESTS):
    """The requester is verified as the data subject; fulfilment may begin.

    ``country``: country of residence, if stated. ``language``: language of the answer. ``zones``: time zones in which
    days are counted; the requester's own is last. ``tenant``: the customer who instructs us; only that customer's data
    are concerned. ``purposes``: purposes to which consent is withdrawn (Art. 7(3)). ``of_same_person``: for an access,
    the person's other requests, whose files it includes. ``arrival``: the request was verified on receipt, and its
    clock starts.
    """

    type: Literal["dsr.request.verified.v1"] = "dsr.request.verified.v1"
    subject: SubjectRef
    scope: Word | None = None
    purposes: tuple[Word, ...] = ()
    tenant: Word | None = None
    due_on: date
    of_same_person: tuple[UUID, ...] = ()
    country: Country | None = None
    language: Language = "en"
    zones: tuple[Zone, ...] = ()
    arrival: ArrivalFacts | None = None


class RequestWithdrawn(Event, topic=Topic.REQUESTS):
    """The subject has withdrawn the request; no further work may begin."""

    type: Literal["dsr.request.withdrawn.v1"] = "dsr.request.withdrawn.v1"
    subject: SubjectRef


class RequestExpired(Event, topic=Topic.REQUESTS):
    """The last retention period of the request has ended; each service deletes its rows about it."""

    type: Literal["dsr.request.expired.v1"] = "dsr.request.expired.v1"


class RetryRequested(Event, topic=Topic.REQUESTS):
    """An officer has decided to retry the failed tasks, or an earlier request has ended.

    ``regardless``: two officers decided that the erasure does not wait for other requests of the same person.
    """

    type: Literal["dsr.request.retry_requested.v1"] = "dsr.request.retry_requested.v1"
    subject: SubjectRef
    regardless: bool = False


class AnswerDecided(Event, topic=Topic.REQUESTS):
    """Two officers have decided to refuse a request, or to answer it with the work done so far.

    It is also published when a question about further identities stays unanswered. ``owed``: the missing work
    continues; otherwise it ends. The fulfilling service replies with ``dsr.fulfilment.reported.v1``, from which the
    answer follows.
    """

    type: Literal["dsr.request.answer_decided.v1"] = "dsr.request.answer_decided.v1"
    subject: SubjectRef
    outcome: Outcome
    owed: bool


class LimitConfirmed(Event, topic=Topic.REQUESTS):
    """Two officers have confirmed that this request may exceed a system's limit, up to ``at_most``.

    If the system finds more than that, the task waits for approval again.
    """

    type: Literal["dsr.request.limit_confirmed.v1"] = "dsr.request.limit_confirmed.v1"
    subject: SubjectRef
    system: Word
    limit: Limit
    at_most: int


class TaskRecorded(Event, topic=Topic.REQUESTS):
    """An officer has done a task by hand and entered the result, in counts."""

    type: Literal["dsr.request.task_recorded.v1"] = "dsr.request.task_recorded.v1"
    subject: SubjectRef
    task: TaskReport


class RequestForwarded(Event, topic=Topic.REQUESTS):
    """The request was forwarded to the customer who is the controller; their reply is awaited."""

    type: Literal["dsr.request.forwarded.v1"] = "dsr.request.forwarded.v1"
    subject: SubjectRef
    calendar: Calendar
    forwarded_at: AwareDatetime


class ControllerReplied(Event, topic=Topic.REQUESTS):
    """The customer has replied to a forwarded request; reminders end."""

    type: Literal["dsr.request.controller_replied.v1"] = "dsr.request.controller_replied.v1"
    subject: SubjectRef
    replied_at: AwareDatetime


class QuestionSent(Event, topic=Topic.REQUESTS):
    """The requester was asked to prove their identity or to clarify; other work on the request continues.

    ``condition_recorded``: reasonable doubt about the identity (Art. 12(6)), or a large quantity of data (Recital 63).
    """

    type: Literal["dsr.request.question_sent.v1"] = "dsr.request.question_sent.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    asked_at: AwareDatetime
    condition_recorded: bool


class LetterReturned(Event, topic=Topic.REQUESTS):
    """A delivered letter was returned, so the subject did not get it.

    After an answer, the clock runs again until ``dsr.request.closed.v1``. A question counts as not asked until
    ``dsr.request.question_sent.v1`` names its ``question_id`` again. An extension counts as not granted until
    ``dsr.request.extended.v1``.
    """

    type: Literal["dsr.request.letter_returned.v1"] = "dsr.request.letter_returned.v1"
    what: Literal["answer", "question", "extension"]
    question_id: UUID | None = None


class QuestionAnswered(Event, topic=Topic.REQUESTS):
    """The answer to a question was received."""

    type: Literal["dsr.request.question_answered.v1"] = "dsr.request.question_answered.v1"
    question_id: UUID
    answered_at: AwareDatetime


class RequestExtended(Event, topic=Topic.REQUESTS):
    """Two officers have extended the time limit, and the subject was notified of reason and date (Art. 12(3))."""

    type: Literal["dsr.request.extended.v1"] = "dsr.request.extended.v1"
    reason: Reason
    due_on: date
    notified_at: AwareDatetime


class RequestRedated(Event, topic=Topic.REQUESTS):
    """The time limits must be computed again: the receipt was corrected, or the policy or a calendar has changed."""

    type: Literal["dsr.request.redated.v1"] = "dsr.request.redated.v1"
    cause: Literal["receipt_corrected", "policy_changed"]
    received_at: AwareDatetime
    zones: tuple[Zone, ...]
    calendar: Calendar
    due_on: date


class RequestReopened(Event, topic=Topic.REQUESTS):
    """The requester answered a question after the last notice; the clock runs again, until ``due_on``."""

    type: Literal["dsr.request.reopened.v1"] = "dsr.request.reopened.v1"
    subject: SubjectRef
    question_id: UUID
    answered_at: AwareDatetime
    due_on: date


class RequestClosed(Event, topic=Topic.REQUESTS):
    """The subject has their answer; the clock stopped at ``responded_at``.

    ``resumable``: it was closed without a reply, and the subject may resume it at any time. ``outstanding``: systems
    whose part of the answer is still owed, by the same due date. ``has_outstanding``: the missing work continues.
    """

    type: Literal["dsr.request.closed.v1"] = "dsr.request.closed.v1"
    subject: SubjectRef
    outcome: Outcome
    responded_at: AwareDatetime
    resumable: bool = False
    outstanding: tuple[Word, ...] = ()
    has_outstanding: bool = False


class PartAnswered(Event, topic=Topic.REQUESTS):
    """A part that was owed after the answer is done; ``outstanding``: systems that still owe theirs.

    If its package is withheld and built again, all parts are owed until the new one is ready.
    """

    type: Literal["dsr.request.part_answered.v1"] = "dsr.request.part_answered.v1"
    subject: SubjectRef
    outstanding: tuple[Word, ...]


class HoldLifted(Event, topic=Topic.REQUESTS):
    """The last legal hold on the subject's data in these systems has ended; they are asked to erase them.

    Data that another rule retains stay.
    """

    type: Literal["dsr.request.hold_lifted.v1"] = "dsr.request.hold_lifted.v1"
    subject: SubjectRef
    systems: tuple[Word, ...]
    due_on: date


class PreviewRequested(Event, topic=Topic.REQUESTS):
    """An officer requests a preview of an erasure, which changes nothing.

    ``plan_id``: names the preview in the answer. ``tenant``: the customer who instructs us.
    """

    type: Literal["dsr.request.preview_requested.v1"] = "dsr.request.preview_requested.v1"
    subject: SubjectRef
    plan_id: UUID
    tenant: Word | None = None
    due_on: date


class LiftDecided(Event, topic=Topic.REQUESTS):
    """The subject was notified (Art. 18(3)), and the restriction is to be lifted."""

    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date


class RequestStatus(BaseModel):
    """The current status of a request.

    Each record is complete, so the latest one of a key replaces the others. A record without a value (tombstone) means
    that the records of the request have expired.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["dsr.request.status.v1"] = "dsr.request.status.v1"
    request_id: UUID = Field(description="of a request that an event asked for: the subject token of that event")
    right: Right
    state: Word = Field(description="as `GET /v1/requests/{request_id}` shows it")
    received_at: AwareDatetime = Field(description="the receipt, from which the time limit is counted")
    due_on: date = Field(description="by when it must be answered")
    outcome: Outcome | None
    closed_at: AwareDatetime | None


EVENT_TYPES = {
    type_of(event): event for topic in Topic for event in Event.__subclasses__() if topic in event.topics.values()
}
"""Event classes on the bus by ``ce_type``, topic by topic."""
