"""Which rule of the policy keeps a customer's data, by what the CRM tells of them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import ForeignHit, GroundUnknown, RuleUnsigned
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Limit, Operation
from shared.domain.policy import parse_period, read_policy
from shared.downstreams.tryton.grounds import DeclaredGrounds, Facts, Stays, stays
from shared.downstreams.tryton.party import Contact, NumberAssignment, Party
from shared.downstreams.tryton.proof import proven
from shared.downstreams.tryton.rpc import reason_of
from shared.systems.roundup.people import Person, judged
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
def test_rule_follows_from_the_policy(said: dict[str, object], rule: str | None, until: date | None) -> None:
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


# Who counts as the subject among the parties that a search in the CRM returned.
ADA, BOB, NUMBER = "ada@post.example", "bob@post.example", "+4915112345671"
Y20, Y22, Y24, Y26 = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2022, 2024, 2026))


def party(number: int, *rows: Contact | NumberAssignment) -> Party:
    anybody = Party(number, f"K{number}", "Somebody", active=True, restricted=False, marketing_opt_out=False)
    contacts = tuple(row for row in rows if isinstance(row, Contact))
    return replace(anybody, contacts=contacts, assignments=tuple(r for r in rows if isinstance(r, NumberAssignment)))


def has_phone(number: str = NUMBER) -> Contact:
    return Contact(2, "mobile", number, number, active=True)


def held(since: datetime, until: datetime | None = None) -> NumberAssignment:
    return NumberAssignment(3, NUMBER, since, until)


def has_email(value: str) -> Contact:
    return Contact(1, "email", value, value, active=True)


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
CASES: dict[str, tuple[list[Identity], list[Party], list[int] | str]] = {
    "nobody was found": ([MAIL], [], []),
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
    "a number that was theirs until a day is somebody else's contact since": (
        [phone(Y20, Y22)],
        [party(1, HAS_NUMBER)],
        [],
    ),
    "an address that was theirs until a day is somebody else's since": ([FORMER], [party(1, HAS_ADA)], []),
    "a former address contradicts nobody's account": (
        [code("K1"), FORMER],
        [party(1, HAS_BOB), party(2, HAS_ADA)],
        [1],
    ),
    "a contact that was corrected to another's number agrees with nobody's address": (
        [MAIL, phone(Y24)],
        [party(1, HAS_ADA, held(Y24)), party(2, HAS_BOB, HAS_NUMBER)],
        [1],
    ),
    "periods that only touch do not overlap": ([phone(Y24, Y26)], [party(1, held(Y22, Y24))], []),
    "the former holder of a number is left out": ([phone(Y24)], ONE_THEN_OTHER, [2]),
    "the customer number decides between two": ([code("K2"), MAIL], TWO_WITH_ADA, [2]),
    "two customer numbers are two accounts of one person": ([code("K1"), code("K2")], [party(1), party(2)], [1, 2]),
    "the requester gave somebody else's customer number": ([code("K1"), MAIL], [party(1, HAS_BOB)], FOREIGN),
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
    "whoever holds that address is left alone": ([SHOWN, MAIL], [party(1, HAS_BOB), party(2, HAS_ADA)], [1]),
    "a number that is stated besides is no part of what is proved": (
        [SHOWN, code("K2"), MAIL],
        [party(1, HAS_ADA), party(2, HAS_BOB)],
        FOREIGN,
    ),
    "the customer number is unknown and the address another's": ([code("K9"), MAIL], [party(1, HAS_ADA)], FOREIGN),
    "another system's account id means nothing here": ([code("K9", "ticketing"), MAIL], [party(1, HAS_ADA)], [1]),
    "a party that shares nothing with the subject is dropped": ([MAIL], [party(1, HAS_BOB)], []),
}


@pytest.mark.parametrize(("identities", "hits", "expected"), CASES.values(), ids=CASES.keys())
def test_who_is_the_subject(identities: list[Identity], hits: list[Party], expected: list[int] | str) -> None:
    if expected == FOREIGN:
        with pytest.raises(ForeignHit):
            proven("crm", identities, hits)
    else:
        assert [found.id for found in proven("crm", identities, hits)] == expected


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
def test_a_refusal_of_the_crm_is_told_without_the_name_in_it(text: str, reason: str) -> None:
    assert reason_of(text) == reason


# Who of a tracker's users is the subject, decided without a tracker.
A, B = "ana@example.org", "luis@example.org"
P, Q = "+34600111222", "+34600111333"


def person(identity: str, address: str = "", phone: str = "", name: str = "") -> Person:
    return Person.read({"id": identity, "address": address, "phone": phone, "realname": name})


def theirs(people: list[Person], identities: list[Identity]) -> str | None:
    """The ids of those who are proven to be the subject; None where somebody was found, and nobody is."""
    found = judged(people, identities)
    return "".join(one for one, proved in found.items() if proved) or (None if found else "")


def known(email: str = "", phone: str = "", name: str = "") -> list[Identity]:
    given = {IdentityType.EMAIL: email, IdentityType.PHONE: phone, IdentityType.NAME: name}
    return [Identity(kind, value) for kind, value in given.items() if value]


@pytest.mark.parametrize(
    ("people", "identities", "proven"),
    [
        ([person("1", A)], known(A), "1"),
        ([person("1", "ANA@Example.ORG")], known(A), "1"),
        ([person("1", f"x{A}"), person("2", f"{A}.mx")], known(A), ""),
        ([person("1", A, Q)], known(A, P, "Ana Sol"), None),
        ([person("1", A, Q, "SOL, Ána")], known(A, P, "Ana Sol"), "1"),
        ([person("1", A, "600 111 222")], known(A, P), "1"),
        ([person("1", "", "0034 600111222")], known(A, P), "1"),
        ([person("1", B, P)], known(A, P), None),
        ([person("1", A, P), person("2", A, Q)], known(A, P), "1"),
        ([person("1", A, P), person("2", A, P)], known(A, P), None),
        ([person("1", A, P, "Ana Sol"), person("2", A, P, "Luis Sol")], known(A, P, "Ana Sol"), "1"),
        ([person("1", A), person("2", A)], known(A), None),
        ([person("1", A), person("2", B)], [*known(A), *known(B)], "12"),
        ([person("1", A, name="Ana Sol")], known(name="Ana Sol"), ""),
        ([], known(A, P), ""),
    ],
)
def test_only_a_proven_hit_is_the_subject(people: list[Person], identities: list[Identity], proven: str | None) -> None:
    assert theirs(people, identities) == proven


@pytest.mark.parametrize(
    ("people", "name", "proven"),
    [
        ([person("1", A, Q)], "", "1"),
        ([person("1", A, Q, "Ana Sol")], "", "1"),
        ([person("1", A, Q)], "Ana Sol", "1"),
        ([person("1", A, Q, "Sol, Ana")], "Ana Sol", "1"),
        ([person("1", A, Q, "Luis Sol")], "Ana Sol", None),
        ([person("1", A, Q), person("2", A)], "", None),
        ([person("1", B, P)], "", None),
    ],
    ids=["nameless", "unnamed", "no name on file", "named", "another's", "held by two", "by the number alone"],
)
def test_other_number_does_not_contradict_proof(people: list[Person], name: str, proven: str | None) -> None:
    """Their number was corrected at their request, and the register of numbers does not know the new one."""
    identities = [replace(each, level="L1") for each in known(A, P)] + known(name=name)
    assert theirs(people, identities) == proven


def test_another_number_contradicts_an_address_that_several_people_share() -> None:
    shared = replace(known(A)[0], level="L1", shared=True)
    assert theirs([person("1", A, Q)], [shared, *known(phone=P)]) is None


def test_a_number_that_is_no_longer_the_subjects_finds_nobody() -> None:
    former = Identity(IdentityType.PHONE, P, None, datetime(2024, 1, 1, tzinfo=UTC))
    assert theirs([person("1", "", P)], [former]) == ""


def test_an_address_that_is_several_peoples_proves_nobody_who_has_another_name() -> None:
    shared = [Identity(IdentityType.EMAIL, A, shared=True)]
    assert theirs([person("1", A, name="Luis Sol")], shared) is None
    assert theirs([person("1", A, name="Luis Sol")], [*shared, *known(name="Ana Sol")]) is None
    assert theirs([person("1", A, name="Ana Sol")], [*shared, *known(name="Ana Sol")]) == "1"
