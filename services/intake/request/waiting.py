"""What a request waits for, in one sentence for the requester and the officer; pure."""

from collections.abc import Iterable

from services.intake.request import deferrals
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import StoredRequest
from shared.domain.assignments import AssignmentInDoubt
from shared.domain.errors import RuleUnsigned
from shared.domain.operations import TaskReport, Unsearched
from shared.domain.rights import Outcome

_WITHHELD = (
    "Its package is withheld (`package_withheld`). Two persons look into it (GET …/package/inspection) and release it"
    " (POST …/package/release), or one has it made anew (POST …/package/renewal)."
)
_KEY_SUSPENDED = (
    "The API key {0} has asked for more erasures in an hour than the policy allows. This begins once the privacy team"
    " releases the key (POST /v1/suspended-keys/{0}/release)."
)
_THEIRS = "A customer of ours decides about these data: pass it on to them, and say so (POST /v1/requests/ID/forward)."
_COPIES_FIRST = (
    "The same person's open access and portability requests (`awaits`) are answered first. Answer those, or two persons"
    " decide that this begins (POST …/decision, `begin`)."
)
COPY_OF_MESSAGE = (
    "Use has stopped. What was held by that consent alone goes once the copy that the same message asks for (`awaits`)"
    " is answered: see to that, or refuse it."
)
_OPPOSED = (
    "The same person has had data restricted that this erasure would remove (`awaits`, Art. 18(1)(b), (c)), and was"
    " asked which of the two they want (letter `erasure_opposed`): they withdraw one of the requests. Or two persons"
    " decide `begin`, which ends the restriction, or refuse this request."
)
_CONFLICT = (
    "Our records contradict one another about whose a number was, and when. Nothing is done about the time in question"
    " until the privacy team has looked (GET /v1/assignment-conflicts)."
)
_IN_DOUBT = (
    "Our register of numbers does not tell to which of several holders a number belongs. Nothing is done where it would"
    " be searched by until the privacy team has looked."
)
_WHO = "The requester is to prove who they are (POST …/verify)."
_MORE_PROOF = "The requester is to prove better that what they gave is theirs (POST …/verify), for what {0} may hold."
_UNREAD = (
    "The question waits, and does not count as asked: no time limit stops for it. They have not opened their request"
    " since, and to an address that nobody has proved no mail says that there is something to read. Once they open it"
    " they are shown the question, and it is asked."
)
_REPLY = "The requester is to answer our question (POST …/reply); without that it goes on after the last notice."
_REPORT = "How it is answered is decided: the answer is written as soon as it is known what is done by now."
_TO_BE_WEIGHED = "The data are restricted: two persons weigh the objection (POST …/balancing)."
_LIMIT = "In {0} more was found than one request may touch: two persons confirm it (POST …/confirmation)."
_OTHERS = (
    "In {0} rows were found that are of several people, or of which nothing shows that they are the requester's"
    " (`tasks`): find out whose they are, and have it tried again or answer in part (POST …/decision). Only where"
    " `exceeded` says how many, and all of it is the requester's, two persons confirm it instead (POST …/confirmation)."
)
_UNSIGNED = (
    "In {0} nothing is erased until a rule of the policy is signed by which something there may have to stay (`tasks`):"
    " have it signed, and it goes on by itself; or two persons confirm that it goes (POST …/confirmation)."
)
_BY_HAND = "In {0} a person does it by hand, and enters what was done (POST …/task-result)."
_FAILED = (
    "In {0} it was not done: the privacy team reads why (`tasks`), and has it tried again or answers in part"
    " (POST …/decision)."
)
_NOT_SEARCHED = (
    "Of {0} nothing more is known to search by: the privacy team asks (POST …/question), has it tried again, or answers"
    " in part (POST …/decision)."
)
_ON_ITS_WAY = "Its answer is written, and has not reached the person: the time runs until its letter does."
_OWED = "It was answered in part; of {0} the rest is still owed."
_LOOKED_INTO = (
    "In {0} rows are kept that say no day from which their period counts, or that were not erased on their day, and the"
    " person was told that one of us looks into it: see why (`tasks`), enter the day in the system, and have it tried"
    " again (POST …/decision, `retry`)."
)
_NOT_LIFTED = (
    "In {0} what was restricted is not lifted: the privacy team reads why (`tasks`), and has it tried again (POST"
    " …/decision, `retry`), confirms a limit with a second person (POST …/confirmation), or, where no limit stopped it,"
    " lifts by hand and enters it (POST …/task-result)."
)
_ANSWERED = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED, Outcome.ASSISTED})
_DECISION = "The privacy team decides how it goes on (POST …/decision)."


_SEVERAL = (
    "Of {0} only the customer number would tell whose data they are: ask for it (POST …/question), or answer in part."
)


def awaited_after_closing(request: StoredRequest) -> str | None:
    """What is missing of a request that is closed; None where nothing is, or where it is open."""
    if not request.unfinished:
        return None
    return _ON_ITS_WAY if request.responded_at is None else _OWED.format(", ".join(request.outstanding))


def waits_for(request: StoredRequest) -> str | None:
    """What comes next; None while we are at work, and where it is closed and nothing is withheld."""
    if request.package_fault and not request.package_is_gone:
        return _WITHHELD
    if request.state is State.CLOSED:
        if undone := [task for task in request.tasks or () if deferrals.lift_undone(task)]:
            return _NOT_LIFTED.format(_systems(undone))
        systems = deferrals.looked_into(request.tasks) if request.outcome in _ANSWERED else ()
        return _LOOKED_INTO.format(", ".join(systems)) if systems else None
    return _by_others(request) or _by_state(request)


def _by_others(request: StoredRequest) -> str | None:
    if request.suspended:
        return _KEY_SUSPENDED.format(request.key_id)
    return (_OPPOSED if request.opposed else _COPIES_FIRST) if request.postponed else None


def _by_state(request: StoredRequest) -> str | None:
    if request.question and request.question.untold and request.channel == "portal":
        return _UNREAD
    match request.state:
        case State.AWAITING_IDENTITY:
            unproved = _systems(deferrals.unproved(request.tasks))
            return _MORE_PROOF.format(unproved) if unproved else _WHO
        case State.AWAITING_CLARIFICATION:
            return _REPLY
        case State.AWAITING_DECISION:
            return _decision(request)
        case _:
            return _REPORT if request.decided else None


def _decision(request: StoredRequest) -> str:
    """Of several things that are missing the one that a person can do something about first."""
    tasks = tuple(request.tasks or ())
    if request.role == "processor":
        return _THEIRS
    if deferrals.in_conflict(tasks):
        return _CONFLICT
    if any(task.failure == AssignmentInDoubt.code for task in tasks):
        return _IN_DOUBT
    for sentence, left in (
        (_OTHERS, [task for task in tasks if deferrals.finds_others(task)]),
        (_UNSIGNED, [task for task in tasks if task.failure == RuleUnsigned.code]),
        (_LIMIT, [task for task in tasks if task.exceeded]),
        (_FAILED, [task for task in tasks if deferrals.needs_judgement(task)]),
        (_SEVERAL, [task for task in tasks if deferrals.has_failed(task)]),
        (_BY_HAND, [task for task in tasks if deferrals.waits_for_hands(task)]),
        (_FAILED, [task for task in tasks if task.not_searched == Unsearched.HISTORY_NOT_READABLE]),
        (_NOT_SEARCHED, [task for task in tasks if task.not_searched]),
    ):
        if left:
            return sentence.format(_systems(left))
    return _TO_BE_WEIGHED if request.is_weighed else _DECISION


def _systems(tasks: Iterable[TaskReport]) -> str:
    return ", ".join(sorted({task.system for task in tasks}))
