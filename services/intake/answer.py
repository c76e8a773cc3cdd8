"""What the subject is told, in plain words; pure."""

from collections.abc import Iterator, Mapping, Sequence

from services.intake import deferrals
from services.intake.request import Request, State
from shared.domain.operations import Unsearched
from shared.domain.rights import Outcome, Right

_DONE = {
    Right.ACCESS: "A copy of your personal data is ready for you to download.",
    Right.RECTIFICATION: "Your data was corrected in every system that holds it.",
    Right.ERASURE: "Your personal data was erased, and we have checked that nothing is left in the systems listed.",
    Right.RESTRICTION: "Your data is restricted: it is kept, and not used for anything else.",
    Right.PORTABILITY: "Your data is ready for you to download in a form that other providers can read.",
    Right.OBJECTION: "You will get no more marketing from us.",
}
_WAITING = {
    State.RECEIVED: "We have your request.",
    State.AWAITING_IDENTITY: "We have your request and need to be sure that it comes from you.",
    State.AWAITING_CLARIFICATION: "We have your request and have a question about it.",
    State.IN_PROGRESS: "We are working on your request.",
    State.AWAITING_DECISION: "A part of your request needs a closer look by our privacy team.",
}

_NOT_OURS = "Your request is about data that we process for a customer of ours, who decides about them."
_ENDED = {
    Outcome.NO_DATA: "We searched every system and hold no data about you under the identities that you gave.",
    Outcome.WITHDRAWN: "You withdrew your request; nothing more will be done.",
    Outcome.FORWARDED: f"{_NOT_OURS} We have passed your request on to them, and they will answer you.",
}


_UNSEARCHED = {
    Unsearched.NOTHING_TO_SEARCH_BY: "nothing that we know of you leads there",
    Unsearched.NUMBER_WITHOUT_PERIOD: "we do not know from when to when a number was yours",
}


def answer(request: Request, tasks: Sequence[dict[str, object]] | None, *, package: bool = False) -> str:
    """Where the request stands or how it ended, with what could not be done if there is anything.

    ``package``: there is one to download.
    """
    if request.resumable:
        done = _done_without_reply(request, tasks, package=package)
        return f"{done} Our question to you is still open: answer it at any time, and we go on."
    match request.outcome:
        case None:
            return _waiting(request)
        case Outcome.FULFILLED:
            return _DONE[request.right]
        case Outcome.NO_DATA | Outcome.WITHDRAWN | Outcome.FORWARDED:
            return _ENDED[request.outcome]
        case Outcome.PARTIALLY_FULFILLED:
            return " ".join(_in_part("Your request was fulfilled in part", tasks or (), package=package))
        case _:
            return f"Your request was closed: {request.outcome.replace('_', ' ')}."


def _done_without_reply(request: Request, tasks: Sequence[Mapping[str, object]] | None, *, package: bool) -> str:
    if request.outcome is Outcome.UNIDENTIFIED:
        return "We could not make sure that your request comes from you, and have done nothing."
    return " ".join(_in_part("We have done what was clear in your request", tasks or (), package=package))


def _in_part(done: str, tasks: Sequence[Mapping[str, object]], *, package: bool) -> Iterator[str]:
    """What was not done and where; what had to be kept, until when and why, or that it has been erased since."""
    told = {str(task["system"]): text for task in tasks if (text := deferrals.sentence(task))}
    lacking = {str(task["system"]) for task in tasks if task.get("ground") or deferrals.is_undone(task)}
    other = sorted(lacking - set(told))
    if other and not (package or any(task.get("changed") for task in tasks)):
        yield f"Nothing of what you asked for could be done in: {', '.join(other)}."
    else:
        yield f"{done}{'; not, or not completely, in: ' if other else ''}{', '.join(other)}."
    yield from (told[system] for system in sorted(told))
    for system, reason in sorted({(str(t["system"]), str(t["not_searched"])) for t in tasks if t.get("not_searched")}):
        yield f"We could not search {system} completely: {_UNSEARCHED[Unsearched(reason)]}."


def _waiting(request: Request) -> str:
    by = f"{request.due_on:%d %B %Y}"
    if request.role == "processor":
        return f"{_NOT_OURS} We will pass your request on to them by {by}."
    return f"{_WAITING[request.state]} You will hear from us by {by}."
