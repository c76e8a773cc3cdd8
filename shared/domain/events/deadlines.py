"""The one event of the deadline service, on ``Topic.DEADLINES``: the time of something has come."""

from datetime import date
from enum import StrEnum
from typing import Literal
from uuid import UUID

from shared.domain.events.event import Event, SubjectRef
from shared.domain.text import Word
from shared.domain.time_limit_policy import Question
from shared.domain.topics import Topic


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
