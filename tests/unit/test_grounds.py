"""A ground is a rule of ours: a system's own word counts for what the policy says it means, or for nothing."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest

from shared.domain.errors import GroundInvalid
from shared.domain.operations import COUNTRY_UNKNOWN, Kept, TaskOutcome
from shared.domain.policy import read_policy
from shared.downstreams.contract import Receipt
from shared.fulfilment.failures import sentence_of
from shared.fulfilment.grounds import by_rule
from tests.fixtures.policy import signed_policy

TASK = UUID(int=1)
TODAY, UNTIL = date(2026, 10, 1), date(2030, 12, 31)


def kept(ground: str | None) -> Receipt:
    return Receipt(TASK, TaskOutcome.RETAINED, found=3, remaining=3, ground=ground, until=UNTIL)


@pytest.mark.parametrize("word", ["tax_law", "invoices_84m"])
def test_a_word_that_the_policy_knows_is_told_as_the_rule_that_it_means(word: str) -> None:
    told = by_rule(signed_policy(), TODAY, "billing", kept(word))
    assert isinstance(told, Receipt)
    assert (told.outcome, told.ground, told.until) == (TaskOutcome.RETAINED, "invoices_84m", UNTIL)
    assert told.kept == (Kept(category="invoice", rule="invoices_84m", count=3, first=UNTIL, last=UNTIL),)


def test_of_how_many_rows_nobody_has_counted_nobody_is_told_that_they_are_none() -> None:
    told = by_rule(signed_policy(), TODAY, "billing", replace(kept("tax_law"), found=0, remaining=0))
    assert isinstance(told, Receipt)
    assert (told.ground, told.kept) == ("invoices_84m", None)


@pytest.mark.parametrize("word", ["our_schedule_says_so", "legal_obligation", None])
def test_a_word_that_the_policy_does_not_know_is_a_persons_task(word: str | None) -> None:
    told = by_rule(signed_policy(), TODAY, "billing", kept(word))
    assert isinstance(told, GroundInvalid)
    assert told.code == "ground_invalid"
    assert str(word or "does not say why") in sentence_of(told)


def test_a_rule_that_nobody_has_signed_is_no_ground() -> None:
    told = by_rule(read_policy(), TODAY, "billing", kept("tax_law"))
    assert isinstance(told, GroundInvalid)
    assert "no valid sign-off" in str(told)


def test_a_rule_whose_sign_off_has_ended_is_no_ground() -> None:
    assert isinstance(by_rule(signed_policy(), date(2075, 1, 1), "billing", kept("tax_law")), GroundInvalid)


def test_what_is_not_kept_needs_no_ground() -> None:
    erased = Receipt(TASK, TaskOutcome.ERASED, found=3, changed=3)
    assert by_rule(read_policy(), TODAY, "billing", erased) is erased


def test_what_an_adapter_keeps_that_tells_no_countries_apart_is_told_by_no_countrys_law() -> None:
    policy = signed_policy()
    german = policy.rules["invoices_84m"].model_copy(update={"jurisdiction": "DE", "ground": "17(3)(b)"})
    policy = policy.with_other(rules={**policy.rules, "invoices_84m": german})
    said = Kept(category="invoice", rule="invoices_84m", count=3, first=UNTIL, last=UNTIL)
    own = Receipt(TASK, TaskOutcome.RETAINED, found=3, remaining=3, ground="invoices_84m", until=UNTIL, kept=(said,))
    told = by_rule(policy, TODAY, "crm", own)
    assert isinstance(told, Receipt)
    assert (told.ground, told.kept) == (COUNTRY_UNKNOWN, (said.model_copy(update={"shown": False}),))
    looked = replace(own, kept=(said.model_copy(update={"shown": True}),))
    assert by_rule(policy, TODAY, "shop", looked) == looked, "of each of these rows it has said it"
    assert by_rule(signed_policy(), TODAY, "crm", own) == own, "a rule of our own country is for all that we hold"
    theirs = by_rule(policy, TODAY, "billing", kept("tax_law"))
    assert isinstance(theirs, Receipt)
    assert theirs.ground == "invoices_84m", "who names the law has looked"
