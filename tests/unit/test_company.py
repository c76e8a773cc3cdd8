"""The demonstration company is believable, the same every time, and full of the traps that it promises."""

from collections import defaultdict
from itertools import pairwise

import phonenumbers
import pytest
from rich.console import Console

from deploy.demo.company import Company, Customer, Phone, Size, found
from deploy.demo.company.calls import ANONYMOUS, SPELLINGS
from deploy.demo.company.cast import Part
from deploy.demo.company.dates import AGEING, CALLS_FROM, CALLS_TO
from deploy.demo.finding import Finding, Section
from deploy.demo.report import Report
from shared.domain.rights import Outcome, Right

SMALL = Size(customers=900, calls=12_000, tickets=1_200)


@pytest.fixture(scope="module")
def company() -> Company:
    return found(SMALL)


def _part(company: Company, name: str) -> Part:
    return next(part for part in company.cast if part.person.name == name)


def _assigned(company: Company) -> dict[str, list[Phone]]:
    """Each number with the periods in which customers held it."""
    assigned = defaultdict(list)
    for phone in (phone for customer in company.customers for phone in customer.phones):
        assigned[phone.number].append(phone)
    return assigned


def _numbers(customer: Customer) -> set[str]:
    return {spelling + phone.number[1:] for phone in customer.phones for spelling in SPELLINGS}


def test_the_same_seed_founds_the_same_company_and_another_seed_another(company: Company) -> None:
    again = found(SMALL)
    assert again.customers == company.customers
    assert again.tickets == company.tickets
    assert list(again.calls) == list(company.calls) == list(company.calls)
    assert len(company.calls) == sum(1 for _ in company.calls)
    assert found(SMALL, seed=1).customers != company.customers


def test_every_number_of_a_customer_and_of_a_call_is_valid(company: Company) -> None:
    numbers = {phone.number for customer in company.customers for phone in customer.phones}
    for call in company.calls:
        numbers.update("+" + raw.lstrip("+0") for raw in (call.caller, call.callee) if raw != ANONYMOUS)
    invalid = {number for number in numbers if not phonenumbers.is_valid_number(phonenumbers.parse(number))}
    assert invalid == set()


def test_a_number_has_one_holder_at_a_time_and_rests_between_two(company: Company) -> None:
    assigned = [sorted(phones, key=lambda phone: phone.valid_from) for phones in _assigned(company).values()]
    reassigned = [phones for phones in assigned if len(phones) > 1]
    assert len(reassigned) >= 20
    holders = [customer.code for customer in company.customers for phone in {each.number for each in customer.phones}]
    assert len(holders) >= sum(map(len, assigned)), "a number that is returned goes to somebody else"
    for phones in reassigned:
        for before, after in pairwise(phones):
            assert before.valid_to is not None
            assert after.valid_from - before.valid_to >= AGEING


def test_calls_are_in_order_of_time_and_within_the_recorded_months(company: Company) -> None:
    calls = list(company.calls)
    assert all(one.start <= other.start for one, other in pairwise(calls))
    assert calls[0].start >= CALLS_FROM
    assert calls[-1].start < CALLS_TO
    assert all(call.start <= (call.answered_at or call.start) < call.end for call in calls)


def test_one_number_is_spelt_in_every_way_that_a_switch_has(company: Company) -> None:
    giulia = _part(company, "Giulia Conti").person
    seen = {call.callee for call in company.calls} | {call.caller for call in company.calls}
    assert _numbers(giulia) <= seen


def test_a_withheld_caller_is_known_to_the_switch_alone(company: Company) -> None:
    withheld = [call for call in company.calls if call.withheld]
    assert withheld
    assert all(call.caller == ANONYMOUS and call.pai is not None for call in withheld)
    assert all(call.caller != ANONYMOUS and call.pai is None for call in company.calls if not call.withheld)


def test_customers_call_with_a_number_only_while_they_hold_it(company: Company) -> None:
    assigned = _assigned(company)
    for call in company.calls:
        if phones := assigned.get(call.pai or "+" + call.caller.lstrip("+0")):
            assert any(phone.held_at(call.start) for phone in phones)


def test_every_right_is_asked_for_and_somebody_unknown_asks_too(company: Company) -> None:
    assert {part.right for part in company.cast} == set(Right)
    stranger = next(part for part in company.cast if part.expected is Outcome.NO_DATA).person
    emails = {email.lower() for customer in company.customers for email in customer.emails}
    assert emails.isdisjoint(email.lower() for email in stranger.emails)
    assert _numbers(stranger).isdisjoint(
        {call.caller for call in company.calls} | {call.callee for call in company.calls}
    )


def test_the_reassigned_number_has_calls_of_both_holders_and_of_nobody(company: Company) -> None:
    part = _part(company, "Pieter de Vries")
    before, after = part.person.phones[0], part.neighbours[0].phones[0]
    assert before.number == after.number
    assert before.valid_to is not None
    spelt = {spelling + before.number[1:] for spelling in SPELLINGS}
    starts = [call.start for call in company.calls if spelt & {call.caller, call.callee}]
    assert any(before.held_at(start) for start in starts)
    assert any(after.held_at(start) for start in starts)
    nobodys = [start for start in starts if not before.held_at(start) and not after.held_at(start)]
    assert before.valid_to in nobodys
    assert len(nobodys) == 4


def test_somebody_withheld_calls_the_one_who_asks_for_a_copy(company: Company) -> None:
    joao, jonas = _part(company, "João Pereira").person, _part(company, "Jonas Albrecht").person
    own = {phone.number for phone in joao.phones}
    assert any(call.pai in own and call.callee in _numbers(jonas) for call in company.calls)


def test_every_character_has_tickets_and_a_file_among_them(company: Company) -> None:
    for person in (part.person for part in company.cast if part.person.code):
        tickets = [ticket for ticket in company.tickets if ticket.requester_code == person.code]
        assert len(tickets) >= 3
        assert any(ticket.attachments for ticket in tickets)


def test_people_write_about_themselves_in_their_tickets(company: Company) -> None:
    names = {customer.code: customer.name for customer in company.customers}
    for ticket in company.tickets:
        text = " ".join(message.text for message in ticket.messages)
        assert names[ticket.requester_code] in text
        assert "{" not in text


@pytest.mark.parametrize("holds", [True, False])
def test_whatever_of_the_demonstration_does_not_hold_is_counted_and_so_ends_it_with_1(*, holds: bool) -> None:
    report = Report(Console(quiet=True))
    report.section(Section("a section", ["a line", Finding(holds=True, words="as it is"), Finding(holds, "or not")]))
    assert report.failed == (not holds)
