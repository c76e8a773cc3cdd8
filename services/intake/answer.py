"""What the subject is told, in plain words; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date

from services.intake import deferrals, instructed
from services.intake.as_told import as_told
from services.intake.letters import letter_date
from services.intake.lifecycle import State
from services.intake.stored_request import StoredRequest
from services.intake.summed import summed
from services.intake.told_of_forwarding import NOT_OURS, of_the_other_part
from services.intake.told_of_kept import because, of_kept_for_the_rest
from services.intake.told_of_package import instead_of_ready, of_package
from services.intake.told_of_restriction import RESTRICTED, but_not, of_restriction, restricted
from services.intake.told_of_search import not_searched
from services.intake.told_of_work import erased_meanwhile, had_been_done
from shared.domain.operations import PREPARING, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right

_DONE = {
    Right.ACCESS: "A copy of your personal data is ready for you to download.",
    Right.RECTIFICATION: "Your data was corrected in every system that holds it.",
    Right.ERASURE: "Your personal data was erased, and we have checked that nothing is left in the systems listed.",
    Right.RESTRICTION: RESTRICTED,
    Right.PORTABILITY: "Your data is ready for you to download in a form that other providers can read.",
    Right.OBJECTION: "You will get no more marketing from us.",
    Right.CONSENT_WITHDRAWAL: (
        "We no longer use your data for what you had consented to, and what we held for that alone is erased. What was"
        " done before you withdrew your consent stays lawful."
    ),
}
OUR_LIST = "marketing_objections"
"""The system that our own list of objections to marketing is called in the reports."""
_LISTED = (
    "The addresses and numbers that we know of you are on our list of those who get none, which also stops what is"
    " brought in later."
)
_NOTHING_MORE = "We say nothing of what else we know or hold: for that you would have to show who you are."
_ANONYMOUS = (
    "The address or number that you gave us is on our list of those who get no marketing from us. " + _NOTHING_MORE
)
_WAITING = {
    State.RECEIVED: "We have your request.",
    State.AWAITING_IDENTITY: "We have your request and need to be sure that it comes from you.",
    State.AWAITING_CLARIFICATION: "We have your request and have a question about it.",
    State.IN_PROGRESS: "We are working on your request.",
    State.AWAITING_DECISION: "A part of your request needs a closer look by our privacy team.",
}

_TO_BE_WEIGHED = "Your data is restricted, and used for nothing else, until two of us have weighed your objection."
_UPHELD = (
    "We follow your objection{restricted}. {but}You can also have your data erased (Art. 17(1)(c) GDPR): ask us for"
    " that."
)
_STAYS = ": your data stays restricted, and is used for nothing else"
_OVERRIDDEN = "We have weighed your objection and do not follow it; our letter says why. {done}"
_POSTPONED = (
    "You have also asked us for a copy of your data. We answer that first, since we could not copy what is erased, and"
    " begin to erase as soon as you have our answer. If you do not want to wait for it, tell us so in the same way in"
    " which you made your request, with its reference: then we erase at once, and there may be nothing left to copy."
)
_REST_POSTPONED = (
    "A part of your data is erased. Since you have also asked us for a copy of your data, we answer that first, and"
    " erase the rest as soon as you have our answer. If you do not want to wait for it, tell us."
)
_ERASED_FIRST = (
    "We had begun to erase your data, as you have asked us. That comes to an end first: what is erased by then can no"
    " longer be copied, corrected or restricted, and our answer says so."
)
_OPPOSED = (
    "You have also asked us to restrict your data, that is to keep it. We erase no more until you have told us which of"
    " the two you want: withdraw that request, and we lift the restriction and erase, or withdraw this one."
)
_ENDED = {
    Outcome.WITHDRAWN: "You withdrew your request; nothing more of what you asked for will be done. {done}",
    Outcome.REFUSED: "We do not do what you asked for. {done} Our letter says why, and where you can complain.",
    Outcome.DUPLICATE: "You have asked us for the same before. Our answer to your first request answers this one too.",
    Outcome.FORWARDED: f"{NOT_OURS} We have passed your request on to them, and they will answer you.",
}


_LATE = ", and we are late: we do it now, without further delay"


def standing(request: StoredRequest, today: date) -> str:
    """Where the request stands or how it ended, with what could not be done if there is anything; ``today`` in UTC."""
    told = as_told(request)
    own = answer(told) if told.outcome else _waiting(told, today)
    return " ".join((own, *of_the_other_part(told, today)))


def answer(request: StoredRequest) -> str:
    """How the request ended, with what could not be done if there is anything; of our own part, if there is another."""
    request = as_told(request)
    request = replace(request, tasks=request.tasks and summed(request.tasks))
    if request.tenant and (told := instructed.told(request)):
        return " ".join((told, *_beyond(request)))
    return _to_subject(request)


def _to_subject(request: StoredRequest) -> str:
    match request.outcome:
        case Outcome.DUPLICATE | Outcome.FORWARDED | Outcome.WITHDRAWN | Outcome.REFUSED:
            overridden = request.is_weighed and request.outcome is Outcome.REFUSED
            ended = _OVERRIDDEN if overridden else _ENDED[request.outcome]
            return ended.format(done=had_been_done(request)).strip()
        case _:
            still_open = "Our question to you is still open: answer it at any time, and we go on."
            asked = (still_open,) if request.resumable else ()
            told = _answered(request), of_restriction(request), *_beyond(request)
            return " ".join(filter(None, (*told, *asked)))


def _answered(request: StoredRequest) -> str:
    """What was done or found, as the reports say it, whenever and in whichever way it was answered."""
    if request.resumable:
        return _done_without_reply(request)
    match request.outcome:
        case Outcome.FULFILLED:
            return _done(request)
        case Outcome.NO_DATA:
            return _nothing(request)
        case Outcome.PARTIALLY_FULFILLED:
            done_since = request.tasks and not any(_is_open(t) for t in request.tasks if t.operation != Operation.LIFT)
            late = f"{_done(request)} A part of it was done after your request had been closed."
            return late if done_since else " ".join(_in_part("Your request was fulfilled in part", request))
        case _:
            return f"Your request was closed: {str(request.outcome).replace('_', ' ')}."


def _done_without_reply(request: StoredRequest) -> str:
    if request.outcome is Outcome.UNIDENTIFIED and not request.unsearched:
        return "We could not make sure that your request comes from you, and have done nothing."
    if request.outcome is Outcome.UNIDENTIFIED:
        nothing = _nothing(request) if any(t.outcome == TaskOutcome.NO_MATCH for t in request.tasks or ()) else ""
        return " ".join(filter(None, (nothing, *not_searched(request))))
    return " ".join(_in_part("We have done what was clear in your request", request))


def _in_part(done: str, request: StoredRequest) -> Iterator[str]:
    """What was not done and where; what had to be kept, until when and why, or that it has been erased since."""
    tasks = [task for task in request.tasks or () if task.operation != Operation.LIFT]
    kept = {task.system: text for task in tasks if (text := _of_kept(task))}
    other = sorted({task.system for task in tasks if _is_open(task)} - set(kept))
    if other and not (request.package_id or any(task.changed or task.uncounted for task in tasks)):
        yield f"Nothing of what you asked for could be done in: {', '.join(other)}."
    else:
        yield f"{done}{'; not, or not completely, in: ' if other else ''}{', '.join(other)}."
    yield from (text for _, text in sorted(kept.items()))
    if request.outstanding:
        owed = ", ".join(request.outstanding)
        yield f"We still owe you what is missing in: {owed}. You will hear from us when it is done."
    yield from not_searched(request)
    yield from of_kept_for_the_rest(request)
    if copy := of_package(request):
        yield copy


def _by_hand(request: StoredRequest) -> Iterator[str]:
    """What a person copied: it is in no package."""
    copied = {task.system for task in request.tasks or () if task.by_hand and task.outcome == TaskOutcome.EXPORTED}
    if copied:
        held = "holds" if len(copied) == 1 else "hold"
        yield f"What {_listed(copied)} {held} was copied by hand, and you get it separately."


def _beyond(request: StoredRequest) -> Iterator[str]:
    """What is told with every answer: what is in no package, what may be theirs, what their own dates leave out."""
    yield from _by_hand(request)
    yield from erased_meanwhile(request)
    yield from _of_whom_nobody_knows(request)
    yield from _by_others(request)
    if narrowed := {task.system for task in request.tasks or () if task.narrowed and not task.not_searched}:
        yield (
            "You have said from when to when a number was yours. We know it as yours for longer: what lies outside"
            f" your dates is no part of this answer, in {_listed(narrowed)}."
            " If you mean that too, ask us without those dates."
        )


def _of_whom_nobody_knows(request: StoredRequest) -> Iterator[str]:
    """Rows with a number that cannot be told to be anybody's, nor not to be the subject's."""
    for system, rows in sorted({(t.system, t.unattributed) for t in request.tasks or () if t.unattributed}):
        yield f"In {system} are {rows:,} records with numbers of which we cannot tell whose they are, yours perhaps."


def _by_others(request: StoredRequest) -> Iterator[str]:
    """What third persons wrote beside what is the subject's: it is theirs."""
    for system, count in sorted({(t.system, t.written_by_others) for t in request.tasks or () if t.written_by_others}):
        are = "is 1 message or file" if count == 1 else f"are {count:,} messages or files"
        yield f"In {system}, beside yours, {are} of other people; they are left to them, also where they speak of you."


def _done(request: StoredRequest) -> str:
    if request.is_weighed:
        ended = request.lift_told_at or request.lifted_at
        upheld = _UPHELD.format(restricted="" if ended else _STAYS, but="" if ended else but_not(request))
        return upheld if request.outcome is Outcome.FULFILLED else restricted(request)
    if instead := instead_of_ready(request):
        return instead
    if request.right is Right.RESTRICTION:
        return restricted(request)
    if request.right in {Right.OBJECTION, Right.CONSENT_WITHDRAWAL}:
        return _stopped(request)
    beyond = any(t.unattributed or t.narrowed or t.written_by_others for t in request.tasks or ())
    if request.right is Right.ERASURE and beyond:
        return "Your personal data was erased wherever it can be told that it is yours."
    return _DONE[request.right]


def _stopped(request: StoredRequest) -> str:
    """What an objection to marketing, or a withdrawal of consent, has stopped."""
    done = _DONE[request.right]
    if request.anonymous:
        return _ANONYMOUS if request.right is Right.OBJECTION else f"{done} {_NOTHING_MORE}"
    listed = any(task.system == OUR_LIST for task in request.tasks or ())
    return f"{done} {_LISTED}" if listed else done


def _nothing(request: StoredRequest) -> str:
    """That nothing was found, and where: only what was searched is named."""
    tasks = [task for task in request.tasks or () if task.operation not in PREPARING]
    searched = {task.system for task in tasks if task.outcome == TaskOutcome.NO_MATCH}
    if not searched and any(task.outcome == TaskOutcome.NOT_HELD for task in tasks):
        return "None of our systems holds what you asked us to change."
    if not searched:
        return "We hold no data about you under the identities that you gave."
    return f"We searched {_listed(searched)}, and hold no data about you there under the identities that you gave."


def _listed(names: Iterable[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last


def _is_open(task: TaskReport) -> bool:
    return bool(task.ground) or deferrals.is_undone(task)


def _of_kept(task: TaskReport) -> str | None:
    """What a subject is told of one system that keeps data, kept it until it was erased, or is gone; else None."""
    ground = (task.ground or "").replace("_", " ")
    until = f" until {letter_date(task.until)}" if task.until else ""
    match task.outcome:
        case TaskOutcome.RETAINED:
            then = "after that day" if until else "as soon as that no longer applies"
            return f"Kept in {task.system}{until} {because(task)}; it is to be erased {then}."
        case TaskOutcome.NO_LONGER_HELD if deferrals.is_out_of_reach(task):
            return f"We could not look in {task.system}, which is no longer in use: {ground}. Our letter says more."
        case TaskOutcome.ERASED | TaskOutcome.NO_MATCH if until:
            return f"What {task.system} had to keep{until} {because(task)}, has been erased."
        case TaskOutcome.ERASED if ground:
            return f"What {task.system} had to keep {because(task)}, has been erased."
        case _:
            return None


def _waiting(request: StoredRequest, today: date) -> str:
    late = request.due_on < today
    by = f"by {letter_date(request.due_on)}"
    if request.role == "processor":
        return f"{NOT_OURS} We {'were to' if late else 'will'} pass your request on to them {by}{_LATE * late}."
    told = f"You {'were to' if late else 'will'} hear from us {by}{_LATE * late}."
    if request.postponed:
        return f"{_postponed(request)} {told}"
    if request.is_weighed and request.state is State.AWAITING_DECISION:
        return " ".join(filter(None, (_TO_BE_WEIGHED, but_not(request).strip(), told)))
    return " ".join(filter(None, (_WAITING[request.state], of_restriction(request), told)))


def _postponed(request: StoredRequest) -> str:
    if request.right is not Right.ERASURE:
        return _ERASED_FIRST
    if request.opposed:
        return _OPPOSED
    return _REST_POSTPONED if deferrals.changed(request.tasks) else _POSTPONED
