"""One flag for a person or a row (Art. 18): who bore it before ours, and on whom it is left when ours is lifted."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.domain.operations import Operation
from shared.downstreams.contract import Task


def left_as_found(task: Task) -> frozenset[str]:
    """Of a lift: those whose flag somebody of the company had set before the first restriction of ours."""
    left = task.details.get("left")
    mine = left.get(task.system) if isinstance(left, Mapping) else None
    return frozenset(map(str, mine)) if isinstance(mine, list) else frozenset()


def is_first(task: Task) -> bool:
    """Whether it is a restriction of which nobody has noted yet who bore the flag before it."""
    return task.operation is Operation.RESTRICT and not task.repair and "flags" not in task.progress


def found(task: Task, flags: Mapping[str, bool]) -> dict[str, JsonValue]:
    """What is to be noted before a restriction sets its flag: who bore it already, as its first attempt has seen it."""
    return {"flags": {**flags}} if flags and is_first(task) else {}
