"""What a report says of how long data are kept (Art. 15(1)(d)): days, laws, rules nobody has signed, and states."""

from dataclasses import replace

import pytest

from services.export.pieces import Piece
from shared.domain.policy import parse_period, read_policy
from shared.domain.release import LEFT
from tests.fixtures.policy import all_signed
from tests.fixtures.reports import NEW, NOTE, OLD, call, report, said


async def test_periods_come_with_the_days_that_follow_for_this_person_in_the_zone_of_the_controller() -> None:
    told = said(await report(call(OLD), call(NEW)), "A15.d")
    assert "18 months, counted from the beginning of the call" in told
    assert "The oldest of it is kept until 15 July 2026, the newest until 1 September 2027." in told
    assert "The oldest of it is deleted on 16 August 2026, the newest on 2 October 2027." in told


async def test_a_law_of_a_country_is_told_to_whoever_lives_there_and_an_unsigned_rule_to_nobody() -> None:
    policy = all_signed(read_policy())
    in_germany, in_france = [await report(call(OLD), policy=policy, country=country) for country in ("DE", "FR")]
    assert ("in Germany" in said(in_germany, "A15.d"), "in Germany" in said(in_france, "A15.d")) == (True, False)
    unsigned = await report(call(OLD), policy=read_policy())
    assert "in the United States" in said(in_germany, "A15.d")
    assert "in the United States" not in said(unsigned, "A15.d")


@pytest.mark.parametrize("signed", ["rules", "ceilings", ""])
async def test_what_nobody_has_signed_is_told_as_not_decided_and_gives_no_day(signed: str) -> None:
    whole = all_signed(read_policy())
    policy = read_policy().with_other(**{signed: getattr(whole, signed)} if signed else {})
    told = said(await report(call(OLD), country="DE", policy=policy), "A15.d")
    assert ("is kept until 15 July 2026" in told) is (signed == "rules")
    assert ("is deleted on 16 August 2026" in told, "in Germany" in told) == (signed == "ceilings",) * 2
    assert ("is not decided yet" in told) is (signed != "ceilings")
    assert "No fixed period" not in told
    german = said(await report(call(OLD), country="DE"), "A15.d")  # the demonstration's counsel has not signed that
    assert ("18 months" in german, "in Germany" in german, "is not decided yet" in german) == (True, False, False)


ACTIVE = "you have a contract with us"


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([{"contract_active": True}], "Even if you ask us to erase it: you have a contract with us"),
        ([{"contract_active": True}, {"contract_active": None}], "Even if you ask us to erase it: you have a contract"),
        ([{"contract_active": False}, {}], ""),
        ([{"contract_active": False}, {"contract_active": None}], "If what follows is so, it stays"),
        ([{}], "If what follows is so, it stays"),
    ],
)
async def test_a_state_that_keeps_is_told_as_a_fact_only_where_the_data_say_that_it_lasts(
    states: list[dict[str, bool | None]], told: str
) -> None:
    rows = [replace(NOTE, states=each) for each in states]
    told_of = said(await report(*rows), "A15.d")
    assert (told in told_of, ACTIVE in told_of) == (True, bool(told))
    of_invoices = said(await report(Piece("shop", "invoice", "shop", {"amount": 1}), *rows), "A15.d")
    assert "If what follows is so, it stays even if you ask us to erase it, for as long as that lasts: an invoice" in (
        of_invoices
    )


async def test_a_state_that_one_system_names_is_a_fact_about_what_another_holds() -> None:
    settled = replace(NOTE, states={"invoice_open": False})
    assert "settled" not in said(await report(Piece("shop", "invoice", "shop", {"amount": 1}), settled), "A15.d")


OLD_CALL, NEW_CALL = (replace(each, states={LEFT: True}) for each in (call(OLD), call(NEW)))
CUSTOMER = replace(NOTE, states={LEFT: True})


async def test_what_an_erasure_left_since_it_leads_to_other_data_is_told_with_their_reason_and_last_day() -> None:
    told = said(await report(CUSTOMER, OLD_CALL, NEW_CALL), "A15.d")
    assert "leads to other data that we must keep, and goes with the last of them" in told
    assert told.count("1 September 2027") == 2
    assert "If what follows is so" not in told
    of_another = said(await report(CUSTOMER, call(NEW)), "A15.d")
    assert "kept for the reason that our answer to that request gives" in of_another
    under_contract = replace(CUSTOMER, states={LEFT: True, "contract_active": True})
    assert "for this reason alone: you have a contract with us" in said(await report(under_contract, OLD_CALL), "A15.d")


async def test_of_what_is_left_in_part_no_condition_is_told_as_the_reason() -> None:
    told = said(await report(NOTE, CUSTOMER, NEW_CALL), "A15.d")
    assert "Part of it is left of what you have asked us to erase (rows: 1):" in told
    assert "leads to other data that we must keep" in told


async def test_where_two_rules_keep_neither_is_told_as_alone_and_neither_has_the_newest_day_of_the_other() -> None:
    one = all_signed(read_policy())
    calls, rule = one.categories["call_record"], one.rules["calls_us_18m"]
    rules = {**one.rules, "calls_19m": rule.model_copy(update={"period": parse_period("P19M")})}
    kept_by = {"kept_by": ("calls_us_18m", "calls_19m")}
    two = one.with_other(rules=rules, categories={**one.categories, "call_record": calls.model_copy(update=kept_by)})
    left = said(await report(OLD_CALL, NEW_CALL, policy=two), "A15.d")
    assert ("alone" in left, left.count("unless another one that we name here")) == (False, 2)
    assert "What this reason keeps is kept until 1 September 2027 at the latest." in left
    assert "the newest until 1 September 2027" not in said(await report(call(OLD), call(NEW), policy=two), "A15.d")


async def test_a_rule_by_the_law_of_a_country_is_told_as_a_condition_and_of_what_is_left_as_the_answer_told() -> None:
    policy = all_signed(read_policy())
    german = policy.rules["calls_us_18m"].model_copy(update={"jurisdiction": "DE"})
    policy = policy.with_other(rules={**policy.rules, "calls_us_18m": german})
    told = said(await report(call(OLD), policy=policy), "A15.d")
    assert "Where the law of the following country applies (Germany): Even if you ask us to erase it:" in told
    left = said(await report(OLD_CALL, policy=policy), "A15.d")
    assert "kept for the reason that our answer to that request gives" in left
    assert "for this reason alone" not in left
