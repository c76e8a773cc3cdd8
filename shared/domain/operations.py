"""What a downstream is asked to do and what it answers."""

from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """The verbs of a task."""

    LOCATE = "locate"
    EXPORT = "export"
    ERASE = "erase"
    RECTIFY = "rectify"
    RESTRICT = "restrict"
    LIFT = "lift"
    SUPPRESS = "suppress"
    ESCALATE = "escalate"
    FLAG = "flag"


ACCOMPANYING = frozenset({Operation.ESCALATE, Operation.FLAG})
"""What goes along with a request and is no part of its answer: its failure stops nobody's request."""


class TaskOutcome(StrEnum):
    """What a downstream did, after looking again."""

    LOCATED = "located"
    EXPORTED = "exported"
    ERASED = "erased"
    AMENDED = "amended"
    ESCALATED = "escalated"
    NO_MATCH = "no_match"
    RETAINED = "retained"


@dataclass(frozen=True, slots=True)
class Step:
    """One task to be: this operation on this system."""

    system: str
    operation: Operation


Stages = tuple[tuple[Step, ...], ...]
