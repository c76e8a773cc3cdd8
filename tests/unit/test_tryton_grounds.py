"""Which rule of the policy keeps a customer's data, by what the CRM tells of them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import GroundUnknown, RuleUnsigned
from shared.domain.operations import Limit, Operation
from shared.domain.policy import parse_period, read_policy
from shared.downstreams.tryton.grounds import DeclaredGrounds, Facts, Stays, stays
from tests.fixtures.downstream import email, task
from tests.fixtures.policy import changed, signed_policy

DECLARED = DeclaredGrounds(invoice_open="invoice_open", disputed="disputed")
TODAY = date(2026, 10, 1)
ERASE = task(Operation.ERASE, email("ada@example.org"))
NOTHING = {"contract": "none", "invoice_open": "no", "disputed": "no"}


def day(value: date) -> dict[str, object]:
    return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}


def facts(**said: object) -> Facts:
    return Facts.of({**NOTHING, **said}, DECLARED)


@pytest.mark.parametrize(
    ("said", "rule", "until"),
    [
        ({}, None, None),
        ({"contract": "active"}, "active_contract", None),
        ({"contract": "active", "invoice_open": "yes"}, "active_contract", None),
        ({"contract": "ended", "contract_ended_on": day(date(2024, 2, 29))}, "invoices_84m", date(2031, 2, 28)),
        ({"contract": "ended", "contract_ended_on": day(date(2019, 10, 1))}, "invoices_84m", date(2026, 10, 1)),
        ({"contract": "ended", "contract_ended_on": day(date(2019, 9, 30))}, None, None),
        ({"contract": "ended", "contract_ended_on": day(TODAY), "invoice_open": "yes"}, "open_invoice", None),
    ],
)
def test_the_rule_that_keeps_follows_from_the_policy(
    said: dict[str, object], rule: str | None, until: date | None
) -> None:
    why = stays(facts(**said), signed_policy(), TODAY, ERASE, 5)
    if rule is None:
        assert why is None
    else:
        assert isinstance(why, Stays)
        assert {why.name, "open_invoice", "active_contract"} >= {rule}
        assert why.last_day == until


def test_another_period_in_the_policy_and_nothing_else_changes_the_answer(tmp_path: Path) -> None:
    ended = facts(contract="ended", contract_ended_on=day(date(2019, 9, 30)))
    said = changed(
        tmp_path, 'anchor = "relationship_end"\nfields', 'anchor = "relationship_end"\nzone = "Asia/Tokyo"\nfields'
    )
    policy = read_policy(said)
    assert stays(ended, policy, TODAY, ERASE, 5) is None
    before = stays(ended, policy, date(2026, 9, 30), ERASE, 5)
    assert isinstance(before, RuleUnsigned), "the policy as shipped is signed by nobody"


def test_a_rule_that_nobody_has_signed_keeps_nothing_once_two_persons_have_confirmed_it() -> None:
    active = facts(contract="active")
    policy = read_policy()
    refused = stays(active, policy, TODAY, ERASE, 5)
    assert isinstance(refused, RuleUnsigned)
    assert refused.exceeded is not None
    assert (refused.exceeded.limit, refused.exceeded.found) == (Limit.UNSIGNED_ROWS, 5)
    confirmed = replace(ERASE, confirmed={Limit.UNSIGNED_ROWS: 5})
    assert stays(active, policy, TODAY, confirmed, 5) is None
    assert isinstance(stays(active, policy, TODAY, confirmed, 6), RuleUnsigned)


@pytest.mark.parametrize("sign_off", [None, "P1M"], ids=["unsigned", "expired"])
def test_a_state_that_nobody_has_signed_is_a_persons_matter_although_a_period_is_signed(sign_off: str | None) -> None:
    signed = signed_policy()
    rule = signed.rules["open_invoice"]
    by = rule.sign_off.model_copy(update={"expires": parse_period(sign_off)}) if rule.sign_off and sign_off else None
    policy = signed.with_other(rules={**signed.rules, "open_invoice": rule.model_copy(update={"sign_off": by})})
    today = date(2027, 3, 1)
    owing = facts(contract="ended", contract_ended_on=day(date(2026, 2, 1)), invoice_open="yes")
    refused = stays(owing, policy, today, ERASE, 5)
    assert isinstance(refused, RuleUnsigned)
    assert "open_invoice" in str(refused)
    assert "invoices_84m" not in str(refused)
    confirmed = stays(owing, policy, today, replace(ERASE, confirmed={Limit.UNSIGNED_ROWS: 5}), 5)
    assert isinstance(confirmed, Stays), "what two persons let go of is kept by the rule that is signed"
    assert (confirmed.name, confirmed.last_day) == ("invoices_84m", date(2033, 2, 1))


def test_what_a_signed_state_keeps_needs_no_period_that_is_signed() -> None:
    signed = signed_policy()
    rule = signed.rules["invoices_84m"].model_copy(update={"sign_off": None})
    policy = signed.with_other(rules={**signed.rules, "invoices_84m": rule})
    owing = facts(contract="ended", contract_ended_on=day(date(2026, 2, 1)), invoice_open="yes")
    why = stays(owing, policy, TODAY, ERASE, 5)
    assert isinstance(why, Stays)
    assert why.name == "open_invoice"


@given(st.fixed_dictionaries({name: st.sampled_from([None, "", "maybe", 1]) for name in ("contract", "disputed")}))
def test_what_is_not_one_of_the_declared_values_is_never_taken_for_no(said: dict[str, object]) -> None:
    assert isinstance(stays(facts(**said), signed_policy(), TODAY, ERASE, 5), GroundUnknown)


def test_what_holds_of_one_of_two_merged_customers_holds_of_both() -> None:
    both = Facts.together([facts(), facts(contract="active")])
    assert isinstance(stays(both, signed_policy(), TODAY, ERASE, 5), Stays)
    unknown = Facts.together([facts(), facts(contract=None)])
    assert isinstance(stays(unknown, signed_policy(), TODAY, ERASE, 5), GroundUnknown)


@pytest.mark.parametrize("update", [{"lasts_while": "prepaid"}, {"lasts_while": None, "anchor": "last_call"}])
def test_a_state_or_a_day_that_the_crm_never_tells_is_not_known_and_nothing_goes(update: dict[str, str | None]) -> None:
    policy = signed_policy()
    period = {"period": policy.rules["invoices_84m"].period} if "anchor" in update else {}
    rule = policy.rules["active_contract"].model_copy(update={**update, **period})
    other = policy.with_other(rules={**policy.rules, "active_contract": rule})
    for said in ({}, {"contract": "active"}):
        assert isinstance(stays(facts(**said), other, TODAY, ERASE, 5), GroundUnknown)
