"""What the subject is told of their copy: that it is ready, withheld, no longer kept, or why there is none; pure."""

from collections.abc import Iterator

from services.intake.request.stored_request import StoredRequest
from shared.domain.sentences import Sentence, say


def instead_of_ready(request: StoredRequest) -> Sentence | None:
    """What is to be said in the place of "ready to download"; None where it is."""
    if request.package_id is None:
        return say("answer.nothing_portable") if _is_nothing_portable(request) else None
    if request.package_is_gone:
        return say("package.gone")
    return say("package.withheld") if request.package_fault else None


def of_package(request: StoredRequest) -> Iterator[Sentence]:
    """What is to be said of the copy that comes with a part of an answer; nothing where there is none."""
    if instead := instead_of_ready(request):
        yield instead
    elif request.package_id:
        yield say("package.ready")


def _is_nothing_portable(request: StoredRequest) -> bool:
    """Whether all that was found is what Art. 20(1) leaves out: not given by them, or kept for a rule alone."""
    copied = [task.handed_out for task in request.tasks or () if task.handed_out is not None]
    return bool(copied) and not any(sum(each.values()) for each in copied)
