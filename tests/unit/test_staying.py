"""What stays of a system that erases all it has or nothing, by what others tell: decided before it is asked."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import NotSupported, RuleUnsigned
from shared.domain.operations import Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.downstreams.contract import Receipt
from shared.downstreams.downstream import Downstream
from shared.fulfilment.queue import Claim
from shared.fulfilment.staying import Staying, Told
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import signed_policy

TODAY = date(2026, 11, 27)
KEPT = (Kept(category="contact", rule="active_contract", count=2),)
ACTIVE = {"contract_active": True}


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
    said = staying("contact", asked=asked, told=Told(ACTIVE)).planned(asked, planned(contact=2))
    assert isinstance(said, Receipt)
    assert (said.remaining, said.ground, said.kept) == (2, "active_contract", KEPT)
    told = Told(ACTIVE, 2, {"contact": 2})
    done = staying("contact", asked=asked, told=told, operation=Operation.ERASE).instead(asked)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.kept) == (TaskOutcome.RETAINED, 2, KEPT)


def test_where_a_part_must_stay_a_person_erases_the_rest() -> None:
    asked, told = claim(), Told(ACTIVE, 3, {"contact": 2, "ticket": 1})
    by_hand = staying("contact", "ticket", asked=asked, told=told, operation=Operation.ERASE).instead(asked)
    assert isinstance(by_hand, NotSupported)
    assert "holds contact, which must stay now" in str(by_hand)
    same = staying("contact", "ticket", asked=asked, told=told).planned(asked, planned(contact=2, ticket=1))
    assert isinstance(same, NotSupported)
    assert same.found == {"contact": 2, "ticket": 1}


@pytest.mark.parametrize(("confirmed", "asks"), [(0, True), (1, True), (2, False)])
def test_a_rule_that_nobody_has_signed_keeps_nothing_before_two_persons_have_looked(
    confirmed: int, *, asks: bool
) -> None:
    asked = claim(confirmed)
    said = staying("contact", asked=asked, told=Told(ACTIVE), policy=read_policy()).planned(asked, planned(contact=2))
    assert isinstance(said, RuleUnsigned) is asks
    if isinstance(said, RuleUnsigned):
        assert said.exceeded
        assert (said.exceeded.found, said.exceeded.allowed) == (2, confirmed)
        assert said.found == {"contact": 2}
        assert [(each.category, each.count) for each in said.unsigned] == [("contact", 2)]
