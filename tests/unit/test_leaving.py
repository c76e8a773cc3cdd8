"""Data that stay in an erasure, by category, and why nothing may be deleted yet: one rule for all adapters."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.errors import GroundUnknown, NotSupported, RuleUnsigned
from shared.domain.operations import Exceeded, Kept, Limit, Operation, Step, TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.fulfilment.queue import LeasedTask
from shared.systems.contract import Receipt, Task
from shared.systems.downstream import Downstream
from shared.systems.engine import planning
from shared.systems.engine.grounds import KEPT_ROWS, lapsed_rules
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords
from shared.systems.engine.planning import Plan
from shared.systems.engine.records import Record, RecordState, Shape
from shared.systems.engine.remote import RetainedData, SystemFindings
from shared.systems.states import ErasureRefused
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import signed_policy

SIGNED, UNSIGNED = signed_policy(), read_policy()
AT = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = Task(uuid7(), uuid7(), uuid7(), "shop", Operation.ERASE, at=AT)


def test_a_receipt_tells_what_is_gone_and_what_stays_by_which_rule() -> None:
    kept = (
        Kept(category="contact", rule="dispute", count=1),
        Kept(category="ticket", rule="legal_hold", count=2),
    )
    said = planning.receipt(ASKED, {"contact": 3}, kept)
    assert (said.outcome, said.found, said.changed, said.remaining, said.ground) == (
        TaskOutcome.RETAINED,
        6,
        3,
        3,
        "dispute",
    )
    assert said.by_category == {"contact": 4, "ticket": 2}
    assert planning.receipt(ASKED, {}, ()).outcome == TaskOutcome.NO_MATCH


# On the day of data kept by a rule that is no longer signed, two people decide about them.
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
    said = lapsed_rules(signed_policy(), today, system, KEPT, {Limit.UNSIGNED_ROWS: confirmed})
    assert (said and said.exceeded and said.exceeded.found) == found
    if said:
        assert isinstance(said, RuleUnsigned)
        assert "have it signed and try again, or confirm that they go" in str(said)


def test_an_erasure_that_is_not_deferred_is_asked_as_always() -> None:
    assert lapsed_rules(signed_policy(), AFTER, "cdr", {"right": "erasure"}, {}) is None


# What stays of a system that erases all it has or nothing, by what others tell: decided before it is asked.
TODAY, NOW = date(2026, 11, 27), datetime(2026, 11, 27, 12, tzinfo=UTC)
KEPT_STAYING = (Kept(category="contact", rule="active_contract", count=2),)
ACTIVE_STAYING = {"contract_active": True}


def claim(confirmed: int = 0) -> LeasedTask:
    """Returns a task with only the number that two people have confirmed."""
    ids: dict[str, Any] = dict.fromkeys(("task_id", "fulfilment_id", "request_id", "subject_ref"), uuid7())
    rest: dict[str, Any] = {"progress": {}, "failure": None, "due_on": TODAY, "right": "erasure", "searches": True}
    rest |= {"attempt": 1, "details": {}, "traceparent": None, "opened": 0, "stage": 0, "fulfils": "erase"}
    rest["step"] = Step("ledger", Operation.ERASE)
    return LeasedTask(**ids, **rest, confirmed={"ledger": {Limit.UNSIGNED_ROWS: confirmed}})


def staying(
    *categories: str,
    asked: LeasedTask,
    known: SystemFindings,
    operation: Operation = Operation.PLAN,
    policy: Policy | None = None,
) -> RetainedData:
    system = Downstream("ledger", frozenset(), adapter=ScriptedSystem("ledger"), categories=frozenset(categories))
    said: dict[UUID, SystemFindings] = {asked.fulfilment_id: known}
    return RetainedData(system, operation, policy or signed_policy(), NOW, {}, said)


def planned(**by_category: int) -> Receipt:
    found = sum(by_category.values())
    return Receipt(uuid7(), TaskOutcome.PLANNED, found=found, by_category=by_category)


def test_all_that_a_system_holds_stays_by_the_rule_while_another_says_so() -> None:
    asked = claim()
    said = staying("contact", asked=asked, known=SystemFindings(ACTIVE_STAYING)).with_retained(
        asked, planned(contact=2)
    )
    assert isinstance(said, Receipt)
    assert (said.remaining, said.ground, said.kept) == (2, "active_contract", KEPT_STAYING)
    known = SystemFindings(ACTIVE_STAYING, 2, {"contact": 2})
    done = staying("contact", asked=asked, known=known, operation=Operation.ERASE).result_without_call(asked)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.kept) == (TaskOutcome.RETAINED, 2, KEPT_STAYING)


def test_partly_kept_system_is_manual() -> None:
    asked, known = claim(), SystemFindings(ACTIVE_STAYING, 3, {"contact": 2, "ticket": 1})
    by_hand = staying("contact", "ticket", asked=asked, known=known, operation=Operation.ERASE).result_without_call(
        asked
    )
    assert isinstance(by_hand, NotSupported)
    assert "holds contact, which must stay now" in str(by_hand)
    same = staying("contact", "ticket", asked=asked, known=known).with_retained(asked, planned(contact=2, ticket=1))
    assert isinstance(same, NotSupported)
    assert same.found == {"contact": 2, "ticket": 1}


@pytest.mark.parametrize(("confirmed", "asks"), [(0, True), (1, True), (2, False)])
def test_unsigned_rule_keeps_nothing_before_dual_approval(confirmed: int, *, asks: bool) -> None:
    asked = claim(confirmed)
    said = staying("contact", asked=asked, known=SystemFindings(ACTIVE_STAYING), policy=read_policy()).with_retained(
        asked, planned(contact=2)
    )
    assert isinstance(said, RuleUnsigned) is asks
    if isinstance(said, RuleUnsigned):
        assert said.exceeded
        assert (said.exceeded.found, said.exceeded.allowed) == (2, confirmed)
        assert said.found == {"contact": 2}
        assert [(each.category, each.count) for each in said.unsigned] == [("contact", 2)]


# What of a subject's records stays by a state that one of them tells, or another system.
ACCOUNT = Shape(
    place="contract", category="account", parties={}, states=(RecordState("active_contract", "contract_active"),)
)
TICKET, LETTER = replace(ACCOUNT, category="ticket"), Shape(place="newsletter", category="marketing", parties={})
BILL = Shape(
    place="bill", category="billing", parties={}, states=(RecordState("dispute", "disputed"),), kept_complete=True
)
CONTRACT = Shape(place="other", category="contract", parties={}, kept_complete=True)


def planned_of(policy: Policy, *records: Record, **said: Any) -> Plan:
    shapes = [each.shape for each in records]
    found = SubjectRecords(replace(ASKED, **said), {each.name: OwnedRecord(each) for each in records})
    return planning.plan_erasure("shop", policy, None, found, shapes)


@pytest.mark.parametrize(
    ("shape", "lasts", "policy", "said", "comes"),
    [
        (ACCOUNT, True, SIGNED, {}, ["active_contract"]),
        (ACCOUNT, True, SIGNED, {"held_categories": frozenset({"account"})}, ["legal_hold"]),
        (ACCOUNT, False, SIGNED, {}, []),
        (ACCOUNT, None, SIGNED, {}, GroundUnknown),
        (ACCOUNT, True, UNSIGNED, {}, RuleUnsigned),
        (ACCOUNT, True, UNSIGNED, {"confirmed": {Limit.UNSIGNED_ROWS: 1}}, ErasureRefused),
        (ACCOUNT, True, UNSIGNED.keeping_nothing(), {}, ErasureRefused),
        (TICKET, True, SIGNED, {}, ErasureRefused),
        (TICKET, False, SIGNED, {}, []),
    ],
)
def test_record_in_a_state_stays_by_its_rule_and_the_rest_goes(
    *, shape: Shape, lasts: bool | None, policy: Policy, said: Mapping[str, Any], comes: list[str] | type[Exception]
) -> None:
    made = planned_of(policy, Record(shape, (1,), states=(lasts,)), Record(LETTER, (2,)), **said)
    if isinstance(comes, list):
        assert [each.rule for each in made.retained_counts(marked=False)] == comes
        assert (len(made.to_erase), made.refused) == (2 - len(comes), None)
    else:
        assert isinstance(made.refused, comes)
    assert made.states == {"contract_active": lasts}, "dependent systems still learn it"


def test_dual_approval_covers_the_rows_of_all_places_and_no_more() -> None:
    rows = [Record(replace(shape, kept_complete=False, states=()), (n,)) for n, shape in enumerate((BILL, CONTRACT))]
    refused = planned_of(UNSIGNED, *rows, confirmed={Limit.UNSIGNED_ROWS: 1}).refused
    assert isinstance(refused, RuleUnsigned)
    assert refused.exceeded == Exceeded(limit=Limit.UNSIGNED_ROWS, found=2, allowed=1)
    assert "2 rows (billing: 1, contract: 1) are what invoices_84m" in str(refused)
    assert len(planned_of(UNSIGNED, *rows, confirmed={Limit.UNSIGNED_ROWS: 2}).to_erase) == len(rows)


@pytest.mark.parametrize(("lasts", "kept"), [(True, 3), (False, 1), (None, None)])
def test_state_reported_elsewhere_keeps_every_record(*, lasts: bool | None, kept: int | None) -> None:
    bills = [Record(BILL, (n,), states=(n == 0,)) for n in range(3)]
    made = planned_of(SIGNED, *bills, states={"contract_active": lasts})
    assert (len(made.retained) if made.refused is None else None) == kept
