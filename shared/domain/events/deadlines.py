"""Which time limit of a request comes near or has passed: what deadline says, on ``Topic.DEADLINES``."""

from datetime import date
from typing import Literal
from uuid import UUID

from shared.domain.events.event import Event, SubjectRef
from shared.domain.text import Word
from shared.domain.topics import Topic


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
    target: Word
    target_on: date
    escalate_to: Word


class QuestionUnanswered(Event, topic=Topic.DEADLINES):
    """Nobody has answered a question: time for a reminder, or for the last notice (Art. 12(4))."""

    type: Literal["dsr.deadline.question_unanswered.v1"] = "dsr.deadline.question_unanswered.v1"
    question_id: UUID
    question: Literal["identity", "clarification"]
    notice: Literal["reminder", "last_notice"]
    days_open: int


class ControllerSilent(Event, topic=Topic.DEADLINES):
    """The customer to whom a request was passed on has said nothing: they are reminded, or people of ours look."""

    type: Literal["dsr.deadline.controller_silent.v1"] = "dsr.deadline.controller_silent.v1"
    notice: Literal["reminder", "escalation"]
    working_days: int


class RetentionEnded(Event, topic=Topic.DEADLINES):
    """What these systems had to keep of the subject may be kept no longer: the deferred erasure is due."""

    type: Literal["dsr.deadline.retention_ended.v1"] = "dsr.deadline.retention_ended.v1"
    subject: SubjectRef
    systems: tuple[Word, ...]
    due_on: date
