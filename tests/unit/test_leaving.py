"""What of a system stays in an erasure, category by category, and why nothing may go yet: one rule for all adapters."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import GroundUnknown, NotSupported, RuleUnsigned
from shared.domain.operations import Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, WhereUnknown, read_policy
from shared.downstreams import leaving
from shared.downstreams.contract import Receipt, Task
from shared.downstreams.downstream import Downstream
from shared.downstreams.leaving import Speaking
from shared.fulfilment.failures import why_of
from shared.fulfilment.lapsed import KEPT_ROWS, beside, lapsed
from shared.fulfilment.queue import Claim
from shared.fulfilment.staying import Staying, Told
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import all_signed, signed_policy

SIGNED, UNSIGNED = signed_policy(), read_policy()
AT = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = Task(uuid7(), uuid7(), uuid7(), "shop", Operation.ERASE, at=AT)
ACTIVE: dict[str, Any] = {"states": {"contract_active": True}}
COUNTS = {"contact": 2, "ticket": 1, "call": 0}


def left(
    policy: Policy, task: Task, own: dict[str, bool] | None = None, counts: dict[str, int] = COUNTS
) -> dict[str, str]:
    """By category what is left of so many records, beside one of another place that tells these states."""
    found = {Speaking(held, held): rows for held, rows in counts.items()}
    told = {Speaking("teller", "newsletter", tuple(own.items())): 1} if own else {}
    return {each.held: rule for each, rule in leaving.left(policy, task, {**found, **told}).items()}


@pytest.mark.parametrize(
    ("task", "own", "stays"),
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
def test_what_is_left_of_what_was_found(task: Task, own: dict[str, bool] | None, stays: dict[str, str]) -> None:
    assert left(SIGNED, task, own) == stays


def of_a_deal(*, active: bool | None, place: str = "deal") -> Speaking:
    return Speaking(place, "contact", (("contract_active", active),))


@pytest.mark.parametrize(
    ("states", "found", "stays"),
    [
        ({}, [of_a_deal(active=True), of_a_deal(active=False)], [of_a_deal(active=True)]),
        ({}, [of_a_deal(active=True), Speaking("user", "contact")], None),
        ({}, [of_a_deal(active=True, place="old"), of_a_deal(active=False)], None),
        ({"contract_active": True}, [of_a_deal(active=False)], None),
        ({"contract_active": False}, [of_a_deal(active=False)], []),
    ],
    ids=["its siblings go", "another kind", "another that tells it too", "another system", "it is over"],
)
def test_a_state_of_a_record_leaves_that_and_what_others_of_its_category_hold(
    states: dict[str, bool], found: list[Speaking], stays: list[Speaking] | None
) -> None:
    told = leaving.left(SIGNED, replace(ASKED, states=states), dict.fromkeys(found, 1))
    assert told == dict.fromkeys(found if stays is None else stays, "active_contract")


def test_what_one_record_does_not_tell_is_a_persons_whatever_the_others_say() -> None:
    with pytest.raises(GroundUnknown):
        leaving.left(SIGNED, ASKED, {of_a_deal(active=None): 1, of_a_deal(active=False): 1})
    with pytest.raises(GroundUnknown):
        leaving.left(SIGNED, replace(ASKED, states={"contract_active": None}), {of_a_deal(active=False): 1})


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
        left(policy, task)
        return
    with pytest.raises(failure):
        left(policy, task)
    assert left(policy, task, counts={"ticket": 1}) == {}, "where there is nothing of it nothing is asked"


def test_what_is_said_of_a_rule_that_nobody_has_signed_names_its_rows_by_category_and_rule() -> None:
    with pytest.raises(RuleUnsigned, match=r"^2 rows \(contact: 2\) are what active_contract is about") as why:
        left(UNSIGNED, replace(ASKED, **ACTIVE))
    assert why.value.exceeded
    assert (why.value.exceeded.found, why.value.exceeded.allowed) == (2, 0)
    assert why.value.unsigned == (Kept(category="contact", rule="active_contract", count=2),)


def test_what_a_rule_has_kept_that_nobody_has_signed_any_more_stays_until_somebody_has_decided() -> None:
    lapsed = replace(ASKED, lapsed=frozenset({"calls_us_18m"}))
    assert left(UNSIGNED, lapsed, counts={"call": 3, "ticket": 1}) == {"call": "calls_us_18m"}


@pytest.mark.parametrize(("where_unknown", "asks"), [(WhereUnknown.ASK, True), (WhereUnknown.KEEP, False)])
def test_rule_decides_about_review_under_unknown_law(where_unknown: WhereUnknown, *, asks: bool) -> None:
    french = {"jurisdiction": "FR", "where_unknown": where_unknown}
    rule = SIGNED.rules["active_contract"].model_copy(update=french)
    policy = SIGNED.with_other(rules={**SIGNED.rules, "active_contract": rule})
    if not asks:
        assert left(policy, replace(ASKED, **ACTIVE)) == {"contact": "active_contract"}
        return
    with pytest.raises(GroundUnknown, match="where the law of FR applies"):
        left(policy, replace(ASKED, **ACTIVE))


@pytest.mark.parametrize(
    ("held", "rule", "state", "keeps"),
    [
        ("contact", "active_contract", "contract_active", True),
        ("contact", "active_contract", "disputed", False),
        ("contact", "legal_hold", "disputed", True),
        ("contact", "legal_hold", None, False),
        ("contact", None, "contract_active", False),
    ],
)
def test_state_is_no_reason_against_the_rest(held: str, rule: str | None, state: str | None, *, keeps: bool) -> None:
    assert leaving.keeps_by(SIGNED, held, rule, state) is keeps


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
        left(UNSIGNED, replace(ASKED, **ACTIVE))
    lapsed = replace(ASKED, at=datetime(2099, 3, 1, tzinfo=UTC), **ACTIVE)
    with pytest.raises(RuleUnsigned, match=r"which no sign-off covers today \(that of active_contract ended"):
        left(SIGNED, lapsed)


# On the day of what was kept by a rule that nobody has signed any more, two persons say whether it goes.
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
def test_kept_data_go_while_a_rule_has_an_owner(today: date, system: str, confirmed: int, found: int | None) -> None:
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


# What stays of a system that erases all it has or nothing, by what others tell: decided before it is asked.
TODAY = date(2026, 11, 27)
KEPT_STAYING = (Kept(category="contact", rule="active_contract", count=2),)
ACTIVE_STAYING = {"contract_active": True}


def claim(confirmed: int = 0) -> Claim:
    """A task of which only what two persons have confirmed is looked at."""
    ids: dict[str, Any] = dict.fromkeys(("task_id", "fulfilment_id", "request_id", "subject_ref"), uuid7())
    rest: dict[str, Any] = {"progress": {}, "failure": None, "due_on": TODAY, "right": "erasure", "searches": True}
    rest |= {"attempt": 1, "details": {}, "traceparent": None, "opened": 0, "stage": 0, "fulfils": "erase"}
    return Claim(**ids, **rest, confirmed={"ledger": {Limit.UNSIGNED_ROWS: confirmed}})


def staying(
    *categories: str, asked: Claim, told: Told, operation: Operation = Operation.PLAN, policy: Policy | None = None
) -> Staying:
    system = Downstream("ledger", frozenset(), adapter=ScriptedSystem("ledger"), categories=frozenset(categories))
    said: dict[UUID, Told] = {asked.fulfilment_id: told}
    return Staying(system, operation, policy or signed_policy(), TODAY, {}, said)


def planned(**by_category: int) -> Receipt:
    found = sum(by_category.values())
    return Receipt(uuid7(), TaskOutcome.PLANNED, found=found, by_category=by_category)


def test_all_that_a_system_holds_stays_by_the_rule_while_another_says_so() -> None:
    asked = claim()
    said = staying("contact", asked=asked, told=Told(ACTIVE_STAYING)).planned(asked, planned(contact=2))
    assert isinstance(said, Receipt)
    assert (said.remaining, said.ground, said.kept) == (2, "active_contract", KEPT_STAYING)
    told = Told(ACTIVE_STAYING, 2, {"contact": 2})
    done = staying("contact", asked=asked, told=told, operation=Operation.ERASE).instead(asked)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.kept) == (TaskOutcome.RETAINED, 2, KEPT_STAYING)


def test_where_a_part_must_stay_a_person_erases_the_rest() -> None:
    asked, told = claim(), Told(ACTIVE_STAYING, 3, {"contact": 2, "ticket": 1})
    by_hand = staying("contact", "ticket", asked=asked, told=told, operation=Operation.ERASE).instead(asked)
    assert isinstance(by_hand, NotSupported)
    assert "holds contact, which must stay now" in str(by_hand)
    same = staying("contact", "ticket", asked=asked, told=told).planned(asked, planned(contact=2, ticket=1))
    assert isinstance(same, NotSupported)
    assert same.found == {"contact": 2, "ticket": 1}


@pytest.mark.parametrize(("confirmed", "asks"), [(0, True), (1, True), (2, False)])
def test_unsigned_rule_keeps_nothing_before_dual_approval(confirmed: int, *, asks: bool) -> None:
    asked = claim(confirmed)
    said = staying("contact", asked=asked, told=Told(ACTIVE_STAYING), policy=read_policy()).planned(
        asked, planned(contact=2)
    )
    assert isinstance(said, RuleUnsigned) is asks
    if isinstance(said, RuleUnsigned):
        assert said.exceeded
        assert (said.exceeded.found, said.exceeded.allowed) == (2, confirmed)
        assert said.found == {"contact": 2}
        assert [(each.category, each.count) for each in said.unsigned] == [("contact", 2)]
