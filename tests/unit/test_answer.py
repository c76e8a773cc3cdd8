"""What the subject is told when a request ended with a question open."""

from dataclasses import replace
from datetime import date

import pytest

from services.intake.request.lifecycle import State
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Uncounted
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import Receipt, Task
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import answer, standing

RUNNING = a_request(State.IN_PROGRESS)
RESUMABLE = replace(RUNNING, state=State.CLOSED, closed_at=AT, resumable=True)


@pytest.mark.parametrize(
    ("outcome", "done"),
    [(Outcome.UNIDENTIFIED, "have done nothing"), (Outcome.PARTIALLY_FULFILLED, "what was clear in your request.")],
)
def test_who_may_resume_reads_what_was_done_and_that_the_question_is_still_open(outcome: Outcome, done: str) -> None:
    told = answer(replace(RESUMABLE, outcome=outcome))
    assert done in told
    assert "answer it at any time" in told


def test_what_a_system_kept_is_named_also_where_a_question_is_still_open() -> None:
    known = {"task_id": RUNNING.request_id, "operation": "erase", "changed": 1}
    tasks = (
        TaskReport.model_validate({**known, "outcome": "retained", "system": "billing", "ground": "tax_law"}),
        TaskReport.model_validate({**known, "outcome": "erased", "system": "crm"}),
    )
    told = answer(replace(RESUMABLE, outcome=Outcome.PARTIALLY_FULFILLED, tasks=tasks))
    assert "Kept in billing because" in told
    assert "crm" not in told


def test_what_was_done_and_cannot_be_counted_is_not_told_as_nothing_done() -> None:
    task = Task(RUNNING.request_id, RUNNING.request_id, RUNNING.subject_ref, "crm", Operation.ERASE)
    done = Receipt(task.task_id, TaskOutcome.ERASED, uncounted=Uncounted.STORE_REPLACED).report("crm", Operation.ERASE)
    assert (done.outcome, done.changed, done.uncounted) == ("erased", 0, "store_replaced")
    kept = TaskReport(task_id=task.task_id, system="billing", operation="erase", outcome="retained", ground="tax")
    open_one = TaskReport(task_id=task.task_id, system="cdr", operation="erase", outcome=None, failure="residue_found")
    told = answer(replace(RESUMABLE, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(done, kept, open_one)))
    assert "Nothing of what you asked for could be done" not in told
    assert "in: cdr." in told


@pytest.mark.parametrize("outcome", [Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED])
def test_what_was_made_anonymous_is_not_told_as_erased(outcome: Outcome) -> None:
    said = {"task_id": RUNNING.request_id, "operation": "erase", "outcome": "erased", "found": 3, "changed": 3}
    emptied = {"by_category": {"analytics_event": 3}, "anonymised": ["analytics_event"]}
    tasks = (TaskReport.model_validate({**said, "system": "site", **emptied}),)
    ended = replace(RUNNING, state=State.CLOSED, closed_at=AT, right=Right.ERASURE, outcome=outcome, tasks=tasks)
    told = answer(ended)
    assert "data was erased or made anonymous" in told
    assert "In site, 3 records (use of our website) were not deleted but made anonymous" in told


def test_a_request_that_was_resumed_is_in_progress_and_due_on_its_new_day() -> None:
    resumed = replace(RUNNING, due_on=date(2026, 5, 19))
    assert (
        standing(resumed, date(2026, 5, 19)) == "We are working on your request. You will hear from us by 19 May 2026."
    )


def test_no_day_is_promised_that_is_over() -> None:
    told = standing(replace(RESUMABLE, outcome=None, resumable=False, state=State.IN_PROGRESS), date(2027, 1, 1))
    assert "will hear" not in told
    assert told.endswith("and we are late: we do it now, without further delay.")
