"""Tasks that only ask what an erasure would do: of a dry run, or of who may refuse before anything is erased; pure."""

from dataclasses import replace
from datetime import datetime

from shared.domain.errors import Refused, Unavailable
from shared.domain.operations import Operation, TaskReport
from shared.fulfilment.failures import why_of
from shared.fulfilment.queue import Claim, Conclusion, TaskState
from shared.systems.contract import Pending, Receipt, Result

_PATIENCE = 2
"""Attempts of a dry run before it says that a system is away: whoever reads it asks again."""
_SILENT = 5
"""Attempts before it says that a system has not answered yet: with its pauses about a minute, in which a team can."""


def ended(step: tuple[str, Operation], claim: Claim, result: Result, now: datetime) -> Conclusion | None:
    """The end of a task of a dry run that says why nothing could be done now; None for any other."""
    away = isinstance(result, Unavailable) and claim.attempt >= _PATIENCE
    silent = isinstance(result, Pending) and claim.attempt >= _SILENT
    if claim.fulfils != Operation.PLAN or not (away or silent or isinstance(result, Refused)):
        return None
    system, operation = step
    said = f"{system} has not answered yet" if silent else f"{system} could not be reached"
    why = why_of(result) if isinstance(result, Refused) else {"sentence": said}
    known = {"task_id": claim.task_id, "system": system, "operation": operation}
    if isinstance(result, Refused):
        known |= _looked_at(result)
    report = TaskReport.model_validate({**known, "failure": getattr(result, "code", Unavailable.code), **why})
    return Conclusion(claim, TaskState.DONE, report, None, now)


def _looked_at(refused: Refused) -> dict[str, object]:
    """What a system has seen and said of somebody of whom nothing would go as it stands now."""
    said: dict[str, object] = {"states": refused.states} if refused.states else {}
    if refused.found is not None:
        said |= {"found": sum(refused.found.values()), "by_category": refused.found}
    return said | ({"unsigned": refused.unsigned} if refused.unsigned else {})


def asked_first(step: tuple[str, Operation], claim: Claim, result: Result) -> Result:
    """What a system has said before an erasure: what of it could not be searched the erasure says by itself."""
    asks = step[1] is Operation.PLAN and claim.fulfils != Operation.PLAN
    return replace(result, not_searched=None, level=None) if asks and isinstance(result, Receipt) else result
