"""Defines the events on the bus: facts in the past tense, by reference only, never personal data.

A compatible change keeps the type; an incompatible one adds a class with the next version. The class docstring is the
event's public documentation. The Kafka key is the request id; headers follow the CloudEvents 1.0 Kafka binding.
"""

from shared.domain.events.completions import (
    ErasurePlanned,
    FulfilmentBlocked,
    FulfilmentCompleted,
    FulfilmentPostponed,
    FulfilmentReported,
)
from shared.domain.events.deadlines import (
    TimerFired,
    TimerKind,
)
from shared.domain.events.event import (
    UNPUBLISHED,
    Concerned,
    Event,
    SubjectRef,
    type_of,
)
from shared.domain.events.notices import MailReceived, NoticeRequested, NoticeSettled
from shared.domain.events.requests import (
    AnswerDecided,
    ControllerReplied,
    HoldLifted,
    LetterReturned,
    LiftDecided,
    LimitConfirmed,
    PartAnswered,
    PlanAsked,
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
    RequestExpired,
    RequestExtended,
    RequestForwarded,
    RequestReceived,
    RequestRedated,
    RequestReopened,
    RequestVerified,
    RequestWithdrawn,
    RetryDecided,
    TaskRecorded,
)
from shared.domain.topics import Topic

__all__ = [
    "EVENT_TYPES",
    "UNPUBLISHED",
    "AnswerDecided",
    "Concerned",
    "ControllerReplied",
    "ErasurePlanned",
    "Event",
    "FulfilmentBlocked",
    "FulfilmentCompleted",
    "FulfilmentPostponed",
    "FulfilmentReported",
    "HoldLifted",
    "LetterReturned",
    "LiftDecided",
    "LimitConfirmed",
    "MailReceived",
    "NoticeRequested",
    "NoticeSettled",
    "PartAnswered",
    "PlanAsked",
    "QuestionAnswered",
    "QuestionSent",
    "RequestClosed",
    "RequestExpired",
    "RequestExtended",
    "RequestForwarded",
    "RequestReceived",
    "RequestRedated",
    "RequestReopened",
    "RequestVerified",
    "RequestWithdrawn",
    "RetryDecided",
    "SubjectRef",
    "TaskRecorded",
    "TimerFired",
    "TimerKind",
    "type_of",
]

EVENT_TYPES = {
    type_of(event): event for topic in Topic for event in Event.__subclasses__() if topic in event.topics.values()
}
"""Event class by its ``ce_type``, topic by topic: everything that can be heard on the bus."""
