"""Which corrections (Art. 16) were made nowhere, as systems report it; pure."""

from collections.abc import Iterable
from itertools import zip_longest

from shared.domain.operations import Operation, TaskOutcome, TaskReport


def missing(reports: Iterable[TaskReport] | None) -> tuple[int, ...]:
    """The places, from 1, of the corrections that no system shows, of a subject whom some system has.

    None while a part of it is still to be done, and where somebody says that it was done and not which.
    """
    asked = [each for each in reports or () if each.operation == Operation.RECTIFY]
    has = [each for each in asked if each.outcome in {TaskOutcome.AMENDED, TaskOutcome.UNCHANGED}]
    if not has or any(each.outcome is None for each in asked) or any(each.corrected is None for each in has):
        return ()
    counts = zip_longest(*(each.corrected or () for each in has), fillvalue=0)
    return tuple(place for place, each in enumerate(counts, 1) if not any(each))


def stated(reports: Iterable[TaskReport] | None) -> bool:
    """Whether a request has asked for statements beside records, which are not rewritten."""
    return any(each.stated for each in reports or ())


def together(one: tuple[int, ...] | None, other: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """What two looks at the same records show of each: the more of both."""
    if one is None or other is None:
        return one or other
    return tuple(max(pair) for pair in zip_longest(one, other, fillvalue=0))
