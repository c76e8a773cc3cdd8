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
"""Points at a subject in the vault; says nothing about who it is."""


UNPUBLISHED = datetime.min.replace(tzinfo=UTC)
"""When an event occurs that is not published yet."""


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
        """This event about a request: what it does not say otherwise is as the request has it, field by field.

        It occurs when it is published: ``UnitOfWork.publish`` sets the instant.
        """
        known: dict[str, object] = {"occurred_at": UNPUBLISHED, "subject": request.subject_ref}
        for name in _in_common(cls, type(request)):
            known[name] = getattr(request, name)
        return cls.model_validate(known | fields)

    def occurs(self, at: datetime) -> None:
        """Sets when it occurs: when it is published."""
        self.__dict__["occurred_at"] = at


@cache
def _in_common(event: type[Event], concerned: type[Concerned]) -> tuple[str, ...]:
    """The fields of the event that whatever it is about has too, as an attribute or as a field of a data class."""
    has = {*dir(concerned), *getattr(concerned, "__dataclass_fields__", ())}
    return tuple(name for name in event.model_fields if name in has)


@cache
def type_of(event: type[Event]) -> str:
    """The ``ce_type`` of an event class."""
    return str(event.model_fields["type"].default)


# Results of fulfilment, on the topic of each right.
class FulfilmentCompleted(Event, topic=COMPLETIONS):
    """Every downstream has done its part and was looked at again.

    ``deferred``: it is the erasure of what had to be kept at first, and the request was answered long before.
    """

    type: Literal["dsr.fulfilment.completed.v1"] = "dsr.fulfilment.completed.v1"
    operation: Word
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    deferred: bool = False


class FulfilmentBlocked(Event, topic=COMPLETIONS):
    """At least one downstream failed for good or could not be searched; somebody must say what happens next.

    ``deferred``: it is the erasure of what had to be kept at first.
    """

    type: Literal["dsr.fulfilment.blocked.v1"] = "dsr.fulfilment.blocked.v1"
    operation: Word
    tasks: tuple[TaskReport, ...]
    deferred: bool = False


class FulfilmentPostponed(Event, topic=Topic.ERASURE_COMPLETIONS):
    """Nothing of it is done yet: other requests of the same person come first, as their data have shown.

    ``opposed``: one of them is a restriction, which wants the data kept; a person must say which holds.
    ``dsr.request.retry_decided.v1`` lets it go on.
    """

    type: Literal["dsr.fulfilment.postponed.v1"] = "dsr.fulfilment.postponed.v1"
    operation: Word
    awaits: tuple[UUID, ...]
    opposed: bool = False


class FulfilmentReported(Event, topic=COMPLETIONS):
    """What is done of a request whose answer was decided or that was withdrawn, and what is not (no outcome).

    Where the work ends with that, and something was in hand at that moment, it comes again with what became of it.
    ``package_id``: a copy of what could be collected. ``so_far``: nothing is decided: it is what stopped at once.
    """

    type: Literal["dsr.fulfilment.reported.v1"] = "dsr.fulfilment.reported.v1"
    operation: Word | Literal[""]
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    so_far: bool = False


class ErasurePlanned(Event, topic=Topic.ERASURE_COMPLETIONS):
    """What an erasure would do in each system, asked for by ``dsr.request.plan_asked.v1``: nothing was changed."""

    type: Literal["dsr.fulfilment.erasure_planned.v1"] = "dsr.fulfilment.erasure_planned.v1"
    plan_id: UUID
    tasks: tuple[TaskReport, ...]


# The event of the deadline service.
class TimerKind(StrEnum):
    """What a timer is about.

    ``milestone``: an open request is due soon or overdue. ``target``: the staff missed a step. ``question``: the
    requester has not answered. ``customer``: a customer has not replied to a forwarded request. ``retention``: a system
    may keep data no longer.
    """

    MILESTONE = "milestone"
    TARGET = "target"
    QUESTION = "question"
    CUSTOMER = "customer"
    RETENTION = "retention"


class TimerFired(Event, topic=Topic.DEADLINES):
    """The time of ``step`` has come.

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
"""Why the mail server, or we, cannot deliver a letter by e-mail."""


class NoticeRequested(Event, topic=Topic.NOTICES):
    """A letter is to be rendered, and sent by e-mail if ``by_mail`` says so; else it is printed, or read now.

    ``kind``: of the letter. ``threaded``: it joins the mails that the requester and we have exchanged. It comes again
    for a letter that is to be sent once more. A digest to a recipient tells of many requests: ``request_id`` is its own
    id, and ``right`` says nothing.
    """

    type: Literal["dsr.notice.requested.v1"] = "dsr.notice.requested.v1"
    notice_id: UUID
    kind: Word
    by_mail: bool
    threaded: bool


class NoticeSettled(Event, topic=Topic.DELIVERIES):
    """The mail server has accepted a letter, or it cannot be delivered by e-mail and a person must see to it.

    ``sha256``: of the letter as it was sent (HTML, UTF-8), in hex.
    """

    type: Literal["dsr.notice.settled.v1"] = "dsr.notice.settled.v1"
    notice_id: UUID
    state: Literal["sent", "failed"]
    fault: DeliveryFault | None = None
    sha256: Sha256 | None = None


class MailReceived(Event, topic=Topic.DELIVERIES):
    """A mail was read from the mailbox and sealed; it is about no request yet, and says no right.

    ``request_id``: the id of the mail. ``digest``: keyed, of what two copies of one mail have in common. ``letters``:
    those that it answers, or that it says have not arrived. ``by_our_exchanger``: ``received_at`` is what our own mail
    exchanger wrote; else it is the mailbox's.
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
    """Somebody has asked; the clock runs from ``received_at``, whoever they turn out to be.

    ``tenant``: the customer of ours whose instruction it is. ``purposes``: to which consent is withdrawn (Art. 7(3)).
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


class RequestVerified(Event, topic=Topic.REQUESTS):
    """The requester is the data subject; fulfilment may begin.

    ``country``: where they live, if said; ``language``: in which they are answered; ``zones``: in which their days are
    counted, the last of them where they are.
    ``tenant``: it is the instruction of this customer of ours, and concerns that customer's data alone.
    ``purposes``: to which consent is withdrawn (Art. 7(3)).
    ``of_same_person``: of an access, the other requests of the same person, whose files are part of it.
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


class RequestWithdrawn(Event, topic=Topic.REQUESTS):
    """The subject no longer wants it; what has not begun must not begin."""

    type: Literal["dsr.request.withdrawn.v1"] = "dsr.request.withdrawn.v1"
    subject: SubjectRef


class RequestExpired(Event, topic=Topic.REQUESTS):
    """The last retention period of the request has ended; each service deletes its rows about it."""

    type: Literal["dsr.request.expired.v1"] = "dsr.request.expired.v1"


class RetryDecided(Event, topic=Topic.REQUESTS):
    """A person has looked at the failed tasks and wants them tried again, or what came before has ended.

    ``regardless``: of an erasure: two persons decided that it waits for no other request of the same person.
    """

    type: Literal["dsr.request.retry_decided.v1"] = "dsr.request.retry_decided.v1"
    subject: SubjectRef
    regardless: bool = False


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


class LimitConfirmed(Event, topic=Topic.REQUESTS):
    """Two persons have confirmed that this request may touch more of a system than its limit allows, up to ``at_most``.

    If the system finds more than that by now, the task waits for them again.
    """

    type: Literal["dsr.request.limit_confirmed.v1"] = "dsr.request.limit_confirmed.v1"
    subject: SubjectRef
    system: Word
    limit: Limit
    at_most: int


class TaskRecorded(Event, topic=Topic.REQUESTS):
    """A person has done by hand what a system has no way to do, and entered what was done, in counts."""

    type: Literal["dsr.request.task_recorded.v1"] = "dsr.request.task_recorded.v1"
    subject: SubjectRef
    task: TaskReport


class RequestForwarded(Event, topic=Topic.REQUESTS):
    """The customer who decides about the data, or about a part of them, has the request; their answer is awaited."""

    type: Literal["dsr.request.forwarded.v1"] = "dsr.request.forwarded.v1"
    subject: SubjectRef
    calendar: Calendar
    forwarded_at: AwareDatetime


class ControllerReplied(Event, topic=Topic.REQUESTS):
    """The customer to whom a request was passed on has said how they go on: nobody reminds them any more."""

    type: Literal["dsr.request.controller_replied.v1"] = "dsr.request.controller_replied.v1"
    subject: SubjectRef
    replied_at: AwareDatetime


class QuestionSent(Event, topic=Topic.REQUESTS):
    """The requester was asked who they are, or what they mean; work on what is clear goes on.

    ``condition_recorded``: reasonable doubt about the identity (Art. 12(6)), or a large quantity of data (Recital 63).
    """

    type: Literal["dsr.request.question_sent.v1"] = "dsr.request.question_sent.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    asked_at: AwareDatetime
    condition_recorded: bool


class LetterReturned(Event, topic=Topic.REQUESTS):
    """A letter that had been delivered has come back: the subject does not have what it was to tell them.

    Of an answer the clock runs again, until ``dsr.request.closed.v1`` says when they had it after all; a question, by
    its ``question_id``, counts as not asked until ``dsr.request.question_sent.v1`` names it again; an extension counts
    as not granted until ``dsr.request.extended.v1`` says when they were told.
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
    """Two persons have extended the time limit, and the subject was told why and until when (Art. 12(3))."""

    type: Literal["dsr.request.extended.v1"] = "dsr.request.extended.v1"
    reason: Reason
    due_on: date
    told_at: AwareDatetime


class RequestRedated(Event, topic=Topic.REQUESTS):
    """The time limits are to be computed anew: the receipt was corrected, or the policy or a calendar has changed."""

    type: Literal["dsr.request.redated.v1"] = "dsr.request.redated.v1"
    cause: Literal["receipt_corrected", "policy_changed"]
    received_at: AwareDatetime
    zones: tuple[Zone, ...]
    calendar: Calendar
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
    outstanding: tuple[Word, ...] = ()
    goes_on: bool = False


class PartAnswered(Event, topic=Topic.REQUESTS):
    """Of a request that was answered, something that was owed is done; ``outstanding``: what is owed still.

    Where its package is withheld and made anew, all of it is owed again, until that is done.
    """

    type: Literal["dsr.request.part_answered.v1"] = "dsr.request.part_answered.v1"
    subject: SubjectRef
    outstanding: tuple[Word, ...]


class HoldLifted(Event, topic=Topic.REQUESTS):
    """No legal hold covers what these systems kept of the subject any more: they are asked to erase it after all.

    What another rule keeps still, they keep by that rule.
    """

    type: Literal["dsr.request.hold_lifted.v1"] = "dsr.request.hold_lifted.v1"
    subject: SubjectRef
    systems: tuple[Word, ...]
    due_on: date


class PlanAsked(Event, topic=Topic.REQUESTS):
    """A person wants to see what an erasure would do as the systems stand now: a dry run, which changes nothing.

    ``plan_id``: of what is asked; the answer names it. ``tenant``: whose instruction the request is.
    """

    type: Literal["dsr.request.plan_asked.v1"] = "dsr.request.plan_asked.v1"
    subject: SubjectRef
    plan_id: UUID
    tenant: Word | None = None
    due_on: date


class LiftDecided(Event, topic=Topic.REQUESTS):
    """The subject has been told (Art. 18(3)) and the restriction is to be lifted."""

    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date


class RequestStatus(BaseModel):
    """Where a request stands now.

    Each record holds the whole of it, so the latest of a key replaces all before it. A record without a value
    (tombstone) says that the records of the request have expired.
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
"""Event class by its ``ce_type``, topic by topic: everything that can be heard on the bus."""
