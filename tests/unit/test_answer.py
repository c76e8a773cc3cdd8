"""What the subject is told when a request ended with a question open."""

from datetime import UTC, date, datetime

import pytest
from uuid_utils.compat import uuid7

from services.intake.answer import answer
from services.intake.request import Request, State
from shared.domain.rights import Outcome, Right

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
RUNNING = Request(uuid7(), uuid7(), Right.ERASURE, State.IN_PROGRESS, None, "api", AT, AT, date(2026, 4, 1))


@pytest.mark.parametrize(
    ("outcome", "done"),
    [(Outcome.UNIDENTIFIED, "have done nothing"), (Outcome.PARTIALLY_FULFILLED, "what was clear in your request.")],
)
def test_who_may_resume_reads_what_was_done_and_that_the_question_is_still_open(outcome: Outcome, done: str) -> None:
    told = answer(RUNNING.answered(outcome, AT, resumable=True), [])
    assert done in told
    assert "answer it at any time" in told


def test_what_a_system_kept_is_named_also_where_a_question_is_still_open() -> None:
    tasks: list[dict[str, object]] = [{"system": "billing", "ground": "tax"}, {"system": "crm"}]
    told = answer(RUNNING.answered(Outcome.PARTIALLY_FULFILLED, AT, resumable=True), tasks)
    assert "in: billing." in told


def test_a_request_that_was_resumed_is_in_progress_and_due_on_its_new_day() -> None:
    resumed = RUNNING.answered(Outcome.UNIDENTIFIED, AT, resumable=True).reopened(date(2026, 5, 19))
    assert answer(resumed, []) == "We are working on your request. You will hear from us by 19 May 2026."
