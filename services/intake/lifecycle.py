"""The lifecycle of a request on one page: what may move it, from where to where, and what is then published.

Each cause is a method of ``services.intake.request.Request`` of that name (``ask_…``: ``ask``; ``give_up``: the last
notice in ``unanswered``; ``reopen``: an answer or a proof that comes late). What the requester means may be asked while
work is in progress: what is clear goes on, and nothing closes before the answer or the last notice. What was closed
without an answer to its question is *resumable*: a late answer reopens it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from shared.domain.events import (
    Event,
    LiftDecided,
    QuestionAnswered,
    QuestionSent,
    RequestClosed,
    RequestExtended,
    RequestReceived,
    RequestRedated,
    RequestReopened,
    RequestVerified,
    RequestWithdrawn,
    RetryDecided,
)


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


def _rule(sources: frozenset[Standing], targets: frozenset[Standing], *events: type[Event]) -> Rule:
    return Rule(sources, targets, events)


NEW, IDENTITY, MEANING, WORK, DECISION, _, FINAL = (frozenset[Standing]({state}) for state in State)
RESUMABLE: frozenset[Standing] = frozenset({"resumable"})
OPEN, CLOSED = IDENTITY | MEANING | WORK | DECISION, FINAL | RESUMABLE

# fmt: off
TRANSITIONS: Mapping[str, Rule] = {
    # cause                  from                       to                           published
    "receive":         _rule(NEW,                       IDENTITY | WORK | DECISION,  RequestReceived, RequestVerified),
    "verify":          _rule(IDENTITY,                  WORK,                        QuestionAnswered, RequestVerified),
    "ask_identity":    _rule(IDENTITY,                  IDENTITY,                    QuestionSent),
    "ask_meaning":     _rule(WORK | DECISION,           MEANING,                     QuestionSent),
    "answer":          _rule(WORK | MEANING | DECISION, WORK | DECISION | FINAL,     QuestionAnswered, RequestClosed),
    "give_up":         _rule(OPEN,                      WORK | DECISION | RESUMABLE, RequestClosed),
    "reopen":          _rule(RESUMABLE,                 WORK,                        RequestReopened, RequestVerified),
    "complete":        _rule(WORK | MEANING,            MEANING | CLOSED,            RequestClosed),
    "block":           _rule(WORK | MEANING,            DECISION),
    "retry":           _rule(DECISION,                  WORK | MEANING,              RetryDecided),
    "retry_deferred":  _rule(CLOSED,                    CLOSED,                      RetryDecided),
    "close_partially": _rule(DECISION,                  CLOSED,                      RequestClosed),
    "forward":         _rule(OPEN | RESUMABLE,          FINAL,                       RequestClosed),
    "withdraw":        _rule(OPEN | RESUMABLE,          FINAL,                       RequestWithdrawn, RequestClosed),
    "lift":            _rule(CLOSED,                    CLOSED,                      LiftDecided),
    "extend":          _rule(OPEN,                      OPEN,                        RequestExtended),
    "redate":          _rule(OPEN,                      OPEN,                        RequestRedated),
}
# fmt: on
