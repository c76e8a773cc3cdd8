"""What a request has done in each system since it was received, over resumptions and repeats of a search; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from shared.domain import corrections
from shared.domain.operations import ANSWERING, Operation, TaskOutcome, TaskReport

_LEFT = ("not_searched", "level", "ground", "until", "kept", "failure", "sentence", "exceeded")
_NOTHING_NOW = frozenset({TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED})


def summed(tasks: Iterable[TaskReport] | None) -> tuple[TaskReport, ...]:
    """One report for each system and operation: the latest, with what earlier ones of it have changed added up.

    What was erased is not found again, so its rows are added; what was changed in place is, so they are not. A copy
    changes nothing: what was copied before is found again, so the last search alone counts.
    """
    places: dict[tuple[str, str, UUID | None], list[TaskReport]] = {}
    for task in tasks or ():
        apart = task.task_id if task.operation not in ANSWERING else None
        places.setdefault((task.system, task.operation, apart), []).append(task)
    return tuple(_added_up(each) if len(each) > 1 else each[0] for each in places.values())


def kept_from(before: Iterable[TaskReport] | None, now: Iterable[TaskReport]) -> tuple[TaskReport, ...]:
    """The reports ``before`` of what was changed by tasks that the reports ``now`` do not have, as they stay on record.

    What they had to leave is told by the later ones, which have looked again.
    """
    known = {task.task_id for task in now}
    changed = (task for task in before or () if task.operation in ANSWERING and (task.changed or task.uncounted))
    return tuple(_as_done(task) for task in changed if task.task_id not in known)


def changed_by_category(task: TaskReport) -> Mapping[str, int]:
    """How many rows of each category, in the system's words, were found and not kept: of what was changed.

    Their sum is what was changed; where it is more, as after a failure, it is not known which of them were.
    """
    kept: dict[str, int] = {}
    for each in task.kept or ():
        kept[each.category or ""] = kept.get(each.category or "", 0) + each.count
    return {name: left for name, found in task.by_category.items() if (left := found - kept.get(name, 0)) > 0}


def _as_done(task: TaskReport) -> TaskReport:
    done = TaskOutcome.ERASED if task.operation == Operation.ERASE else TaskOutcome.AMENDED
    nothing_left = dict.fromkeys(_LEFT)
    counts = {"outcome": done, "found": max(task.found, task.changed), "remaining": 0}
    if task.operation == Operation.ERASE:
        counts |= {"found": task.changed, "by_category": changed_by_category(task)}
    return task.model_copy(update=nothing_left | counts)


def _added_up(reports: list[TaskReport]) -> TaskReport:
    *earlier, latest = sorted(reports, key=lambda task: task.task_id)
    if latest.operation == Operation.EXPORT:
        return latest
    done = [task for task in earlier if task.changed or task.uncounted]
    if not done:
        return latest
    erased = latest.operation == Operation.ERASE
    found = latest.found + sum(task.changed for task in done) if erased else max(t.found for t in (*done, latest))
    changed = latest.changed + sum(task.changed for task in done)
    kinds = Counter(latest.by_category)
    for task in done:
        kinds = kinds + Counter(changed_by_category(task)) if erased else kinds | Counter(task.by_category)
    corrected = latest.corrected
    for task in done:
        corrected = corrections.together(task.corrected, corrected)
    both = {name: _both(name, (*done, latest)) for name in ("searched_by", "categories", "anonymised", "ended")}
    looked = latest.outcome if latest.outcome not in _NOTHING_NOW else done[-1].outcome
    counts = {"outcome": looked, "found": found, "changed": changed if erased else min(changed, found)}
    uncounted = latest.uncounted or next((task.uncounted for task in done if task.uncounted), None)
    left = [Counter(task.reduced) for task in (*done, latest) if task.reduced is not None]
    reduced = dict(sum(left, Counter[str]())) if left else None
    said = {
        "reduced": reduced,
        "uncounted": uncounted,
        "reported": any(task.reported for task in (*done, latest)) or None,
    }
    return latest.model_copy(update={**counts, **both, **said, "by_category": dict(kinds), "corrected": corrected})


def _both(name: str, reports: Iterable[TaskReport]) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(each for task in reports for each in getattr(task, name) or ())) or None
