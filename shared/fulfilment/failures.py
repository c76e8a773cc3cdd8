"""Words and decides failures of tasks: the sentence for the privacy team and the log, and what a task waits for.

Adapters build sentences from fixed words, configured names and counts, never from a system's answer.
``sentence_of`` checks them a second time. The evidence has the code alone.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime

from pydantic import JsonValue

from shared.domain.errors import (
    AnswerMalformed,
    AnswerUnreadable,
    DoneBefore,
    LimitExceeded,
    NotSupported,
    Refused,
    Unavailable,
)
from shared.domain.operations import Operation, TaskReport
from shared.fulfilment.queue import Claim, Conclusion, TaskState
from shared.systems.contract import COPY_FIRST, Pending, Receipt, Result

_LONGEST = 300
_SUSPECT = re.compile(r"@|\+\d|\d{7}")
"""Matches an address or a telephone number; counts in sentences are written in groups of three digits."""


def sentence_of(failure: Refused | Unavailable) -> str:
    """Returns the reason in one line, or that of its class if the line could hold personal data."""
    said = " ".join(str(failure).split())
    if not said or not said.isprintable() or _SUSPECT.search(said):
        said = (type(failure).__doc__ or failure.code).split("\n", 1)[0]
    return said[:_LONGEST]


def why_of(failure: Refused) -> dict[str, JsonValue]:
    """Returns the sentence, what was done before, and the exceeded limit, as fields of a report.

    ``looks_again``: the task has manual steps, and a retry checks whether they are done.
    """
    why: dict[str, JsonValue] = {"sentence": sentence_of(failure)}
    if failure.done_before:
        why |= counts_of(failure.done_before)
    if isinstance(failure, LimitExceeded) and failure.exceeded:
        why["exceeded"] = failure.exceeded.model_dump(mode="json", exclude_none=True)
    if isinstance(failure, NotSupported) and failure.manual_steps:
        why["looks_again"] = True
    return why


def counts_of(done: DoneBefore) -> dict[str, JsonValue]:
    """Returns what was done before a failure, as fields of a report."""
    counts = asdict(done)
    return counts if counts.pop("reported") is False else {**counts, "reported": True}


log = logging.getLogger(__name__)

BUSY = "busy"
"""The reason of a task whose system asked for a pause."""
FORESEEN = frozenset({None, BUSY, COPY_FIRST})
"""Reasons to wait that are no failures."""
_UNREADABLE = 12
"""Attempts, some ten minutes, after which answers that cannot be read are no outage."""


def pending(claim: Claim, result: Pending, now: datetime) -> Conclusion:
    """Postpones a task: the system works on it, is busy, or must answer a copy for the same person first."""
    until = now + result.retry_in
    if result.copy_first:
        owed = "what the same person asked to see is not answered yet: what goes with their consent stays until then"
        return Conclusion(claim, TaskState.READY, None, COPY_FIRST, until, {"sentence": owed})
    if not result.busy:
        return Conclusion(claim, TaskState.READY, None, None, until)
    said = f"{claim.step.system} says that it is busy, and is left alone until {until:%Y-%m-%d %H:%M:%S} UTC"
    return Conclusion(claim, TaskState.READY, None, BUSY, until, {"sentence": said})


def unavailable(claim: Claim, failure: Unavailable, until: datetime) -> Conclusion:
    """Postpones a task whose system is away."""
    return Conclusion(claim, TaskState.READY, None, failure.code, until, {"sentence": sentence_of(failure)})


def malformed(claim: Claim, result: object) -> AnswerMalformed | None:
    """Returns the failure of a task whose answer was unreadable too often."""
    if not isinstance(result, AnswerUnreadable) or claim.failure != result.code or claim.attempt < _UNREADABLE:
        return None
    return AnswerMalformed(f"{sentence_of(result)}, each time that it is asked")


def on_record(conclusion: Conclusion) -> Mapping[str, JsonValue] | None:
    """Returns the evidence of a task that waits; None if it waited for the same reason before."""
    if not _begins(conclusion):
        return None
    until = {"until": conclusion.not_before.isoformat()} if conclusion.failure == BUSY else {}
    return {"reason": conclusion.failure, **until}


def log_waiting(conclusions: Iterable[Conclusion]) -> None:
    """Logs why tasks have begun to wait."""
    begin = [each for each in conclusions if _begins(each)]
    whys = Counter((*each.claim.step, str((each.why or {}).get("sentence"))) for each in begin)
    for (system, operation, why), tasks in whys.items():
        log.warning("%s in %s: %d task(s) wait: %s", operation, system, tasks, why)


def _begins(conclusion: Conclusion) -> bool:
    waits = conclusion.state is TaskState.READY and conclusion.failure
    return bool(waits) and conclusion.failure != conclusion.claim.failure


_ASKED = 2
"""Attempts of a dry run before it reports that a system is away."""
_UNANSWERED = 5
"""Attempts before it reports that a system has not answered yet: about a minute with the pauses."""


def dry_run_ended(claim: Claim, result: Result, now: datetime) -> Conclusion | None:
    """Ends a task of a dry run that could do nothing now, with the reason; None for any other task."""
    away = isinstance(result, Unavailable) and claim.attempt >= _ASKED
    silent = isinstance(result, Pending) and claim.attempt >= _UNANSWERED
    if claim.fulfils != Operation.PLAN or not (away or silent or isinstance(result, Refused)):
        return None
    system, operation = claim.step
    said = f"{system} has not answered yet" if silent else f"{system} could not be reached"
    why = why_of(result) if isinstance(result, Refused) else {"sentence": said}
    known = {"task_id": claim.task_id, "system": system, "operation": operation}
    if isinstance(result, Refused):
        known |= _looked_at(result)
    report = TaskReport.model_validate({**known, "failure": getattr(result, "code", Unavailable.code), **why})
    return Conclusion(claim, TaskState.DONE, report, None, now)


def _looked_at(refused: Refused) -> dict[str, object]:
    """Returns the counts and states of a system that would erase nothing as it stands now."""
    said: dict[str, object] = {"states": refused.states} if refused.states else {}
    if refused.found is not None:
        said |= {"found": sum(refused.found.values()), "by_category": refused.found}
    return said | ({"unsigned": refused.unsigned} if refused.unsigned else {})


def asked_before(claim: Claim, result: Result) -> Result:
    """Drops from a look before an erasure what could not be searched: the erasure reports that."""
    asks = claim.step.operation is Operation.PLAN and claim.fulfils != Operation.PLAN
    return replace(result, not_searched=None, level=None) if asks and isinstance(result, Receipt) else result
