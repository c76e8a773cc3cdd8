"""What the receipts of all systems amount to."""

import pytest
from uuid_utils.compat import uuid7

from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from shared.fulfilment.store import outcome_of

ERASED, NO_MATCH, RETAINED = TaskOutcome.ERASED, TaskOutcome.NO_MATCH, TaskOutcome.RETAINED


def report(outcome: TaskOutcome, operation: Operation = Operation.ERASE) -> TaskReport:
    return TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=outcome)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([ERASED, ERASED], Outcome.FULFILLED),
        ([ERASED, NO_MATCH], Outcome.FULFILLED),
        ([NO_MATCH, NO_MATCH], Outcome.NO_DATA),
        ([ERASED, RETAINED], Outcome.PARTIALLY_FULFILLED),
        ([NO_MATCH, RETAINED], Outcome.PARTIALLY_FULFILLED),
        ([TaskOutcome.EXPORTED, NO_MATCH], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED, TaskOutcome.NOT_HELD], Outcome.FULFILLED),
    ],
)
def test_something_kept_makes_it_partial_and_nothing_anywhere_makes_it_no_data(
    outcomes: list[TaskOutcome], expected: Outcome
) -> None:
    assert outcome_of(map(report, outcomes)) is expected


def test_that_somebody_was_located_is_nothing_that_was_done_for_them() -> None:
    assert outcome_of([report(TaskOutcome.LOCATED, Operation.LOCATE), report(NO_MATCH)]) is Outcome.NO_DATA
