"""On the day of what was kept by a rule that nobody has signed any more, two persons say whether it goes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from pydantic import JsonValue

from shared.domain.errors import RuleUnsigned
from shared.domain.operations import Kept, Limit, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.fulfilment.failures import why_of
from shared.fulfilment.lapsed import KEPT_ROWS, beside, lapsed
from tests.fixtures.policy import signed_policy

KEPT: Mapping[str, JsonValue] = {
    KEPT_ROWS: {
        "cdr": {"calls_us_18m": {"rows": 3, "first": "2028-04-01"}, "gone_since": {"rows": 2, "first": "2028-04-01"}},
        "billing": {
            "invoices_84m": {"rows": 5, "first": "2028-04-01"},
            "consents_36m": {"rows": 1, "first": "2080-01-01"},
            "calls_us_18m": {"rows": 1, "first": None},
        },
    }
}
BEFORE, AFTER = date(2028, 4, 2), date(2075, 4, 2)
"""Days on which the sign-offs of the demonstration hold, and on which they have ended."""


@pytest.mark.parametrize(
    ("today", "system", "confirmed", "found"),
    [
        (BEFORE, "cdr", 0, None),
        (AFTER, "cdr", 0, 3),
        (AFTER, "cdr", 2, 3),
        (AFTER, "cdr", 3, None),
        (AFTER, "billing", 0, 5),
        (AFTER, "crm", 0, None),
    ],
)
def test_what_was_kept_goes_by_itself_only_while_somebody_answers_for_its_rule(
    today: date, system: str, confirmed: int, found: int | None
) -> None:
    said = lapsed(signed_policy(), today, system, KEPT, {Limit.UNSIGNED_ROWS: confirmed})
    assert (said and said.exceeded and said.exceeded.found) == found
    if said:
        assert isinstance(said, RuleUnsigned)
        assert "have it signed anew, or confirm that they go" in str(said)


def test_an_erasure_that_is_not_deferred_is_asked_as_always() -> None:
    assert lapsed(signed_policy(), AFTER, "cdr", {"right": "erasure"}, {}) is None


def test_what_other_rules_keep_goes_beside_what_waits_and_is_asked_for_again_on_its_day() -> None:
    waits = lapsed(signed_policy(), AFTER, "cdr", KEPT, {})
    assert waits
    rule, soon, later = "calls_us_18m", date(2075, 5, 1), date(2075, 6, 1)
    mine = Kept(category="call", rule=rule, count=3, first=BEFORE, last=BEFORE, reduced=later)
    other = Kept(category="ticket", rule="consents_36m", count=2, first=soon, last=later)
    receipt = Receipt(UUID(int=1), TaskOutcome.RETAINED, 9, 4, 5, ground=rule, kept=(mine, other))
    assert beside(waits, receipt) is waits
    assert (waits.done_before and waits.done_before.changed, waits.again) == (4, soon)
    assert why_of(waits)["rules"] == [rule]
    assert why_of(waits)["again"] == "2075-05-01"
    gone = replace(receipt, kept=(other,))
    assert beside(waits, gone) is gone, "nothing is there any more that would wait"
