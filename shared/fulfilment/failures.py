"""Words and decides failures of tasks: the sentence for the privacy team and the log, and what a task waits for.

Adapters build sentences from fixed words, configured names and counts, never from a system's answer.
``failure_sentence`` checks them a second time. The evidence has the code alone.
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
from shared.fulfilment.queue import Conclusion, LeasedTask, TaskState
from shared.systems.contract import COPY_FIRST, Pending, Receipt, Result

_LONGEST = 300
_PERSONAL_DATA = re.compile(r"@|\+\d|\d{7}")
"""Matches an address or a telephone number; counts in sentences are written in groups of three digits."""


def failure_sentence(failure: Refused | Unavailable) -> str:
    """Returns the reason in one line, or that of its class if the line could hold personal data."""
    sentence = " ".join(str(failure).split())
    if not sentence or not sentence.isprintable() or _PERSONAL_DATA.search(sentence):
        sentence = (type(failure).__doc__ or failure.code).split("\n", 1)[0]
    return sentence[:_LONGEST]


def failure_details(failure: Refused) -> dict[str, JsonValue]:
    """Returns the sentence, what was done before, and the exceeded limit, as fields of a report.

    ``looks_again``: the task has manual steps, and a retry checks whether they are done.
    """
    why: dict[str, JsonValue] = {"sentence": failure_sentence(failure)}
    if failure.done_before:
        why |= done_before_counts(failure.done_before)
    if isinstance(failure, LimitExceeded) and failure.exceeded:
        why["exceeded"] = failure.exceeded.model_dump(mode="json", exclude_none=True)
    if isinstance(failure, NotSupported) and failure.manual_steps:
        why["looks_again"] = True
    return why


def done_before_counts(done: DoneBefore) -> dict[str, JsonValue]:
    """Returns what was done before a failure, as fields of a report."""
    counts = asdict(done)
    return counts if counts.pop("reported") is False else {**counts, "reported": True}


log = logging.getLogger(__name__)

BUSY = "busy"
"""The reason of a task whose system asked for a pause."""
EXPECTED_WAITS = frozenset({None, BUSY, COPY_FIRST})
"""Reasons to wait that are no failures."""
_UNREADABLE = 12
"""Attempts, some ten minutes, after which answers that cannot be read are no outage."""


def pending(task: LeasedTask, result: Pending, now: datetime) -> Conclusion:
    """Postpones a task: the system works on it, is busy, or must answer a copy for the same person first."""
    until = now + result.retry_in
    if result.copy_first:
        sentence = (
            "what the same person asked to see is not answered yet: what goes with their consent stays until then"
        )
        return Conclusion(task, TaskState.READY, None, COPY_FIRST, until, {"sentence": sentence})
    if not result.busy:
        return Conclusion(task, TaskState.READY, None, None, until)
    sentence = f"{task.step.system} says that it is busy, and is left alone until {until:%Y-%m-%d %H:%M:%S} UTC"
    return Conclusion(task, TaskState.READY, None, BUSY, until, {"sentence": sentence})


def unavailable(task: LeasedTask, failure: Unavailable, until: datetime) -> Conclusion:
    """Postpones a task whose system is away."""
    return Conclusion(task, TaskState.READY, None, failure.code, until, {"sentence": failure_sentence(failure)})


def unreadable_too_often(task: LeasedTask, result: object) -> AnswerMalformed | None:
    """Returns the failure of a task whose answer was unreadable too often."""
    if not isinstance(result, AnswerUnreadable) or task.failure != result.code or task.attempt < _UNREADABLE:
        return None
    return AnswerMalformed(f"{failure_sentence(result)}, each time that it is asked")


def wait_evidence(conclusion: Conclusion) -> Mapping[str, JsonValue] | None:
    """Returns the evidence of a task that waits; None if it waited for the same reason before."""
    if not _begins(conclusion):
        return None
    until = {"until": conclusion.not_before.isoformat()} if conclusion.failure == BUSY else {}
    return {"reason": conclusion.failure, **until}


def log_waiting(conclusions: Iterable[Conclusion]) -> None:
    """Logs why tasks have begun to wait."""
    begin = [each for each in conclusions if _begins(each)]
    whys = Counter((*each.task.step, str((each.why or {}).get("sentence"))) for each in begin)
    for (system, operation, why), tasks in whys.items():
        log.warning("%s in %s: %d task(s) wait: %s", operation, system, tasks, why)


def _begins(conclusion: Conclusion) -> bool:
    waits = conclusion.state is TaskState.READY and conclusion.failure
    return bool(waits) and conclusion.failure != conclusion.task.failure


_UNREACHED_ATTEMPTS = 2
"""Attempts of a dry run before it reports that a system is away."""
_SILENT_ATTEMPTS = 5
"""Attempts before it reports that a system has not answered yet: about a minute with the pauses."""


def dry_run_ended(task: LeasedTask, result: Result, now: datetime) -> Conclusion | None:
    """Ends a task of a dry run that could do nothing now, with the reason; None for any other task."""
    away = isinstance(result, Unavailable) and task.attempt >= _UNREACHED_ATTEMPTS
    silent = isinstance(result, Pending) and task.attempt >= _SILENT_ATTEMPTS
    if task.fulfils != Operation.PLAN or not (away or silent or isinstance(result, Refused)):
        return None
    system, operation = task.step
    sentence = f"{system} has not answered yet" if silent else f"{system} could not be reached"
    why = failure_details(result) if isinstance(result, Refused) else {"sentence": sentence}
    known = {"task_id": task.task_id, "system": system, "operation": operation}
    if isinstance(result, Refused):
        known |= _dry_run_counts(result)
    report = TaskReport.model_validate({**known, "failure": getattr(result, "code", Unavailable.code), **why})
    return Conclusion(task, TaskState.DONE, report, None, now)


def _dry_run_counts(refused: Refused) -> dict[str, object]:
    """Returns the counts and states of a system that would erase nothing as it stands now."""
    counts: dict[str, object] = {"states": refused.states} if refused.states else {}
    if refused.found is not None:
        counts |= {"found": sum(refused.found.values()), "by_category": refused.found}
    return counts | ({"unsigned": refused.unsigned} if refused.unsigned else {})


def without_unsearched(task: LeasedTask, result: Result) -> Result:
    """Drops from a look before an erasure what could not be searched: the erasure reports that."""
    is_dry_run = task.step.operation is Operation.PLAN and task.fulfils != Operation.PLAN
    return replace(result, not_searched=None, level=None) if is_dry_run and isinstance(result, Receipt) else result
