"""What a customer of ours is told of an instruction of theirs, in plain words; pure.

The customer decides about the data and answers the person (Art. 28(3)(a) and (e)); we carry it out in that customer's
data alone, and name the systems that could not be asked for these.
"""

from collections.abc import Iterable, Iterator, Sequence

from services.intake import deferrals
from services.intake.stored_request import StoredRequest
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.rights import Outcome

_DONE = {
    Outcome.ASSISTED: "We have carried out your instruction {id}, in your data and in nobody else's.",
    Outcome.PARTIALLY_FULFILLED: "We have carried out a part of your instruction {id}, in your data and nobody else's.",
    Outcome.UNIDENTIFIED: "By what your instruction {id} says of the person we could not find anything in your data.",
}


def told(request: StoredRequest) -> str | None:
    """How an instruction ended; None where that is told as of any request, or it has not."""
    done = _DONE.get(request.outcome) if request.outcome else None
    if done is None:
        return None
    tasks = [task for task in request.tasks or () if task.operation in ANSWERING]
    return " ".join((done.format(id=request.instruction_id), *_more(request, tasks)))


def _more(request: StoredRequest, tasks: Sequence[TaskReport]) -> Iterator[str]:
    if request.package_id:
        yield "The copy is ready for you to download."
    elif not deferrals.found(tasks):
        yield "We found nothing of the person."
    if any({"phone", "sip_uri"} & {*(task.searched_by or ())} for task in tasks):
        yield "By a number we have searched within the dates that your instruction names, and in no other time."
    not_asked = [task for task in tasks if task.not_asked]
    if seen := {task.system for task in not_asked if task.by_hand}:
        yield f"Not asked, since nothing tells our customers apart there, but looked through by hand: {_listed(seen)}."
    if unseen := {task.system for task in not_asked if not task.by_hand}:
        yield f"Not asked, since nothing tells our customers apart there: {_listed(unseen)}."
    undone = {task.system for task in tasks if deferrals.is_undone(task) and not task.not_asked}
    if undone:
        yield f"Not, or not completely, done: {_listed(undone)}."
    for system, rows in sorted({(task.system, task.unattributed) for task in tasks if task.unattributed}):
        yield f"In {system} are {rows:,} records of yours with numbers of which nobody can tell whose they are."
    if request.outstanding:
        yield f"We still owe you what is missing in: {_listed(request.outstanding)}."
    if request.resumable:
        yield "Our question to you is still open: answer it at any time, and we go on."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
