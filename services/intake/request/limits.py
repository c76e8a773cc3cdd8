"""Tasks that a limit has stopped, and the two persons who may confirm that one request touches more; pure.

What the first has confirmed stands in the report that they have seen. Whatever the system reports anew takes its place,
so nobody's word is taken for a number that they were not shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from shared.domain.errors import IllegalTransition
from shared.domain.operations import Exceeded, Limit, TaskReport


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The reports after somebody's word, how much it is for, and whether it was the second; ``detail`` is evidence."""

    tasks: tuple[TaskReport, ...]
    at_most: int
    by_two: bool
    detail: Mapping[str, JsonValue]


def confirm(tasks: Sequence[TaskReport] | None, system: str, limit: Limit, holder: str) -> Confirmed:
    """Takes the holder's word that a task of that system may touch what it has found beyond that limit.

    Raises:
        IllegalTransition: no task waits for that, or the holder has confirmed it already.
    """
    known = tuple(tasks or ())
    stopped = [task for task in known if task.system == system and task.exceeded and task.exceeded.limit is limit]
    if not stopped or not (beyond := stopped[0].exceeded):
        raise IllegalTransition(f"no task of {system} waits because of {limit}: exceeded says which task does")
    if beyond.confirmed_by == holder:
        raise IllegalTransition("you have confirmed this: it takes two persons, so a second one must confirm it too")
    by_two = beyond.confirmed_by is not None
    after = None if by_two else beyond.model_copy(update={"confirmed_by": holder})
    reports = (task.model_copy(update={"exceeded": after}) if task in stopped else task for task in known)
    detail = _detail(system, beyond, holder, 2 if by_two else 1)
    return Confirmed(tuple(reports), beyond.found, by_two, detail)


def _detail(system: str, beyond: Exceeded, holder: str, persons: int) -> dict[str, JsonValue]:
    numbers: dict[str, JsonValue] = {"limit": beyond.limit, "found": beyond.found, "allowed": beyond.allowed}
    return {"system": system, **numbers, "holder": holder, "persons": persons}
