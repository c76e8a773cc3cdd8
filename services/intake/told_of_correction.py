"""What the subject is told of corrections that were made in no system (Art. 16); pure."""

from collections.abc import Iterator, Sequence

from shared.domain import corrections
from shared.domain.operations import Operation, TaskReport
from shared.domain.sentences import Listed, Sentence, say


def uncorrected(tasks: Sequence[TaskReport]) -> Iterator[Sentence]:
    """Which, by their place in the request: what was to be corrected is told by nobody but the subject."""
    places = corrections.missing(tasks)
    asked = max((len(each.corrected or ()) for each in tasks if each.operation == Operation.RECTIFY), default=0)
    if places and len(places) == asked:
        yield say("answer.corrected_nowhere")
    elif places:
        yield say("answer.not_corrected", which=Listed(places), count=len(places))
