"""Where a subject was searched for, by what, and with which result; where not, and why; pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import BaseModel, Field

from services.intake.request.summed import summed
from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import PREPARING, Operation, TaskOutcome, TaskReport, Unsearched

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
    """Of every system what an answer follows from."""
    reports = [task for task in summed(tasks) if task.operation not in {*PREPARING, Operation.LIFT}]
    return tuple(each for task in sorted(reports, key=lambda task: task.system) for each in _covered(task))


def _covered(task: TaskReport) -> Iterator[Covered]:
    by = tuple(task.searched_by or ())
    searched = () if task.uncounted else task.categories or ()
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
        gone = task.ground if task.outcome == TaskOutcome.NO_LONGER_HELD else None
        why = task.not_searched or task.failure or gone or (Unsearched.NUMBER_NARROWED if task.narrowed else None)
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
