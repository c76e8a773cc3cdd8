"""What of a system stays in an erasure, category by category, and why nothing may go yet: one rule for all adapters."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import GroundUnknown, RuleUnsigned
from shared.domain.operations import Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, WhereUnknown, read_policy
from shared.downstreams import leaving
from shared.downstreams.contract import Task
from tests.fixtures.policy import all_signed, signed_policy

SIGNED, UNSIGNED = signed_policy(), read_policy()
AT = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = Task(uuid7(), uuid7(), uuid7(), "shop", Operation.ERASE, at=AT)
ACTIVE: dict[str, Any] = {"states": {"contract_active": True}}
COUNTS = {"contact": 2, "ticket": 1, "call": 0}


@pytest.mark.parametrize(
    ("task", "own", "left"),
    [
        (ASKED, None, {}),
        (replace(ASKED, states={"contract_active": False}), None, {}),
        (replace(ASKED, **ACTIVE), None, {"contact": "active_contract"}),
        (ASKED, {"contract_active": True}, {"contact": "active_contract"}),
        (replace(ASKED, states={"contract_active": False}), {"contract_active": True}, {"contact": "active_contract"}),
        (replace(ASKED, **ACTIVE), {"contract_active": False}, {"contact": "active_contract"}),
        (replace(ASKED, held=frozenset({"ticket", "call"})), None, {"ticket": "legal_hold"}),
        (replace(ASKED, held=frozenset({"contact"}), **ACTIVE), None, {"contact": "legal_hold"}),
        (replace(ASKED, tenant="acme", **ACTIVE), None, {}),
    ],
)
def test_what_is_left_of_what_was_found(task: Task, own: dict[str, bool] | None, left: dict[str, str]) -> None:
    assert leaving.left(SIGNED, task, own, COUNTS) == left


@pytest.mark.parametrize(
    ("policy", "states", "confirmed", "failure"),
    [
        (SIGNED, {"contract_active": None}, 0, GroundUnknown),
        (UNSIGNED, {"contract_active": None}, 2, GroundUnknown),
        (UNSIGNED, {"contract_active": True}, 1, RuleUnsigned),
        (UNSIGNED, {"contract_active": True}, 2, None),
        (UNSIGNED, {"contract_active": False}, 0, None),
        (all_signed(SIGNED), {"contract_active": True}, 0, None),
    ],
)
def test_what_nobody_knows_or_has_signed_is_asked_about_before_anything_goes(
    policy: Policy, states: dict[str, bool | None], confirmed: int, failure: type[Exception] | None
) -> None:
    task = replace(ASKED, states=states, confirmed={Limit.UNSIGNED_ROWS: confirmed})
    if failure is None:
        leaving.left(policy, task, None, COUNTS)
        return
    with pytest.raises(failure):
        leaving.left(policy, task, None, COUNTS)
    assert leaving.left(policy, task, None, {"ticket": 1}) == {}, "where there is nothing of it nothing is asked"


def test_what_is_said_of_a_rule_that_nobody_has_signed_names_its_rows_by_category_and_rule() -> None:
    with pytest.raises(RuleUnsigned, match=r"^2 rows \(contact: 2\) are what active_contract is about") as why:
        leaving.left(UNSIGNED, replace(ASKED, **ACTIVE), None, COUNTS)
    assert why.value.exceeded
    assert (why.value.exceeded.found, why.value.exceeded.allowed) == (2, 0)
    assert why.value.unsigned == (Kept(category="contact", rule="active_contract", count=2),)


def test_what_a_rule_has_kept_that_nobody_has_signed_any_more_stays_until_somebody_has_decided() -> None:
    lapsed = replace(ASKED, lapsed=frozenset({"calls_us_18m"}))
    assert leaving.left(UNSIGNED, lapsed, None, {"call": 3, "ticket": 1}) == {"call": "calls_us_18m"}


@pytest.mark.parametrize(("where_unknown", "asks"), [(WhereUnknown.ASK, True), (WhereUnknown.KEEP, False)])
def test_where_nobody_knows_whose_law_it_is_under_the_rule_says_whether_a_person_is_asked(
    where_unknown: WhereUnknown, *, asks: bool
) -> None:
    french = {"jurisdiction": "FR", "where_unknown": where_unknown}
    rule = SIGNED.rules["active_contract"].model_copy(update=french)
    policy = SIGNED.with_other(rules={**SIGNED.rules, "active_contract": rule})
    if not asks:
        assert leaving.left(policy, replace(ASKED, **ACTIVE), None, COUNTS) == {"contact": "active_contract"}
        return
    with pytest.raises(GroundUnknown, match="where the law of FR applies"):
        leaving.left(policy, replace(ASKED, **ACTIVE), None, COUNTS)


@pytest.mark.parametrize(
    ("held", "left", "state", "keeps"),
    [
        ("contact", {"contact": "active_contract"}, "contract_active", True),
        ("contact", {"contact": "active_contract"}, "disputed", False),
        ("contact", {"contact": "legal_hold"}, "disputed", True),
        ("contact", {"contact": "legal_hold"}, None, False),
        ("contact", {}, "contract_active", False),
    ],
)
def test_a_state_is_no_reason_against_the_rest_where_what_is_in_it_stays_by_that(
    held: str, left: dict[str, str], state: str | None, *, keeps: bool
) -> None:
    assert leaving.keeps_by(SIGNED, held, left, state) is keeps


def test_what_leads_to_what_stays_does_so_by_the_same_rule() -> None:
    leads = {"line": ["order", "line"], "order": ["customer"], "note": ["customer"]}
    stays = leaving.with_what_leads_there({"line": "dispute", "note": "legal_hold"}, lambda key: leads.get(key, ()))
    assert stays == {"line": "dispute", "note": "legal_hold", "order": "dispute", "customer": "legal_hold"}


def test_a_receipt_tells_what_is_gone_and_what_stays_by_which_rule() -> None:
    kept = leaving.kept([("ticket", "legal_hold"), ("contact", "dispute"), ("ticket", "legal_hold")])
    assert kept == (
        Kept(category="contact", rule="dispute", count=1),
        Kept(category="ticket", rule="legal_hold", count=2),
    )
    said = leaving.receipt(ASKED, {"contact": 3}, kept)
    assert (said.outcome, said.found, said.changed, said.remaining, said.ground) == (
        TaskOutcome.RETAINED,
        6,
        3,
        3,
        "dispute",
    )
    assert said.by_category == {"contact": 4, "ticket": 2}
    assert leaving.receipt(ASKED, {}, ()).outcome == TaskOutcome.NO_MATCH
    assert leaving.planned(ASKED, {"contact": 4, "ticket": 2}, kept).remaining == 3


def test_a_rule_whose_sign_off_has_ended_is_not_told_as_one_that_nobody_has_signed() -> None:
    with pytest.raises(RuleUnsigned, match="active_contract is about, which nobody has signed: nothing"):
        leaving.left(UNSIGNED, replace(ASKED, **ACTIVE), None, COUNTS)
    lapsed = replace(ASKED, at=datetime(2099, 3, 1, tzinfo=UTC), **ACTIVE)
    with pytest.raises(RuleUnsigned, match=r"which no sign-off covers today \(that of active_contract ended"):
        leaving.left(SIGNED, lapsed, None, COUNTS)
