"""Derives the blockers of a request: a sentence for requester and officer, and the actions that resolve it; pure.

``blockers.toml`` has the sentences.
"""

import tomllib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import BaseModel, Field

from services.intake.core.schemas import Instant
from services.intake.request import deferrals
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import StoredRequest
from shared.domain.assignments import AssignmentInDoubt
from shared.domain.errors import RuleUnsigned
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right

BlockerKind = Literal["identity", "clarification", "approval", "other_request", "system", "customer", "delivery"]


class Blocker(BaseModel):
    """Something that blocks a request, or its answer."""

    kind: BlockerKind = Field(description="What must come first, by its kind")
    message: str = Field(
        description="What must come first, in one sentence", examples=["The requester must prove who they are."]
    )
    since: Instant | None = Field(description="Since when; null where that is not on record")
    actions: list[str] = Field(
        description="What resolves it: names of actions with this request", examples=[["verify"]]
    )


class BlockerRule(NamedTuple):
    """A reason to wait: its sentence, and what resolves it."""

    kind: BlockerKind
    message: str
    actions: Sequence[str] = ()


RULES: Final = {
    name: BlockerRule(**said)
    for name, said in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}
_ANSWERED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})
_OF_TASKS: Sequence[tuple[str, Callable[[TaskReport], object]]] = (
    ("others", deferrals.finds_other_people),
    ("unsigned", lambda task: task.failure == RuleUnsigned.code),
    ("limit", lambda task: task.exceeded),
    ("failed", deferrals.needs_judgement),
    ("several", deferrals.has_failed),
    ("by_hand", deferrals.needs_manual_work),
    ("not_searched", lambda task: task.not_searched),
)
"""Why a task needs a decision: the first that holds."""


def _blocker(rule: str, named: str = "", since: datetime | None = None) -> Blocker:
    """Returns the blocker of a rule; ``named``: the systems, or the key, that its sentence names."""
    kind, message, actions = RULES[rule]
    return Blocker(kind=kind, message=message.format(named), since=since, actions=[*actions])


def blocked_by(request: StoredRequest, awaits: Sequence[object] = ()) -> list[Blocker]:
    """Returns the present blockers; none during work, and none of a closed request that lacks nothing.

    ``awaits``: requests of the same person for which it waits.
    """
    if request.package_fault and not request.package_is_gone:
        return [_blocker("withheld", since=request.closed_at)]
    if request.state is State.CLOSED:
        return _after_closing(request)
    if request.suspended:
        return [_blocker("key_suspended", request.key_id, request.accepted_at)]
    if request.postponed:
        return [_blocker("opposed" if request.opposed else "copies_first", since=request.accepted_at)]
    return _while_open(request, awaits)


def _while_open(request: StoredRequest, awaits: Sequence[object]) -> list[Blocker]:
    question = request.question
    asked_at = question.asked_at if question else None
    if question and question.undelivered and request.channel == "portal":
        return [_blocker("unread", since=asked_at)]
    if request.state is State.AWAITING_DECISION:
        return _decisions(request)
    match request.state:
        case State.AWAITING_IDENTITY:
            unproved = _systems(deferrals.unproved(request.tasks))
            found = [_blocker("more_proof" if unproved else "who", unproved, asked_at or request.received_at)]
        case State.AWAITING_CLARIFICATION:
            found = [_blocker("reply", since=asked_at)]
        case State.IN_PROGRESS if awaits and request.right is Right.CONSENT_WITHDRAWAL and not request.decided:
            found = [_blocker("copy_of_message")]
        case _:
            found = [_blocker("report")] if request.decided else []
    return found


def _after_closing(request: StoredRequest) -> list[Blocker]:
    """Returns the blockers of a closed request."""
    found = list[Blocker]()
    if undone := [task for task in request.tasks or () if deferrals.lift_undone(task)]:
        found.append(_blocker("not_lifted", _systems(undone), request.closed_at))
    elif request.outcome in _ANSWERED and (systems := deferrals.needs_review(request.tasks)):
        found.append(_blocker("looked_into", ", ".join(systems), request.closed_at))
    if request.unfinished and request.responded_at is None:
        found.append(_blocker("on_its_way", since=request.closed_at))
    elif request.unfinished:
        found.append(_blocker("owed", ", ".join(request.outstanding), request.closed_at))
    return found


def _decisions(request: StoredRequest) -> list[Blocker]:
    """Returns the decisions that people must take, one per reason."""
    tasks = tuple(request.tasks or ())
    if request.role == "processor":
        return [_blocker("theirs", since=request.received_at)]
    if deferrals.in_conflict(tasks):
        return [_blocker("conflict")]
    if any(task.failure == AssignmentInDoubt.code for task in tasks):
        return [_blocker("in_doubt")]
    left = dict[str, list[TaskReport]]()
    for rule, holds in _OF_TASKS:
        for task in tasks:
            if holds(task) and not any(task in others for others in left.values()):
                left.setdefault(rule, []).append(task)
    otherwise = "to_be_weighed" if request.is_weighed else "decision"
    return [_blocker(rule, _systems(found)) for rule, found in left.items()] or [_blocker(otherwise)]


def _systems(tasks: Sequence[TaskReport]) -> str:
    return ", ".join(sorted({task.system for task in tasks}))
