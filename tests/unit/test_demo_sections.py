"""What the demonstration says of a plan and of receipts: each reason once, and no difference unseen."""

from datetime import date
from typing import Any

from uuid_utils.compat import uuid7

from deploy.demo.sections import planned
from tests.fixtures.policy import signed_policy

KEPT = [
    {"category": name, "rule": "invoices_84m", "count": 1, "first": "2033-06-30", "last": "2033-06-30"}
    for name in ("customer", "address")
]


def view(**said: Any) -> dict[str, Any]:
    task = {
        "task_id": str(uuid7()),
        "system": "crm",
        "operation": "erase",
        "outcome": "retained",
        "found": 5,
        "changed": 3,
    }
    found = {"by_category": {"customer": 1, "address": 1, "contact": 3}, "kept": KEPT}
    return {"tasks": [{**task, **found, **said}, {**task, "operation": "locate", "outcome": "located"}]}


def test_what_is_kept_for_one_reason_is_told_in_one_line_with_its_day_and_article() -> None:
    policy = signed_policy()
    first, second = planned.table(planned.of_receipts(view(), policy), policy)
    assert first == "crm        3 deleted, 2 kept  (your account 5)"
    assert second.strip().startswith("2 until 30 June 2033: contracts and invoices are needed")
    assert second.endswith("(Art. 17(1)(a))")


def test_where_nothing_was_found_it_says_so() -> None:
    policy = signed_policy()
    nothing = view(by_category={"customer": 0}, kept=None, outcome="no_match", found=0, changed=0)
    assert [*planned.table(planned.of_receipts(nothing, policy), policy)] == ["crm        nothing found"]


def test_a_row_more_another_day_or_another_rule_is_a_difference() -> None:
    policy = signed_policy()

    def facts(**said: Any) -> planned.Facts:
        return planned.facts(planned.of_receipts(view(**said), policy))

    assert facts() == facts()
    assert facts() != facts(by_category={"customer": 1, "address": 1, "contact": 4})
    for other in ({"last": date(2034, 6, 30)}, {"rule": "active_contract"}, {"count": 0}):
        assert facts() != facts(kept=[{**KEPT[0], **other}, KEPT[1]]), other
