"""Sums up the reports of a request: what was done in each system, where it was searched, what is restricted; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from uuid import UUID

from pydantic import BaseModel, Field

from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import (
    ANSWERING,
    PREPARING,
    Operation,
    TaskOutcome,
    TaskReport,
    Unsearched,
    combined_corrections,
)
from shared.domain.rights import Outcome, Right

_UNDONE_FIELDS = ("not_searched", "level", "ground", "until", "kept", "failure", "sentence", "exceeded")
_NOTHING_CHANGED = frozenset({TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED})


def summed(tasks: Iterable[TaskReport] | None) -> tuple[TaskReport, ...]:
    """Returns one report for each system and operation: the latest, with the changes of earlier ones added up.

    What was erased is not found again, so its rows are added; what was changed in place is, so they are not. A copy
    changes nothing: what was copied before is found again, so the last search alone counts.
    """
    places: dict[tuple[str, str, UUID | None], list[TaskReport]] = {}
    for task in tasks or ():
        separate_id = task.task_id if task.operation not in ANSWERING else None
        places.setdefault((task.system, task.operation, separate_id), []).append(task)
    return tuple(_added_up(each) if len(each) > 1 else each[0] for each in places.values())


def past_changes(before: Iterable[TaskReport] | None, now: Iterable[TaskReport]) -> tuple[TaskReport, ...]:
    """Returns reports of ``before`` that changed something and that ``now`` does not repeat.

    The later ones, which have searched again, report what is left.
    """
    known = {task.task_id for task in now}
    changed = (task for task in before or () if task.operation in ANSWERING and (task.changed or task.count_unknown))
    return tuple(_as_done(task) for task in changed if task.task_id not in known)


def changed_by_category(task: TaskReport) -> Mapping[str, int]:
    """Counts the changed rows by category, in the system's words: found and not kept.

    Their sum is what was changed; where it is more, as after a failure, it is not known which of them were.
    """
    retained: dict[str, int] = {}
    for each in task.kept or ():
        retained[each.category or ""] = retained.get(each.category or "", 0) + each.count
    return {
        name: remaining for name, found in task.by_category.items() if (remaining := found - retained.get(name, 0)) > 0
    }


def _as_done(task: TaskReport) -> TaskReport:
    done = TaskOutcome.ERASED if task.operation == Operation.ERASE else TaskOutcome.AMENDED
    nothing_left = dict.fromkeys(_UNDONE_FIELDS)
    counts = {"outcome": done, "found": max(task.found, task.changed), "remaining": 0}
    if task.operation == Operation.ERASE:
        counts |= {"found": task.changed, "by_category": changed_by_category(task)}
    return task.model_copy(update=nothing_left | counts)


def _added_up(reports: list[TaskReport]) -> TaskReport:
    *earlier, latest = sorted(reports, key=lambda task: task.task_id)
    if latest.operation == Operation.EXPORT:
        return latest
    done = [task for task in earlier if task.changed or task.count_unknown]
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
        corrected = combined_corrections(task.corrected, corrected)
    both = {name: _union(name, (*done, latest)) for name in ("searched_by", "categories", "anonymised", "ended")}
    outcome = latest.outcome if latest.outcome not in _NOTHING_CHANGED else done[-1].outcome
    counts = {"outcome": outcome, "found": found, "changed": changed if erased else min(changed, found)}
    count_unknown = latest.count_unknown or next((task.count_unknown for task in done if task.count_unknown), None)
    counters = [Counter(task.reduced) for task in (*done, latest) if task.reduced is not None]
    reduced = dict(sum(counters, Counter[str]())) if counters else None
    merged = {
        "reduced": reduced,
        "count_unknown": count_unknown,
        "reported": any(task.reported for task in (*done, latest)) or None,
    }
    return latest.model_copy(update={**counts, **both, **merged, "by_category": dict(kinds), "corrected": corrected})


def _union(name: str, reports: Iterable[TaskReport]) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(each for task in reports for each in getattr(task, name) or ())) or None


_SETTLED = frozenset(
    {Outcome.FULFILLED, Outcome.ASSISTED, Outcome.NO_DATA, Outcome.REFUSED, Outcome.WITHDRAWN},
)


def is_restricted(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether any system restricts the subject, even one without a record of theirs."""
    return any(task.operation == Operation.RESTRICT and _is_done(task) for task in tasks or ())


def found_something(tasks: Iterable[TaskReport] | None) -> bool:
    """Whether a record is restricted, and not only future records."""
    restricting = [task for task in tasks or () if task.operation == Operation.RESTRICT and _is_done(task)]
    return any(task.found or task.changed or task.count_unknown for task in restricting)


def of_request(right: Right, tasks: Iterable[TaskReport] | None) -> tuple[TaskReport, ...]:
    """Returns the reports of what was asked for: for a rectification without those of its restriction."""
    brought = Operation.RESTRICT if right is Right.RECTIFICATION else None
    return tuple(task for task in tasks or () if task.operation != brought)


def merge_reports(
    right: Right, before: Iterable[TaskReport] | None, now: Iterable[TaskReport]
) -> tuple[TaskReport, ...]:
    """Returns the reports as they are now; a rectification keeps those of its restriction next to later ones.

    Those of the correction stay with later ones of the restriction, where that comes after it. What was changed before
    by other tasks stays on record, whatever has become of the request since.
    """
    later = tuple(now)
    known = {(task.system, task.operation) for task in later}
    of_both = right is Right.RECTIFICATION and all(task.operation != Operation.RECTIFY for task in later)
    unchanged = [task for task in before or () if of_both or task not in of_request(right, [task])]
    reports = (*(task for task in unchanged if (task.system, task.operation) not in known), *later)
    return (*past_changes(before, reports), *reports)


def ends_restriction(right: Right, outcome: Outcome) -> bool:
    """Whether the restriction of a request ends when it closes in that way.

    One that was asked for ends when it is withdrawn; one that another right brings with it also when that is refused,
    and a rectification's when it is settled. What is answered in part stays restricted.
    """
    match right:
        case Right.RECTIFICATION:
            return outcome in _SETTLED
        case Right.OBJECTION:
            return outcome in {Outcome.REFUSED, Outcome.WITHDRAWN}
        case _:
            return outcome is Outcome.WITHDRAWN


def _is_done(task: TaskReport) -> bool:
    return task.outcome == TaskOutcome.AMENDED or bool(task.count_unknown)


NO_ACCOUNT_FOUND: Final = "no_account_found"
"""Why nothing is there: it is filed by an account alone, and who finds accounts has found none of theirs."""


class Covered(BaseModel):
    """One category of a system that was searched, also where nothing was found; else the system, or the rest of it."""

    system: str
    operation: str = Field(description="what was to be done there, as `export` or `restrict`")
    category: str | None = Field(description="what kind of data; null: the rest of the system, or all of it")
    searched_by: tuple[str, ...] = Field(description="the identity types by which it was searched")
    result: str = Field(
        description="what came of it, as `exported` or `no_match`; `unchanged` where nothing of theirs holds"
        " what is said to be wrong; `not_searched`, `not_held`, `not_supported`, of an"
        " instruction `not_asked` where nothing tells our customers apart,"
        " `no_longer_held` where the system is out of use (`why`: what became of it), `failed`, or `not_begun`"
    )
    found: int
    why: str | None = Field(
        default=None,
        description="why it, or a part of it, was not searched, or has failed; `no_account_found`: it is searched by an"
        " account, and the systems that find accounts have found none",
    )


def coverage(tasks: Iterable[TaskReport] | None) -> tuple[Covered, ...]:
    """Returns from every system the reports that decide the answer."""
    reports = [task for task in summed(tasks) if task.operation not in {*PREPARING, Operation.LIFT}]
    return tuple(each for task in sorted(reports, key=lambda task: task.system) for each in _covered(task))


def _covered(task: TaskReport) -> Iterator[Covered]:
    by = tuple(task.searched_by or ())
    searched = () if task.count_unknown else task.categories or ()
    nothing = task.no_account or ()
    kinds = dict.fromkeys(searched, 0) | dict(task.by_category)
    kinds = kinds if by else {name: rows for name, rows in kinds.items() if rows or name not in nothing}
    for category, found in sorted(kinds.items()):
        result = str(task.outcome if found else TaskOutcome.NO_MATCH)
        yield Covered(
            system=task.system, operation=task.operation, category=category, searched_by=by, result=result, found=found
        )
    for category in nothing:
        known = {"system": task.system, "operation": task.operation, "category": category}
        by_account = {"searched_by": (IdentityType.ACCOUNT_ID,), "result": TaskOutcome.NO_MATCH, "found": 0}
        yield Covered.model_validate({**known, **by_account, "why": NO_ACCOUNT_FOUND})
    if not kinds and not nothing:
        ground = task.ground if task.outcome == TaskOutcome.NO_LONGER_HELD else None
        why = task.not_searched or task.failure or ground or (Unsearched.NUMBER_NARROWED if task.narrowed else None)
        yield Covered(
            system=task.system,
            operation=task.operation,
            category=None,
            searched_by=by,
            result=_result(task),
            found=task.found,
            why=why,
        )
    elif task.not_searched or task.narrowed:
        result, why = "not_searched", task.not_searched or Unsearched.NUMBER_NARROWED
        yield Covered(
            system=task.system, operation=task.operation, category=None, searched_by=(), result=result, found=0, why=why
        )


def _result(task: TaskReport) -> str:
    if task.failure == NotSupported.code:
        return "not_asked" if task.not_asked else "not_supported"
    if task.failure:
        return "failed"
    return task.outcome or "not_begun"
