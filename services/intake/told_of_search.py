"""What the subject is told of systems that could not be searched for them, and why; pure."""

from collections.abc import Iterator

from services.intake.stored_request import StoredRequest
from shared.domain.operations import TaskOutcome, TaskReport, Unsearched


def not_searched(request: StoredRequest) -> Iterator[str]:
    """A sentence for each."""
    for task in sorted((t for t in request.tasks or () if t.not_searched), key=lambda task: task.system):
        completely = "" if task.outcome == TaskOutcome.NOT_SEARCHED else " completely"
        yield f"We could not search {task.system}{completely}: {why_not_searched(task)}."


def why_not_searched(task: TaskReport) -> str:
    """Why a system, or a part of it, was not searched."""
    return _UNSEARCHED[Unsearched(task.not_searched or Unsearched.NOTHING_TO_SEARCH_BY)]


_UNSEARCHED = {
    Unsearched.NOTHING_TO_SEARCH_BY: "nothing that we know of you leads there",
    Unsearched.NUMBER_WITHOUT_PERIOD: "we do not know from when to when a number was yours",
    Unsearched.NUMBER_NOT_VOUCHED_FOR: "a number that you gave was not yours at that time, as far as we know",
    Unsearched.NUMBER_IN_CONFLICT: "our records do not agree from when to when a number was yours",
    Unsearched.NUMBER_NARROWED: "a number was yours for longer than you have said, as far as we know",
    Unsearched.NUMBER_OF_ANOTHER_KIND: "of numbers and SIP addresses it files by the kind by which we do not know you",
    Unsearched.HELD_BY_OTHERS: (
        "an address or a number of yours is other people's too, and by it we would have found what is theirs"
    ),
    Unsearched.LINE_SHARED: "others use your line as well, and we leave calls as they are that may be theirs",
    Unsearched.NOT_PROVED: "for what it may hold we must be surer that your request comes from you",
}
