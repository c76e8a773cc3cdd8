"""What the subject is told of corrections made in no system, and of statements beside no record (Art. 16); pure."""

from collections.abc import Iterator, Sequence

from shared.domain import corrections
from shared.domain.operations import Operation, TaskReport
from shared.domain.sentences import Listed, Sentence, say


def uncorrected(tasks: Sequence[TaskReport]) -> Iterator[Sentence]:
    """Which, by their place in the request: what was to be corrected is told by nobody but the subject."""
    places = corrections.missing(tasks)
    asked = max((len(each.corrected or ()) for each in tasks if each.operation == Operation.RECTIFY), default=0)
    stated = corrections.stated(tasks)
    if places and len(places) == asked:
        yield say("answer.stated_nowhere" if stated else "answer.corrected_nowhere")
    elif places:
        key = "answer.not_stated" if stated else "answer.not_corrected"
        yield say(key, which=Listed(places), count=len(places))
