"""What a system tells of itself without knowing what the policy keeps by it is decided where that is known."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import NotSupported, RuleUnsigned
from shared.domain.operations import Kept, Limit, Operation, TaskOutcome
from shared.domain.policy import Policy, read_policy
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.downstream import Downstream
from shared.downstreams.refusals import ErasureRefused, Telling
from shared.fulfilment.queue import Claim
from shared.fulfilment.staying import Staying, Told
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import signed_policy

TODAY = date(2026, 11, 27)
KEPT = (Kept(category="contact", rule="active_contract", count=2),)


def claim(confirmed: int = 0) -> Claim:
    """A task of which only what two persons have confirmed is looked at."""
    ids: dict[str, Any] = dict.fromkeys(("task_id", "fulfilment_id", "request_id", "subject_ref"), uuid7())
    rest: dict[str, Any] = {"progress": {}, "failure": None, "due_on": TODAY, "right": "erasure", "searches": True}
    rest |= {"attempt": 1, "details": {}, "traceparent": None, "opened": 0, "stage": 0, "fulfils": "erase"}
    return Claim(**ids, **rest, confirmed={"ledger": {Limit.UNSIGNED_ROWS: confirmed}})


def staying(
    *categories: str,
    operation: Operation = Operation.PLAN,
    policy: Policy | None = None,
    place: str = "contact",
    said: dict[UUID, Told] | None = None,
) -> Staying:
    adapter = ScriptedSystem("ledger", tells=frozenset({"contract_active"}))
    adapter.__dict__ |= {"knows_no_states": True, "telling": [Telling("deal", place, "active_contract")]}
    system = Downstream("ledger", frozenset(), adapter=adapter, categories=frozenset(categories))
    return Staying(system, operation, policy or signed_policy(), TODAY, {}, said or {})


def planned(*, lasts: bool | None = True, **by_category: int) -> Receipt:
    found = sum(by_category.values())
    receipt = Receipt(uuid7(), TaskOutcome.PLANNED, found=found, by_category=by_category)
    return replace(receipt, states={"contract_active": lasts})


def test_all_that_a_system_holds_stays_by_the_rule_while_its_own_records_say_so() -> None:
    said = staying("contact").planned(claim(), planned(contact=2))
    assert isinstance(said, Receipt)
    assert (said.remaining, said.ground, said.kept, said.states) == (
        2,
        "active_contract",
        KEPT,
        {"contract_active": True},
    )
    asked = claim()
    told = Told({"contract_active": True}, 2, {"contact": 2})
    done = staying("contact", operation=Operation.ERASE, said={asked.fulfilment_id: told}).instead(asked)
    assert isinstance(done, Receipt)
    assert (done.outcome, done.found, done.kept) == (TaskOutcome.RETAINED, 2, KEPT)


def test_where_a_part_must_stay_others_hear_of_the_state_and_a_person_erases_the_rest() -> None:
    said = staying("contact", "ticket").planned(claim(), planned(contact=2, ticket=1))
    assert isinstance(said, Receipt)
    assert (said.found, said.remaining, said.kept, said.states) == (3, 2, KEPT, {"contract_active": True})
    asked = claim()
    told = Told({"contract_active": True}, 3, {"contact": 2, "ticket": 1})
    by_hand = staying("contact", "ticket", operation=Operation.ERASE, said={asked.fulfilment_id: told}).instead(asked)
    assert isinstance(by_hand, NotSupported)
    assert "holds contact, which must stay now" in str(by_hand)


@pytest.mark.parametrize("lasts", [True, False])
def test_what_no_rule_keeps_by_that_state_refuses_all_of_it_while_it_lasts(*, lasts: bool) -> None:
    said: Result = staying("ticket", place="ticket").planned(claim(), planned(ticket=1, lasts=lasts))
    assert isinstance(said, ErasureRefused) is lasts
    assert isinstance(said, ErasureRefused | Receipt)
    assert said.states == {"contract_active": lasts}, "who rests on it hears that all the same"


@pytest.mark.parametrize(("confirmed", "asks"), [(0, True), (1, True), (2, False)])
def test_a_rule_that_nobody_has_signed_keeps_nothing_by_it_before_two_persons_have_looked(
    confirmed: int, *, asks: bool
) -> None:
    said = staying("contact", policy=read_policy()).planned(claim(confirmed), planned(contact=2))
    assert isinstance(said, RuleUnsigned) is asks
    if isinstance(said, RuleUnsigned):
        assert said.exceeded
        assert (said.exceeded.found, said.exceeded.allowed) == (2, confirmed)
        assert said.found == {"contact": 2}
        assert [(each.category, each.count) for each in said.unsigned] == [("contact", 2)]
