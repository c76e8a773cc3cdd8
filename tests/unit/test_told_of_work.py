"""What stands beside an answer is told with it: what was erased on another request, and what was begun and stopped."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.request.lifecycle import State
from services.intake.request.summed import kept_from
from shared.domain.events import FulfilmentReported
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import answer, closing_letter, done, read


def report(system: str, operation: Operation, **said: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": TaskOutcome.NO_MATCH}
    return TaskReport.model_validate(known | said)


@pytest.mark.parametrize("outcome", [Outcome.WITHDRAWN, Outcome.PARTIALLY_FULFILLED])
@pytest.mark.parametrize(
    ("reported", "said"), [(None, "3 of 5 records erased; the rest"), (True, "what it says of itself")]
)
def test_what_a_system_did_before_it_failed_is_told_in_counts_and_not_as_verified_where_only_it_says_so(
    outcome: Outcome, reported: object, said: str
) -> None:
    left = report(
        "billing", Operation.ERASE, outcome=None, failure="residue_found", found=5, changed=3, reported=reported
    )
    ended = a_request(State.CLOSED, outcome=outcome, tasks=(left,))
    ((_, fields),) = closing_letter(ended)
    assert said in str(fields["done"])
    if outcome is Outcome.WITHDRAWN:
        assert f"3 records{' (as it says of itself)' if reported else ''} in billing" in answer(ended)
        assert "What was tried in billing was not finished." in answer(ended)
    again = report("billing", Operation.ERASE, outcome=TaskOutcome.ERASED, found=2, changed=2)
    assert ("what it says of itself" in done((*kept_from((left,), (again,)), again))) is bool(reported)
    assert "5 of 5 records erased" in done((*kept_from((left,), (again,)), again))


def test_what_was_finished_after_a_withdrawal_is_told_by_a_letter_and_once() -> None:
    withdrawn = a_request(State.IN_PROGRESS).withdraw(AT).request
    late = report("billing", Operation.ERASE, outcome=None, failure="withdrawn", found=4, changed=4, reported=True)
    told = withdrawn.report(a(FulfilmentReported, tasks=(late,)), {}, AT)
    ((kind, fields),) = read(told.letters)
    assert (kind, "4 records (as it says of itself) in billing" in str(fields["answer"])) == ("withdrawal", True)
    assert told.request.report(a(FulfilmentReported, tasks=(late,)), {}, AT).letters == ()
