"""What the subject is told of systems that could not be searched for them, and why; pure."""

from collections.abc import Iterator

from services.intake.request.stored_request import StoredRequest
from shared.domain.operations import TaskOutcome, TaskReport, Unsearched
from shared.domain.sentences import Sentence, Term, named_system, say


def not_searched(request: StoredRequest) -> Iterator[Sentence]:
    """A sentence for each."""
    for task in sorted((t for t in request.tasks or () if t.not_searched), key=lambda task: task.system):
        nothing = task.outcome == TaskOutcome.NOT_SEARCHED
        key = "search.not_searched" if nothing else "search.not_completely_searched"
        yield say(key, system=named_system(task.system), why=why_not_searched(task))


def why_not_searched(task: TaskReport, whose: str = "") -> Term:
    """Why a system, or a part of it, was not searched; ``whose``: to whom it is told, as the words' family has it."""
    return Term(f"unsearched{whose}", Unsearched(task.not_searched or Unsearched.NOTHING_TO_SEARCH_BY))
