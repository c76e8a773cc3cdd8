"""The lifecycle of a request on one page: what may move it, from where to where, and what is then published.

Each cause is a method of ``aggregate.Request`` of that name (``ask_…``: ``ask``; ``give_up``: the last
notice in ``unanswered``; ``reopen``: an answer or a proof that comes late). What the requester means may be asked while
work is in progress: what is clear goes on, and nothing closes before the answer or the last notice. A question
about what could not be searched governs: what else is entered, released or tried again meanwhile leaves it open, and
after its last notice the request is answered in part as soon as nothing else is missing. What waits for a
person because a system is quarantined goes on by itself once that is on again, and is then complete or blocked anew.
An erasure that has found whose data they are can ``yield_to`` other requests of the same person.
``ask_proof``: what is proved is being done, and of the rest it is asked who they are; ``verify`` then goes on with it.
``resume``: the suspended API key is released (``services.intake.access.key_suspension``).
What was closed without an answer to its question is *resumable*: a late answer reopens it. What two persons have
decided (``decide``: to refuse, or to answer in part) is answered when it is known what is done by now (``report``); a
part that is owed then is done later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.domain.events import (
    AnswerDecided,
    ControllerReplied,
    Event,
    LiftDecided,
    LimitConfirmed,
    PartAnswered,
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
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
from shared.domain.rights import Role


class State(StrEnum):
    """Where a request stands."""

    RECEIVED = "received"
    AWAITING_IDENTITY = "awaiting_identity"
    AWAITING_CLARIFICATION = "awaiting_clarification"
    IN_PROGRESS = "in_progress"
    AWAITING_DECISION = "awaiting_decision"
    RESPONDED = "responded"
    CLOSED = "closed"


Standing = State | Literal["resumable"]
"""A state, or closed in such a way that the subject may resume it at any time."""


@dataclass(frozen=True, slots=True)
class Rule:
    """From where a cause may move a request, to where, and which events it may publish, in this order."""

    sources: frozenset[Standing]
    targets: frozenset[Standing]
    events: tuple[type[Event], ...]


def rule(sources: frozenset[Standing], targets: frozenset[Standing], *events: type[Event]) -> Rule:
    """A row of the table."""
    return Rule(sources, targets, events)


NEW, IDENTITY, MEANING, WORK, PERSON, _, FINAL = (frozenset[Standing]({state}) for state in State)
RESUMABLE: frozenset[Standing] = frozenset({"resumable"})
ENDED = LiftDecided, RequestClosed
"""The end of what had restricted: the lift is decided, and the subject is told, before it is closed."""
ANSWERED = QuestionAnswered, RetryDecided, *ENDED
BEGUN, CLOSED = MEANING | WORK | PERSON, FINAL | RESUMABLE
OPEN = IDENTITY | BEGUN


def first_state(role: Role, *, identified: bool = True) -> State:
    """Where a request begins: where a customer of ours decides, they find out who asks, and a person forwards it."""
    if role == "processor":
        return State.AWAITING_DECISION
    return State.IN_PROGRESS if identified else State.AWAITING_IDENTITY


# fmt: off
TRANSITIONS: Mapping[str, Rule] = {
    # cause                 from              to                         published, in this order
    "receive":         rule(NEW,              IDENTITY | WORK | PERSON,  RequestReceived, RequestVerified),
    "verify":          rule(IDENTITY | PERSON, WORK,          QuestionAnswered, RequestVerified, RetryDecided),
    "ask_identity":    rule(IDENTITY,         IDENTITY,                  QuestionSent),
    "ask_proof":       rule(OPEN - MEANING,   IDENTITY,                  QuestionSent),
    "ask_meaning":     rule(WORK | PERSON,    MEANING,                   QuestionSent),
    "answer_identity": rule(IDENTITY,         IDENTITY,                  QuestionAnswered),
    "answer":          rule(BEGUN,            WORK | PERSON | FINAL,     *ANSWERED),
    "give_up":         rule(OPEN,             WORK | PERSON | RESUMABLE, AnswerDecided, RequestClosed),
    "reopen":          rule(RESUMABLE,        WORK,                      RequestReopened, RequestVerified),
    "complete":        rule(BEGUN,            MEANING | CLOSED,          QuestionAnswered, *ENDED),
    "block":           rule(BEGUN,            WORK | MEANING | PERSON,   AnswerDecided),
    "retry":           rule(MEANING | PERSON, WORK | MEANING,            QuestionAnswered, RetryDecided),
    "confirm":         rule(MEANING | PERSON, MEANING | WORK,            LimitConfirmed),
    "resume":          rule(BEGUN,            BEGUN,                     RequestVerified),
    "confirm_deferred": rule(CLOSED,          CLOSED,                    LimitConfirmed),
    "record":          rule(IDENTITY | MEANING | PERSON, IDENTITY | MEANING | PERSON, TaskRecorded),
    "record_late":     rule(CLOSED,           CLOSED,                    TaskRecorded, PartAnswered),
    "retry_deferred":  rule(CLOSED,           CLOSED,                    RetryDecided),
    "decide":          rule(BEGUN,            WORK,                      QuestionAnswered, AnswerDecided),
    "report":          rule(BEGUN,            CLOSED,                    *ENDED),
    "report_late":     rule(CLOSED,           CLOSED),
    "done_later":      rule(CLOSED,           CLOSED,                    PartAnswered),
    "forward":         rule(OPEN | RESUMABLE, FINAL,                     RequestForwarded, RequestClosed),
    "hear_controller": rule(FINAL,            FINAL,                     ControllerReplied),
    "withdraw":        rule(OPEN | RESUMABLE, FINAL,                     RequestWithdrawn, LiftDecided, RequestClosed),
    "yield_to":        rule(BEGUN,            MEANING | WORK | PERSON),
    "begin":           rule(BEGUN,            MEANING | WORK,            RetryDecided),
    "restricted":      rule(BEGUN,            PERSON),
    "weigh":           rule(PERSON,           FINAL,                     LiftDecided, RequestClosed),
    "renew":           rule(CLOSED,           CLOSED,                    RequestVerified, PartAnswered),
    "lift":            rule(CLOSED,           CLOSED,                    LiftDecided),
    "extend":          rule(OPEN,             OPEN,                      RequestExtended),
    "redate":          rule(OPEN,             OPEN,                      RequestRedated),
}
# fmt: on
