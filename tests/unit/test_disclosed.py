"""Who is told of what was done follows from what was done, of which data, and from the policy."""

from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.disclosed import Done, done, recipients
from services.intake.lifecycle import State
from services.intake.request import Request
from shared.domain.operations import TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.policy import signed_policy
from tests.fixtures.requests import AT, a_request

POLICY = signed_policy()
MARKETING, CALLS = frozenset({"marketing"}), frozenset({"call_record"})


def report(operation: str, changed: int = 2, **by_category: int) -> TaskReport:
    known = {"task_id": uuid7(), "system": "crm", "operation": operation, "outcome": TaskOutcome.AMENDED}
    return TaskReport.model_validate({**known, "found": 2, "changed": changed, "by_category": by_category})


def stated(rows: int) -> TaskReport:
    return report("rectify", changed=0, call=rows).model_copy(update={"stated": True, "corrected": (rows,)})


def answered(right: Right, *tasks: TaskReport, outcome: Outcome = Outcome.FULFILLED, **said: Any) -> Request:
    return a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks, **said)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (answered(Right.ERASURE, report("erase", call=2)), Done("erased", frozenset({"call_record"}))),
        (answered(Right.ERASURE, report("erase")), Done("erased", frozenset(POLICY.categories))),
        (answered(Right.ERASURE, report("erase", changed=0, call=0)), None),
        (answered(Right.ERASURE, report("erase", call=2), outcome=Outcome.WITHDRAWN), None),
        (answered(Right.ERASURE, report("erase", call=2), tenant="acme", instruction_id="1"), None),
        (answered(Right.ACCESS, report("export", call=2)), None),
        (
            answered(Right.RECTIFICATION, report("restrict", contact=1), report("rectify", contact=1)),
            Done("corrected", frozenset({"account"})),
        ),
        (answered(Right.RECTIFICATION, stated(1)), Done("stated", frozenset({"call_record"}))),
        (answered(Right.RECTIFICATION, stated(0)), None),
        (answered(Right.RESTRICTION, report("restrict", call=1)), Done("restricted", frozenset({"call_record"}))),
        (
            answered(Right.RESTRICTION, report("restrict", call=1), lifted_at=AT),
            Done("lifted", frozenset({"call_record"})),
        ),
        (answered(Right.OBJECTION, scope="direct_marketing"), Done("stopped", MARKETING)),
        (answered(Right.CONSENT_WITHDRAWAL, purposes=("analytics",)), Done("stopped", frozenset({"analytics"}))),
        (
            answered(Right.OBJECTION, report("restrict", call=1), scope="legitimate_interests"),
            Done("restricted", frozenset({"call_record"})),
        ),
    ],
)
def test_what_others_are_told_is_what_was_done_and_of_which_data(request_: Request, expected: Done | None) -> None:
    assert done(request_, POLICY) == expected


def test_only_whoever_has_such_data_is_told() -> None:
    assert recipients(POLICY, MARKETING).keys() == {"mailer"}
    assert recipients(POLICY, {"call_record", "account"}).keys() == {"carrier", "collector"}
    assert recipients(POLICY, {"ticket"}) == {}
