"""Derives the blockers of a request: a sentence for requester and officer, and the actions that resolve it; pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
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


class Rule(NamedTuple):
    """A reason to wait: its sentence, and what resolves it."""

    kind: BlockerKind
    message: str
    actions: tuple[str, ...] = ()

    def of(self, named: str = "", since: datetime | None = None) -> Blocker:
        """The blocker; ``named``: the systems, or the key, that its sentence names."""
        return Blocker(kind=self.kind, message=self.message.format(named), since=since, actions=[*self.actions])


_ANSWER: Final = ("retry", "answer-in-part")
_WITHHELD = Rule(
    "approval",
    "Its package is withheld. Two people look into it and release it, or one has it rebuilt.",
    ("release-package", "renew-package"),
)
_KEY_SUSPENDED = Rule(
    "approval",
    "The API key {0} has asked for more erasures in an hour than the policy allows. Work begins once the privacy team"
    " releases the key.",
)
_THEIRS = Rule("customer", "A customer decides about these data: pass the request on to them.", ("forward",))
_COPIES_FIRST = Rule(
    "other_request",
    "The same person's open access and portability requests (`awaits`) are answered first. Answer those, or two people"
    " decide that this begins.",
    ("override-wait",),
)
_COPY_OF_MESSAGE = Rule(
    "other_request",
    "Use has stopped. What was held by that consent alone goes once the copy that the same message asks for (`awaits`)"
    " is answered: see to that, or refuse it.",
)
_OPPOSED = Rule(
    "other_request",
    "The same person has had data restricted that this erasure would remove (`awaits`, Art. 18(1)(b), (c)), and was"
    " asked which of the two they want: they withdraw one of the requests, or the restriction is lifted.",
    ("refuse", "withdraw"),
)
_CONFLICT = Rule(
    "system",
    "Our records contradict one another about whose a number was, and when. Nothing is done about that time until the"
    " privacy team has settled the conflict.",
)
_IN_DOUBT = Rule(
    "system",
    "Our register of numbers does not tell to which of several holders a number belongs. Nothing is done where it would"
    " be searched by until the privacy team has looked.",
    _ANSWER,
)
_WHO = Rule("identity", "The requester must prove who they are.", ("verify",))
_MORE_PROOF = Rule(
    "identity", "The requester must prove better that what they gave is theirs, for what {0} may hold.", ("verify",)
)
_UNREAD = Rule(
    "delivery",
    "The question waits, and does not count as asked: no time limit stops for it. The requester has not opened their"
    " request since, and no mail goes to an unproved address. Once they open the request, the question is asked.",
)
_REPLY = Rule(
    "clarification",
    "The requester must answer our question; without that it goes on after the last notice.",
    ("record-reply",),
)
_REPORT = Rule(
    "system", "How it is answered is decided: the answer is written as soon as it is known what is done by now."
)
_TO_BE_WEIGHED = Rule("approval", "The data are restricted: two people must decide the objection.", ("weigh",))
_LIMIT = Rule(
    "approval", "In {0} more was found than one request may touch: two people must confirm it.", ("exceed-limit",)
)
_OTHERS = Rule(
    "system",
    "In {0} rows were found that are of several people, or of which nothing shows that they are the requester's: find"
    " out whose they are, and have it tried again or answer in part. Only where `exceeded` says how many, and all of it"
    " is the requester's, two people confirm it instead.",
    (*_ANSWER, "exceed-limit"),
)
_UNSIGNED = Rule(
    "approval",
    "In {0} nothing is erased until a rule of the policy is signed by which something there may have to stay: have it"
    " signed, and it goes on by itself; or two people confirm that it goes.",
    ("exceed-limit",),
)
_BY_HAND = Rule("system", "In {0} a person does it by hand, and enters what was done.", ("record-result",))
_FAILED = Rule(
    "system", "In {0} it was not done: read why (`tasks`), and have it tried again or answer in part.", _ANSWER
)
_NOT_SEARCHED = Rule(
    "system",
    "Of {0} nothing more is known to search by: ask, have it tried again, or answer in part.",
    ("ask", *_ANSWER),
)
_SEVERAL = Rule(
    "system",
    "Of {0} only the customer number would tell whose data they are: ask for it, or answer in part.",
    ("ask", "answer-in-part"),
)
_DECISION = Rule("approval", "The privacy team must decide how it goes on.", ("answer-in-part", "refuse"))
_ON_ITS_WAY = Rule(
    "delivery", "Its answer is written, and has not reached the person: the time runs until its letter does."
)
_OWED = Rule("system", "It was answered in part; of {0} the rest is still owed.")
_LOOKED_INTO = Rule(
    "system",
    "In {0} rows are kept that say no day from which their period counts, or that were not erased on their day, and the"
    " person was notified that one of us looks into it: see why (`tasks`), enter the day in the system, and have it"
    " tried again.",
    ("retry",),
)
_NOT_LIFTED = Rule(
    "system",
    "In {0} what was restricted is not lifted: read why (`tasks`), and have it tried again, confirm a limit with a"
    " second person, or, where no limit stopped it, lift by hand and enter it.",
    ("retry", "exceed-limit", "record-result"),
)
_ANSWERED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})
_OF_TASKS: Sequence[tuple[Rule, Callable[[TaskReport], object]]] = (
    (_OTHERS, deferrals.finds_others),
    (_UNSIGNED, lambda task: task.failure == RuleUnsigned.code),
    (_LIMIT, lambda task: task.exceeded),
    (_FAILED, deferrals.needs_judgement),
    (_SEVERAL, deferrals.has_failed),
    (_BY_HAND, deferrals.waits_for_hands),
    (_NOT_SEARCHED, lambda task: task.not_searched),
)
"""Why a task needs a decision: the first that holds."""


def blocked_by(request: StoredRequest, awaits: Sequence[object] = ()) -> list[Blocker]:
    """Returns the present blockers; none during work, and none of a closed request that lacks nothing.

    ``awaits``: requests of the same person for which it waits.
    """
    if request.package_fault and not request.package_is_gone:
        return [_WITHHELD.of(since=request.closed_at)]
    if request.state is State.CLOSED:
        return _after_closing(request)
    if request.suspended:
        return [_KEY_SUSPENDED.of(request.key_id, request.accepted_at)]
    if request.postponed:
        return [(_OPPOSED if request.opposed else _COPIES_FIRST).of(since=request.accepted_at)]
    return _while_open(request, awaits)


def _while_open(request: StoredRequest, awaits: Sequence[object]) -> list[Blocker]:
    question = request.question
    asked_at = question.asked_at if question else None
    if question and question.untold and request.channel == "portal":
        return [_UNREAD.of(since=asked_at)]
    if request.state is State.AWAITING_DECISION:
        return _decisions(request)
    match request.state:
        case State.AWAITING_IDENTITY:
            unproved = _systems(deferrals.unproved(request.tasks))
            found = [(_MORE_PROOF if unproved else _WHO).of(unproved, asked_at or request.received_at)]
        case State.AWAITING_CLARIFICATION:
            found = [_REPLY.of(since=asked_at)]
        case State.IN_PROGRESS if awaits and request.right is Right.CONSENT_WITHDRAWAL and not request.decided:
            found = [_COPY_OF_MESSAGE.of()]
        case _:
            found = [_REPORT.of()] if request.decided else []
    return found


def _after_closing(request: StoredRequest) -> list[Blocker]:
    """Returns the blockers of a closed request."""
    found = list[Blocker]()
    if undone := [task for task in request.tasks or () if deferrals.lift_undone(task)]:
        found.append(_NOT_LIFTED.of(_systems(undone), request.closed_at))
    elif request.outcome in _ANSWERED and (systems := deferrals.looked_into(request.tasks)):
        found.append(_LOOKED_INTO.of(", ".join(systems), request.closed_at))
    if request.unfinished and request.responded_at is None:
        found.append(_ON_ITS_WAY.of(since=request.closed_at))
    elif request.unfinished:
        found.append(_OWED.of(", ".join(request.outstanding), request.closed_at))
    return found


def _decisions(request: StoredRequest) -> list[Blocker]:
    """Returns the decisions that people must take, one per reason."""
    tasks = tuple(request.tasks or ())
    if request.role == "processor":
        return [_THEIRS.of(since=request.received_at)]
    if deferrals.in_conflict(tasks):
        return [_CONFLICT.of()]
    if any(task.failure == AssignmentInDoubt.code for task in tasks):
        return [_IN_DOUBT.of()]
    left = dict[Rule, list[TaskReport]]()
    for rule, holds in _OF_TASKS:
        for task in tasks:
            if holds(task) and not any(task in others for others in left.values()):
                left.setdefault(rule, []).append(task)
    otherwise = _TO_BE_WEIGHED if request.is_weighed else _DECISION
    return [rule.of(_systems(found)) for rule, found in left.items()] or [otherwise.of()]


def _systems(tasks: Sequence[TaskReport]) -> str:
    return ", ".join(sorted({task.system for task in tasks}))
