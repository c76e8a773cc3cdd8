"""What stands beside an answer is told with it: what was erased on another request, and what was begun and stopped."""

from itertools import product
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.answer import answer
from services.intake.closing import closing_letter, refusal_letter
from services.intake.lifecycle import State
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.requests import a_request


def report(system: str, operation: Operation, **said: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": TaskOutcome.NO_MATCH}
    return TaskReport.model_validate(known | said)


ERASED = (
    report("crm", Operation.ERASE, outcome=TaskOutcome.ERASED, found=15, changed=15),
    report("ticketing", Operation.ERASE, outcome=TaskOutcome.ERASED, found=14, changed=14),
)
LATER = [right for right in Right if right is not Right.ERASURE]
ANSWERED = [outcome for outcome in Outcome if outcome not in {Outcome.DUPLICATE, Outcome.FORWARDED, Outcome.ASSISTED}]


@pytest.mark.parametrize(("right", "outcome"), [*product(LATER, ANSWERED)])
def test_what_was_erased_while_a_request_waited_is_named_in_its_answer_however_it_ends(
    right: Right, outcome: Outcome
) -> None:
    tasks = (report("ticketing", Operation.EXPORT),)
    ended = a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks, erased_meanwhile=ERASED)
    assert "what you had asked us to erase: 14 records in ticketing, 15 records in crm." in answer(ended)
    letters = refusal_letter(ended, {}) if outcome is Outcome.REFUSED else closing_letter(ended)
    assert all("14 records in ticketing" in str(fields) for _, fields in letters)
    assert letters
    assert "While this request waited" not in answer(a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks))
