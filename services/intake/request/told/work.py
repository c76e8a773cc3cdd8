"""What the subject is told of work that was done before an early end; pure."""

from collections.abc import Iterator

from services.intake.request.deferrals import has_failed
from services.intake.request.stored_request import StoredRequest
from services.intake.request.summed import changed_by_category, summed
from services.intake.request.told.restriction import of_restriction
from shared.domain.operations import ANSWERING, TaskReport
from shared.domain.operations import Operation as Op
from shared.domain.rights import Right
from shared.domain.sentences import Listed, Sentence, Told, named_system, named_systems, say

_CHANGING = frozenset(Right) - {Right.ACCESS, Right.PORTABILITY}
_BEFORE = {
    Op.EXPORT: "before.copied",
    Op.RECTIFY: "before.corrected",
    Op.ERASE: "before.erased",
    Op.SUPPRESS: "before.kept_from_marketing",
    Op.RESTRICT: "before.restricted",
}


def had_been_done(request: StoredRequest) -> Told:
    """What was done of a request that was refused or withdrawn; empty while nobody has said it."""
    restriction = tuple(of_restriction(request))
    return (*_had_been_done(request, restricted=bool(restriction)), *restriction)


def _had_been_done(request: StoredRequest, *, restricted: bool) -> Iterator[Sentence]:
    if request.tasks is None:
        return
    tasks = [t for t in summed(request.tasks) if t.operation in ANSWERING]
    tasks = [t for t in tasks if not (restricted and t.operation == Op.RESTRICT)]
    did: dict[str, list[Sentence]] = {}
    for task in tasks:
        if task.changed or task.uncounted:
            did.setdefault(_how(task), []).append(_counted(task))
    yield from (say(how, where=Listed(tuple(where), final=False)) for how, where in sorted(did.items()))
    if not (did or restricted):
        yield say("before.unchanged")
    elif not did and request.right is Right.RECTIFICATION and tasks:
        yield say("before.no_value_corrected")
    failed = {task.system for task in tasks if has_failed(task) and not task.outcome and request.right in _CHANGING}
    if failed:
        yield say("before.not_finished", systems=named_systems(failed))


def _how(task: TaskReport) -> str:
    if task.ended:
        return "before.erased" if changed_by_category(task).keys() <= {*task.ended} else "before.changed"
    return _BEFORE.get(Op(task.operation), "before.changed")


def _counted(task: TaskReport) -> Sentence:
    system = named_system(task.system)
    if not task.changed:
        return say("before.uncounted", system=system)
    return say("before.reported" if task.reported else "before.counted", count=task.changed, system=system)
