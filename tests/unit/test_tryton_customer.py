"""Decides which customers of a CRM search are the subject."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.domain.errors import GroundUnknown, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.systems.engine.ownership import OwnershipResolver, subject_search
from shared.systems.engine.retaining import RetentionDecider
from shared.systems.tryton.customer import (
    ADDRESS,
    ADDRESS_FIELDS,
    ASSIGNMENT,
    CONTACT,
    IDENTIFIER,
    PARTY,
    Customer,
    proven_customers,
)
from shared.systems.tryton.rpc import reason_of
from shared.systems.tryton.settings import DeclaredGrounds
from shared.systems.tryton.system import CrmPlaces
from tests.fixtures.downstream import task
from tests.fixtures.policy import all_signed, signed_policy

ADA, BOB, NUMBER = "ada@post.example", "bob@post.example", "+4915112345671"
Y20, Y22, Y24, Y26 = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2022, 2024, 2026))


def party(number: int, *rows: tuple[str, dict[str, Any]]) -> Customer:
    held = {model: [row for each, row in rows if each == model] for model in (CONTACT, ASSIGNMENT, ADDRESS, IDENTIFIER)}
    return Customer([{"id": number, "code": f"K{number}"}], held)


def contact(kind: str, value: str) -> tuple[str, dict[str, Any]]:
    return CONTACT, {"party": 1, "type": kind, "value": value, "value_compact": value, "active": True}


def has_phone(number: str = NUMBER) -> tuple[str, dict[str, Any]]:
    return contact("mobile", number)


def held(since: datetime, until: datetime | None = None) -> tuple[str, dict[str, Any]]:
    moments = [{"year": each.year, "month": 1, "day": 1} if each else None for each in (since, until)]
    return ASSIGNMENT, {"number": NUMBER, "valid_from": moments[0], "valid_to": moments[1]}


def has_email(value: str) -> tuple[str, dict[str, Any]]:
    return contact("email", value)


def phone(since: datetime | None = None, until: datetime | None = None) -> Identity:
    return Identity(IdentityType.PHONE, NUMBER, since, until)


def code(value: str, source: str = "requester") -> Identity:
    return Identity(IdentityType.ACCOUNT_ID, value, source=source)


FOREIGN = "foreign"
SHOWN = replace(code("K1"), level="L1")
MAIL = Identity(IdentityType.EMAIL, ADA)
FORMER = Identity(IdentityType.EMAIL, ADA, None, Y22, "selfcare")
BOTH = [MAIL, phone()]
HAS_ADA, HAS_BOB, HAS_NUMBER = has_email(ADA), has_email(BOB), has_phone()
HAS_OTHER = has_phone(number="+4915112345699")
TWO_WITH_ADA = [party(1, HAS_ADA), party(2, HAS_ADA)]
ONE_THEN_OTHER = [party(1, held(Y20, Y22)), party(2, held(Y24))]
CASES: dict[str, tuple[list[Identity], list[Customer], list[int] | str]] = {
    "no match": ([MAIL], [], []),
    "one party holds the address, in whatever case": ([MAIL], [party(1, has_email("ADA@Post.Example"))], [1]),
    "the address counts although the number is another": (BOTH, [party(1, HAS_ADA, HAS_OTHER)], [1]),
    "two parties hold the address": ([MAIL], TWO_WITH_ADA, FOREIGN),
    "two hold the address, one the number too": (BOTH, [party(1, HAS_ADA), party(2, HAS_ADA, HAS_NUMBER)], [2]),
    "one holds the address and another the number": (BOTH, [party(1, HAS_ADA), party(2, HAS_NUMBER)], FOREIGN),
    "only the number agrees and the address differs": (BOTH, [party(1, HAS_BOB, HAS_NUMBER)], FOREIGN),
    "only the number agrees and no address is known": (BOTH, [party(1, HAS_NUMBER)], [1]),
    "the number is no longer assigned to the party": ([phone()], [party(1, held(Y20, Y22))], []),
    "the number was assigned to the party at the time": (
        [phone(Y20, Y24)],
        [party(1, held(Y22, Y24)), party(2, held(Y24))],
        [1],
    ),
    "a number that was given up is no longer theirs by being written down as a contact": (
        [phone()],
        [party(1, HAS_NUMBER, held(Y20, Y22))],
        [],
    ),
    "a number of another carrier is a contact alone": ([phone(Y20)], [party(1, HAS_NUMBER)], [1]),
    "a number that was theirs until a day is another person's contact since": (
        [phone(Y20, Y22)],
        [party(1, HAS_NUMBER)],
        [],
    ),
    "an address that was theirs until a day is another person's since": ([FORMER], [party(1, HAS_ADA)], []),
    "a former address contradicts no account": ([code("K1"), FORMER], [party(1, HAS_BOB), party(2, HAS_ADA)], [1]),
    "a contact that was corrected to another's number agrees with no address": (
        [MAIL, phone(Y24)],
        [party(1, HAS_ADA, held(Y24)), party(2, HAS_BOB, HAS_NUMBER)],
        [1],
    ),
    "periods that only touch do not overlap": ([phone(Y24, Y26)], [party(1, held(Y22, Y24))], []),
    "the former holder of a number is left out": ([phone(Y24)], ONE_THEN_OTHER, [2]),
    "the customer number decides between two": ([code("K2"), MAIL], TWO_WITH_ADA, [2]),
    "two customer numbers are two accounts of one person": ([code("K1"), code("K2")], [party(1), party(2)], [1, 2]),
    "the requester gave another person's customer number": ([code("K1"), MAIL], [party(1, HAS_BOB)], FOREIGN),
    "the requester's customer number and only another number": ([code("K1"), phone()], [party(1, HAS_OTHER)], FOREIGN),
    "the requester's customer number, and the party has no address": ([code("K1"), MAIL], [party(1)], [1]),
    "the customer number and the address of the same party": (
        [code("K1"), MAIL],
        [party(1, HAS_ADA), party(2, HAS_BOB)],
        [1],
    ),
    "one of two customer numbers is contradicted": (
        [code("K1"), code("K2"), MAIL],
        [party(1, HAS_ADA), party(2, HAS_BOB)],
        FOREIGN,
    ),
    "two hold the address and the number": (BOTH, [party(each, HAS_ADA, HAS_NUMBER) for each in (1, 2)], FOREIGN),
    "two hold the number and none the address": (BOTH, [party(each, HAS_NUMBER) for each in (1, 2)], FOREIGN),
    "the CRM itself gave the customer number": ([code("K1", "crm"), MAIL], [party(1, HAS_BOB)], [1]),
    "a customer number that is proved decides, from whatever address they write": (
        [SHOWN, MAIL],
        [party(1, HAS_BOB)],
        [1],
    ),
    "the holder of that address is left alone": ([SHOWN, MAIL], [party(1, HAS_BOB), party(2, HAS_ADA)], [1]),
    "a further stated number is no part of what is proved": (
        [SHOWN, code("K2"), MAIL],
        [party(1, HAS_ADA), party(2, HAS_BOB)],
        FOREIGN,
    ),
    "the customer number is unknown and the address another's": ([code("K9"), MAIL], [party(1, HAS_ADA)], FOREIGN),
    "another system's account id means nothing here": ([code("K9", "ticketing"), MAIL], [party(1, HAS_ADA)], [1]),
    "a party that shares nothing with the subject is dropped": ([MAIL], [party(1, HAS_BOB)], []),
}


@pytest.mark.parametrize(("identities", "hits", "expected"), CASES.values(), ids=CASES.keys())
def test_who_is_the_subject(identities: list[Identity], hits: list[Customer], expected: list[int] | str) -> None:
    if expected == FOREIGN:
        with pytest.raises(WrongPersonMatch):
            proven_customers("crm", identities, hits)
    else:
        assert [found.party["id"] for found in proven_customers("crm", identities, hits)] == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('You cannot erase party "Ada Quarz" while they have pending invoices with company "T".', "pending_invoices"),
        ('You cannot erase party "Ada Quarz" while they have pending sales.', "pending_sales"),
        ('Party "Ada Quarz" cannot be erased because they are still active.', "still_active"),
        ('The phone number "Ada" for party "Quarz" is not valid.', "invalid_phone_number"),
        ("Ada Quarz does not like it.", "not_allowed"),
    ],
)
def test_refusal_of_the_crm_is_reported_without_the_name_in_it(text: str, reason: str) -> None:
    assert reason_of(text) == reason


@pytest.mark.parametrize("said", [None, "", "maybe", 1])
def test_value_that_is_not_declared_is_not_known(said: object) -> None:
    places = CrmPlaces(DeclaredGrounds(disputed="disputed"))
    known = {"id": 1, "contract": "none", "disputed": "no"}
    assert places.swept(known).states == (False, False)
    for name, others in (("contract", ["yes", "no"]), ("disputed", ["active", "none"])):
        for value in (said, *others):
            assert None in places.swept({**known, name: value}).states


LEFT, AHEAD = {"year": 2025, "month": 3, "day": 1}, datetime(2027, 1, 1, tzinfo=UTC)
FLAGS = {"restricted": False, "marketing_opt_out": False, "name": "Ada", "active": True, "replaced_by": None}


@pytest.mark.parametrize(
    ("said", "numbers", "credit", "lasts"),
    [
        ("none", [held(Y20, Y24)], "0.00", False),
        ("none", [held(Y20, Y24), held(Y22)], None, True),
        ("none", [held(Y20, AHEAD)], None, True),
        ("none", [has_phone()], "4.50", True),
        (None, [held(Y20)], None, True),
        ("ended", [held(Y20, Y24)], None, False),
        ("ended", [held(Y20)], None, None),
        ("ended", [], "4.50", None),
    ],
)
def test_number_in_use_or_credit_is_a_contract(
    said: str | None, numbers: list[tuple[str, dict[str, Any]]], credit: str | None, *, lasts: bool | None
) -> None:
    """Where the contract is said to have ended, that contradicts it, and a person decides."""
    amount = {"__class__": "Decimal", "decimal": credit} if credit else None
    customer = party(1, *numbers)
    facts = {"contract": said, "contract_ended_on": LEFT, "credit": amount}
    customer = replace(customer, parties=[{**customer.party, **FLAGS, **facts}])
    places = CrmPlaces(DeclaredGrounds(credit="credit"))
    [record] = places.parties(customer, replace(task(Operation.ERASE, MAIL), at=Y26), data=True)
    assert record.states == (lasts,)
    assert (credit in (record.data or ())) is bool(credit)


@pytest.mark.parametrize("ended", [LEFT, None])
def test_rows_of_a_party_stay_as_long_as_a_rule_keeps_the_party(ended: dict[str, int] | None) -> None:
    """A contact has no date of its own. Where the party has none either, a person decides."""
    signed = all_signed(signed_policy())
    rule = signed.rules["invoices_84m"].model_copy(update={"category": "account", "fields": frozenset()})
    account = signed.categories["account"].model_copy(update={"kept_by": ("active_contract", "account_84m")})
    policy = signed.with_other(
        rules={**signed.rules, "account_84m": rule}, categories={**signed.categories, "account": account}
    )
    said = {"contract": "ended" if ended else "none", "contract_ended_on": ended}
    customer = Customer(
        [{"id": 1, "code": "K1", **FLAGS, **said}],
        {
            CONTACT: [{"id": 2, **HAS_ADA[1]}, {"id": 3, **HAS_BOB[1]}],
            ASSIGNMENT: [],
            ADDRESS: [{**dict.fromkeys(ADDRESS_FIELDS), "id": 4, "party": 1, "active": True, "city": "Bonn"}],
            IDENTIFIER: [{"id": 5, "party": 1, "type": "eu_vat", "code": "DE1"}],
        },
    )
    places, asked = CrmPlaces(DeclaredGrounds()), replace(task(Operation.ERASE, MAIL), at=Y26 + timedelta(days=60))
    attributor = OwnershipResolver([subject_search(asked, places.shapes)], places.shapes)
    attributor.add(places.records(customer, asked, data=False))
    keeping = RetentionDecider("crm", policy, attributor.found[0])
    if not ended:
        with pytest.raises(GroundUnknown, match="relationship_end"):
            keeping.retained()
    else:
        days = {name[0]: stay.last_day for name, stay in keeping.retained().items()}
        rows = (PARTY, CONTACT, ADDRESS, IDENTIFIER)
        assert {place: days[place] for place in rows} == dict.fromkeys(rows, date(2032, 3, 1))
