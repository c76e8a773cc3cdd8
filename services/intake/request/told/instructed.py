"""What a customer of ours is told of an instruction of theirs, sentence by sentence; pure.

The customer decides about the data and answers the person (Art. 28(3)(a) and (e)); we carry it out in that customer's
data alone, and name the systems that could not be asked for these.
"""

from collections.abc import Iterator, Sequence

from services.intake.request import deferrals
from services.intake.request.stored_request import StoredRequest
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.rights import Outcome
from shared.domain.sentences import Sentence, Told, named_system, named_systems, say

_DONE = {
    Outcome.ASSISTED: "instruction.assisted",
    Outcome.PARTIALLY_FULFILLED: "instruction.in_part",
    Outcome.UNIDENTIFIED: "instruction.unidentified",
}


def told(request: StoredRequest) -> Told | None:
    """How an instruction ended; None where that is told as of any request, or it has not."""
    done = _DONE.get(request.outcome) if request.outcome else None
    if done is None:
        return None
    tasks = [task for task in request.tasks or () if task.operation in ANSWERING]
    return (say(done, id=request.instruction_id or ""), *_more(request, tasks))


def _more(request: StoredRequest, tasks: Sequence[TaskReport]) -> Iterator[Sentence]:
    if request.package_id:
        yield say("instruction.copy_ready")
    elif not deferrals.found(tasks):
        yield say("instruction.nothing_found")
    if any({"phone", "sip_uri"} & {*(task.searched_by or ())} for task in tasks):
        yield say("instruction.by_number")
    not_asked = [task for task in tasks if task.not_asked]
    if seen := {task.system for task in not_asked if task.by_hand}:
        yield say("instruction.seen", systems=named_systems(seen))
    if unseen := {task.system for task in not_asked if not task.by_hand}:
        yield say("instruction.unseen", systems=named_systems(unseen))
    undone = {task.system for task in tasks if deferrals.is_undone(task) and not task.not_asked}
    if undone:
        yield say("instruction.undone", systems=named_systems(undone))
    for system, rows in sorted({(task.system, task.unattributed) for task in tasks if task.unattributed}):
        yield say("instruction.unattributed", system=named_system(system), count=rows)
    if request.outstanding:
        yield say("instruction.still_owed", systems=named_systems(request.outstanding))
    if request.resumable:
        yield say("answer.question_still_open")
