"""Why a task waits before it is tried again: in the log and on record when that begins, and no more while it lasts."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import JsonValue

from shared.domain.errors import AnswerMalformed, AnswerUnreadable, Unavailable
from shared.fulfilment.failures import sentence_of
from shared.fulfilment.queue import Claim, Conclusion, TaskState
from shared.systems.contract import COPY_FIRST, Pending

log = logging.getLogger(__name__)

BUSY = "busy"
"""Why a task waits whose system says itself that it wants to be left alone."""
FORESEEN = frozenset({None, BUSY, COPY_FIRST})
"""Why a task waits though nothing went wrong with it."""
_UNREADABLE = 12
"""Attempts, some ten minutes, after which answers that cannot be read are no outage."""


def pending(claim: Claim, system: str, result: Pending, now: datetime) -> Conclusion:
    """The system works on it, or says itself that it is busy; or a copy for the same person comes first."""
    until = now + result.retry_in
    if result.copy_first:
        owed = "what the same person asked to see is not answered yet: what goes with their consent stays until then"
        return Conclusion(claim, TaskState.READY, None, COPY_FIRST, until, {"sentence": owed})
    if not result.busy:
        return Conclusion(claim, TaskState.READY, None, None, until)
    said = f"{system} says that it is busy, and is left alone until {until:%Y-%m-%d %H:%M:%S} UTC"
    return Conclusion(claim, TaskState.READY, None, BUSY, until, {"sentence": said})


def unavailable(claim: Claim, failure: Unavailable, until: datetime) -> Conclusion:
    """It is away, as far as anybody can tell."""
    return Conclusion(claim, TaskState.READY, None, failure.code, until, {"sentence": sentence_of(failure)})


def malformed(claim: Claim, result: object) -> AnswerMalformed | None:
    """What an answer is that could not be read each time that it was asked for."""
    if not isinstance(result, AnswerUnreadable) or claim.failure != result.code or claim.attempt < _UNREADABLE:
        return None
    return AnswerMalformed(f"{sentence_of(result)}, each time that it is asked")


def on_record(conclusion: Conclusion) -> Mapping[str, JsonValue] | None:
    """What stands in the evidence of a task that waits; nothing where it has waited for the same before."""
    if not _begins(conclusion):
        return None
    until = {"until": conclusion.not_before.isoformat()} if conclusion.failure == BUSY else {}
    return {"reason": conclusion.failure, **until}


def tell(system: str, operation: str, conclusions: Iterable[Conclusion]) -> None:
    """Says in the log what tasks have begun to wait for."""
    whys = Counter(str((each.why or {}).get("sentence")) for each in conclusions if _begins(each))
    for why, tasks in whys.items():
        log.warning("%s in %s: %d task(s) wait: %s", operation, system, tasks, why)


def _begins(conclusion: Conclusion) -> bool:
    waits = conclusion.state is TaskState.READY and conclusion.failure
    return bool(waits) and conclusion.failure != conclusion.claim.failure
