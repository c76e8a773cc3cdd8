"""What the subject is told of work beside the answer: done before an early end, or on another request; pure."""

from collections.abc import Iterator, Mapping

from services.intake.deferrals import has_failed
from services.intake.stored_request import StoredRequest
from services.intake.summed import summed
from services.intake.told_of_restriction import of_restriction
from shared.domain.operations import ANSWERING, Operation, TaskReport
from shared.domain.rights import Right

_UNCHANGED = "Nothing was changed in any system."
_CHANGING = frozenset(Right) - {Right.ACCESS, Right.PORTABILITY}
DID: Mapping[str, str] = {
    Operation.EXPORT: "copied",
    Operation.ERASE: "erased",
    Operation.RECTIFY: "corrected",
    Operation.RESTRICT: "restricted",
    Operation.SUPPRESS: "kept from marketing",
}
"""What was done to a record, by operation."""


def had_been_done(request: StoredRequest) -> str:
    """What was done of a request that was refused or withdrawn; empty while nobody has said it."""
    told = (_had_been_done(request), of_restriction(request), *erased_meanwhile(request))
    return " ".join(filter(None, told))


def _had_been_done(request: StoredRequest) -> str:
    if request.tasks is None:
        return ""
    restricted = bool(of_restriction(request))
    tasks = [t for t in summed(request.tasks) if t.operation in ANSWERING]
    tasks = [t for t in tasks if not (restricted and t.operation == Operation.RESTRICT)]
    did: dict[str, list[str]] = {}
    for task in tasks:
        if task.changed or task.uncounted:
            did.setdefault(DID.get(task.operation, "changed"), []).append(f"{_counted(task)} in {task.system}")
    told = [f"Before that, we had {how} {', '.join(where)}." for how, where in sorted(did.items())]
    if not told:
        uncorrected = request.right is Right.RECTIFICATION and tasks
        told = ["No value was corrected." if restricted and uncorrected else "" if restricted else _UNCHANGED]
    failed = {task.system for task in tasks if has_failed(task) and not task.outcome and request.right in _CHANGING}
    stopped = [f"What was tried in {', '.join(sorted(failed))} was not finished."] if failed else []
    return " ".join(filter(None, (*told, *stopped)))


def erased_meanwhile(request: StoredRequest) -> Iterator[str]:
    """What was erased on another request of theirs while this one waited, as they were promised to be told."""
    if erased := [f"{_counted(task)} in {task.system}" for task in request.erased_meanwhile or ()]:
        yield (
            f"While this request waited, we have erased what you had asked us to erase: {', '.join(sorted(erased))}."
            " None of that can be copied, corrected or restricted any more."
        )


def _counted(task: TaskReport) -> str:
    if not task.changed:
        return "records that nobody can count"
    counted = "1 record" if task.changed == 1 else f"{task.changed} records"
    return f"{counted} (as it says of itself)" if task.reported else counted
