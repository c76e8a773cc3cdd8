"""Defines the messages between the platform and a team that erases its own store: no personal data, no free text.

A reason or ground is a word that the downstreams file lists for the team (``legal_hold``, ``tax_law``). Other words are
rejected, so no name, number or address passes.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID, uuid5

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from shared.domain.errors import Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome, Unsearched
from shared.systems.bounds import FIRST_DAY, LAST_DAY, MOST

Word = Annotated[str, Field(pattern=r"^[a-z][a-z_]{1,47}$")]
Count = Annotated[int, Field(ge=0, le=MOST)]
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Amending = Literal[Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS]
"""Changes in place: each is looked at again as an erasure is."""
BusOperation = Literal[Operation.LOCATE, Operation.ERASE, Operation.EXPORT, Amending, Operation.PLAN]
"""Operations of a team; ``locate`` is the second look. Found or corrected data never go over the bus."""
AMENDING: frozenset[Operation] = frozenset({Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS})


class _Message(BaseModel):
    """Strict and frozen: an unknown field is an error, for it could be a person's data."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class TaskRequested(_Message):
    """Asks a team to fulfil a right in its store, or to verify that.

    ``command_id`` is the idempotency key: a repeat gets the same reply and has no second effect. ``claim`` is exchanged
    at intake for the identities (``GET /v1/tasks/identities``, header ``DSR-Claim``). A team that finds more than
    ``max_rows`` rows changes nothing and answers ``refused`` with the reason ``limit_exceeded`` and the number
    ``found``; two people may then confirm that number. ``tenant``: the customer whose data are searched; null: the
    company's own. It is sent only to a team that separates tenants. ``after``: with ``locate``, the change to verify;
    missing after an erasure.
    """

    type: Literal["dsr.task.requested.v1"] = "dsr.task.requested.v1"
    command_id: UUID
    task_id: UUID
    request_id: UUID
    operation: BusOperation
    due_on: date | None
    max_rows: Annotated[int, Field(gt=0)]
    tenant: str | None = None
    after: Amending | None = None
    claim: str


class ReplyOutcome(StrEnum):
    """Outcomes of a team's task."""

    ERASED = TaskOutcome.ERASED
    LOCATED = TaskOutcome.LOCATED
    EXPORTED = TaskOutcome.EXPORTED
    AMENDED = TaskOutcome.AMENDED
    PLANNED = TaskOutcome.PLANNED
    NO_MATCH = TaskOutcome.NO_MATCH
    RETAINED = TaskOutcome.RETAINED
    NOT_SEARCHED = TaskOutcome.NOT_SEARCHED
    NOT_HELD = TaskOutcome.NOT_HELD
    REFUSED = Refused.code


_COMMON_OUTCOMES = {ReplyOutcome.NO_MATCH, ReplyOutcome.REFUSED}
_SEARCHING = _COMMON_OUTCOMES | {ReplyOutcome.NOT_SEARCHED}
_ANSWERS: Mapping[Operation, set[ReplyOutcome]] = {
    Operation.LOCATE: _COMMON_OUTCOMES | {ReplyOutcome.LOCATED},
    Operation.ERASE: _SEARCHING | {ReplyOutcome.ERASED, ReplyOutcome.RETAINED},
    Operation.EXPORT: _SEARCHING | {ReplyOutcome.EXPORTED},
    Operation.RECTIFY: _SEARCHING | {ReplyOutcome.AMENDED, ReplyOutcome.NOT_HELD},
    Operation.RESTRICT: _SEARCHING | {ReplyOutcome.AMENDED},
    Operation.LIFT: _SEARCHING | {ReplyOutcome.AMENDED},
    Operation.SUPPRESS: _SEARCHING | {ReplyOutcome.AMENDED, ReplyOutcome.NOT_HELD},
    Operation.PLAN: _SEARCHING | {ReplyOutcome.PLANNED},
}


class TaskReply(_Message):
    """Reports what a team did: rows found before, changed, and remaining.

    - ``remaining``: rows that are still there; after a change in place, those not changed as asked
    - ``exported``: ``found`` rows were uploaded before (``PUT /v1/tasks/result``)
    - ``not_held``: the store has no such field or flag
    - ``planned``: what an erasure would find (``by_category``) and keep, on which ``ground`` and ``until`` when
    - ``retained``: the ``ground`` on which data stay and, where known, ``until`` which day
    - ``not_searched``: the ``reason`` why none of the identities can be searched by; the requester is asked for more
    - ``refused``: the ``reason`` why a person must look
    """

    type: Literal["dsr.task.replied.v1"] = "dsr.task.replied.v1"
    command_id: UUID
    task_id: UUID
    operation: BusOperation
    outcome: ReplyOutcome
    found: Count = 0
    changed: Count = 0
    remaining: Count = 0
    ground: Word | None = None
    until: Day | None = None
    reason: Word | None = None
    by_category: Mapping[Word, Count] = {}

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.outcome not in _ANSWERS[self.operation]:
            raise ValueError(f"{self.outcome} does not answer {self.operation}")
        holds, needs = _NEEDS[self.outcome]
        if not holds(self):
            raise ValueError(f"{self.outcome} {needs}")
        if self.outcome is ReplyOutcome.PLANNED and (self.ground is None) == bool(self.remaining):
            raise ValueError("planned needs a ground where something would remain, and only there")
        if self.outcome in _ADDING_UP and self.changed + self.remaining != self.found:
            raise ValueError("what was changed and what remains must add up to what was found")
        counted = sum(self.by_category.values())
        if self.by_category and (self.outcome is not ReplyOutcome.PLANNED or counted != self.found):
            raise ValueError("by_category is for planned, and adds up to what was found")
        return self


def _has_no_rows(reply: TaskReply) -> bool:
    return not (reply.found or reply.changed or reply.remaining)


def _unchanged(reply: TaskReply) -> bool:
    return bool(reply.found) and not reply.changed and reply.remaining <= reply.found


_ADDING_UP = {ReplyOutcome.ERASED, ReplyOutcome.RETAINED}
_NEEDS: Mapping[ReplyOutcome, tuple[Callable[[TaskReply], bool], str]] = {
    ReplyOutcome.NO_MATCH: (_has_no_rows, "says that nothing was found, changed or left"),
    ReplyOutcome.NOT_HELD: (_has_no_rows, "says that nothing was found, changed or left"),
    ReplyOutcome.ERASED: (lambda r: bool(r.found) and not r.remaining, "needs found above 0 and remaining 0"),
    ReplyOutcome.LOCATED: (_unchanged, "needs found above 0, no more than that remaining, and changed 0"),
    ReplyOutcome.EXPORTED: (
        lambda r: _unchanged(r) and not r.remaining,
        "needs found above 0, changed 0 and remaining 0",
    ),
    ReplyOutcome.AMENDED: (
        lambda r: bool(r.found) and not r.remaining and r.changed <= r.found,
        "needs found above 0, no more than that changed, and remaining 0",
    ),
    ReplyOutcome.PLANNED: (_unchanged, "needs found above 0, no more than that remaining, and changed 0"),
    ReplyOutcome.RETAINED: (
        lambda r: r.ground is not None and bool(r.remaining),
        "needs a ground and remaining above 0",
    ),
    ReplyOutcome.NOT_SEARCHED: (
        lambda r: _has_no_rows(r) and r.reason in set(Unsearched),
        f"needs counts of 0 and a reason: {' or '.join(Unsearched)}",
    ),
    ReplyOutcome.REFUSED: (lambda r: r.reason is not None, "needs a reason"),
}


class KnownAs(_Message):
    """One identity of the subject; ``valid_from``/``valid_to``: the half-open period in which a number was theirs."""

    type: IdentityType
    value: str = Field(repr=False)
    valid_from: AwareDatetime | None = None
    valid_to: AwareDatetime | None = None


class Correction(_Message):
    """A value that is wrong and what it should be (Art. 16); without ``current`` every value of that field is."""

    field: str
    current: str | None = Field(default=None, repr=False)
    asserted: str = Field(repr=False)


class TaskIdentities(_Message):
    """Intake's answer to a claim: whom the task is about. Personal data: over HTTPS only, never on the bus.

    ``changes``: for a rectification, what the subject wants corrected of the fields that the system can correct.
    """

    task_id: UUID
    identities: tuple[KnownAs, ...]
    changes: tuple[Correction, ...] = ()

    @classmethod
    def of(cls, task_id: UUID, identities: tuple[Identity, ...], changes: Iterable[Change] = ()) -> Self:
        """Identities of the subject, without who says so, and what is to be corrected."""
        known = (KnownAs(type=i.type, value=i.value, valid_from=i.valid_from, valid_to=i.valid_to) for i in identities)
        wanted = (Correction(field=c.field, current=c.current, asserted=c.asserted) for c in changes)
        return cls(task_id=task_id, identities=tuple(known), changes=tuple(wanted))


class MalformedReply(Refused):
    """A reply on the bus is not one; the message names the field, and the record is kept as a dead letter."""


def command_id(task_id: UUID, operation: BusOperation, round_: int = 0) -> UUID:
    """The same command of the same task has the same id, however often it is sent; a person's retry is a new round."""
    return uuid5(task_id, f"{operation}:{round_}")


def parse_reply(value: bytes | None) -> TaskReply:
    """Read a record of ``dsr.tasks.<system>.replies``.

    Raises:
        MalformedReply: names the field and what is wrong with it, never the value.
    """
    try:
        return TaskReply.model_validate_json(value or b"")
    except ValidationError as error:
        wrong = sorted({_what_is_wrong(item) for item in error.errors(include_url=False, include_input=False)})
        raise MalformedReply(f"not a dsr.task.replied.v1: {'; '.join(wrong)}") from None


def answered_by(value: bytes | None) -> tuple[UUID, UUID] | None:
    """The task and the command that a malformed reply names, if it names them."""
    try:
        named = _NamedCommand.model_validate_json(value or b"")
    except ValidationError:
        return None
    return named.task_id, named.command_id


class _NamedCommand(BaseModel):
    task_id: UUID
    command_id: UUID


def _what_is_wrong(item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        # Its name came from outside and could itself be an address or a number.
        return "a field that a reply does not have; send only what docs/plug-in/bus.md lists"
    # Of the field alone: what stands in it was said from outside, too.
    return f"{'.'.join(map(str, item['loc'][:1])) or 'the reply'}: {item['msg']}"


def progress_key(operation: BusOperation) -> str:
    """Returns the key in a task's progress that holds the reply to this operation."""
    return f"reply.{operation}"


def progress_from_reply(reply: TaskReply) -> tuple[UUID, Mapping[str, JsonValue]]:
    """The task that a reply is about, and what to merge into its progress; merging it twice changes nothing."""
    return reply.task_id, {progress_key(reply.operation): reply.model_dump(mode="json")}
