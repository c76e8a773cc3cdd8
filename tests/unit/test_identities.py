"""One person, one spelling: the measured table of the telecom domain (REQ-N3) and what must be refused."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumber

from services.intake.core.subject_schemas import DataSubject
from services.intake.identity.proof_links import mailbox_of
from services.intake.store.other_requests import capped_at_proof
from shared.domain import identities
from shared.domain.assignments import Line, Register, check_contact_points
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Change
from shared.domain.proofs import as_stated, proved, proves_the_same_person
from shared.domain.text import forms, in_ascii
from shared.storage.keyring import Keyring
from shared.systems.opendsr.processor import is_foreign
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.roundup.people import TrackerUser, bears_identity
from shared.systems.tryton.customer import spelled
from tests.unit.test_assignments import ADA, BEN, account, at, phone, register

SPELLINGS = [
    ("0034688886392", "ES", "+34688886392"),
    ("34688886392", "ES", "+34688886392"),
    ("688886392", "ES", "+34688886392"),
    ("+34688886392", None, "+34688886392"),
    ("0034688886392", None, "+34688886392"),
    ("011 34 688 886 392", "US", "+34688886392"),
    ("4155550132 ext. 12", "US", "+14155550132"),
    ("tel:+14155550132;ext=7", None, "+14155550132"),
    ("sip:+14155550132@pbx.example.com;user=phone", None, "+14155550132"),
    ("sip:%2B14155550132@pbx.example.com", None, "+14155550132"),
    ("+14155550132@pbx", None, "+14155550132"),
    ("+39 06 1234 5678", None, "+390612345678"),
    ("+44 (0)20 7946 0018", None, "+442079460018"),
]
NO_NUMBERS = [
    ("00034688886392", "ES"),
    ("+3400034688886392", None),
    ("1001", "US"),
    ("911", "US"),
    ("112", "DE"),
    ("anonymous", None),
    ("anonymous", "ES"),
    ("sip:anonymous@anonymous.invalid", "ES"),
    ("688886392", None),
    ("4155550132", None),
    ("", "ES"),
    ("+ +", None),
    ("+34 688 886 392 and more", None),
    ("+3\u0664688886392", None),
    ("+34" + " " * 21 + "688886392", None),
    ("+99912345678", None),
    ("+21012345678", None),
]


@pytest.mark.parametrize(("raw", "region", "expected"), SPELLINGS)
def test_every_spelling_of_a_number_becomes_the_same_e164(raw: str, region: str | None, expected: str) -> None:
    assert normalise(IdentityType.PHONE, raw, region) == expected


def test_the_quick_check_of_e164_agrees_with_phonenumbers_for_every_calling_code() -> None:
    rng = Random(20_260_301)  # noqa: S311 - the same numbers every time
    disagreements = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for example in {_example(code, region) for region in regions}:
            for _ in range(12):
                national = _disturbed(rng, example)
                number = PhoneNumber(
                    country_code=code,
                    national_number=int(national),
                    italian_leading_zero=national.startswith("0") or None,
                    number_of_leading_zeros=len(national) - len(national.lstrip("0")) or None,
                )
                if phonenumbers.is_valid_number(number) != _accepted(f"+{code}{national}", number):
                    disagreements.append((code, national))
    assert disagreements == []


def _example(code: int, region: str) -> str:
    example = (
        phonenumbers.example_number_for_non_geo_entity(code)
        if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
        else phonenumbers.example_number(region)
    )
    assert example is not None
    return str(phonenumbers.national_significant_number(example))


def _disturbed(rng: Random, national: str) -> str:
    position = rng.randrange(len(national))
    changed = national[:position] + str(rng.randrange(10)) + national[position + 1 :]
    return changed + "1" if rng.random() < 0.2 else changed


def _accepted(e164: str, number: PhoneNumber) -> bool:
    try:
        return normalise(IdentityType.PHONE, e164) == phonenumbers.format_number(
            number, phonenumbers.PhoneNumberFormat.E164
        )
    except MalformedIdentity:
        return False


LONGEST = {
    IdentityType.EMAIL: "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 61,
    IdentityType.SIP_URI: "sip:" + "a" * 240 + "@pbx.example.com",
    IdentityType.ACCOUNT_ID: "C" * 128,
    IdentityType.NAME: "a" * 200,
}


@pytest.mark.parametrize(
    ("number", "country"),
    [
        *(("+493023125077", "DE"), ("+351213450862", "PT"), ("+14155550132", "US"), ("+14165550132", "CA")),
        *(("+390612345678", "IT"), ("+80012345678", None), ("1001", None), ("sip:ada@pbx.example", None)),
    ],
)
def test_country_of_a_number(number: str, country: str | None) -> None:
    assert identities.country_of_number(number) == country


@pytest.mark.parametrize(
    ("type_", "raw", "expected"),
    [
        (IdentityType.EMAIL, "  Lucia.FERRER@Correo.Example.COM ", "lucia.ferrer@correo.example.com"),
        (IdentityType.EMAIL, "o'brien+dsr@example.org", "o'brien+dsr@example.org"),
        (IdentityType.SIP_URI, "sip:Anna@PBX.Example.com:5060;transport=tcp", "sip:Anna@pbx.example.com:5060"),
        (IdentityType.SIP_URI, "<SIPS:an%6Ea@pbx.example.com>", "sip:anna@pbx.example.com"),
        (IdentityType.SIP_URI, "anna:secret@[2001:DB8::1]", "sip:anna@[2001:db8::1]"),
        (IdentityType.ACCOUNT_ID, " C-001842 ", "C-001842"),
        (IdentityType.NAME, "  Lucía   Ferrer Vidal\n", "Lucía Ferrer Vidal"),
        *((type_, longest, longest) for type_, longest in LONGEST.items()),
        (IdentityType.PHONE, "+34" + " " * 20 + "688886392", "+34688886392"),
        (IdentityType.NAME, " " * 496 + "Anna", "Anna"),
    ],
)
def test_other_identities_have_one_spelling_too(type_: IdentityType, raw: str, expected: str) -> None:
    assert normalise(type_, raw) == expected


@pytest.mark.parametrize("padding", [";", " ", "-", ",", "x", "("])
def test_overlong_number_is_refused_unread(monkeypatch: pytest.MonkeyPatch, padding: str) -> None:
    def read(*_: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(phonenumbers, "parse", read)
    monkeypatch.setattr(identities, "_EXTENSION", None)
    for number in ("688886392" + padding * 30 + "1", "+34" + padding * 100_000 + "688886392"):
        with pytest.raises(MalformedIdentity):
            normalise(IdentityType.PHONE, number, "ES")


@pytest.mark.parametrize(
    "raw", ["Idn@xn--exmple-cua.org", "idn@EXÄMPLE.org", "idn@exa\u0308mple.org", "idn@XN--EXMPLE-CUA.ORG"]
)
def test_an_internationalised_domain_is_the_same_in_ascii_and_in_letters(raw: str) -> None:
    value = normalise(IdentityType.EMAIL, raw)
    assert value == "idn@exämple.org"
    assert {"idn@exämple.org", "idn@xn--exmple-cua.org"} < {*forms(value)}, "a store may have either"
    assert in_ascii(value) == "idn@xn--exmple-cua.org", "mail goes by either"
    assert normalise(IdentityType.EMAIL, "a@faß.de") != normalise(IdentityType.EMAIL, "a@fass.de"), "two domains"


def test_what_looks_the_same_is_the_same() -> None:
    composed, decomposed = "Jos\u00e9 N\u00fa\u00f1ez", "Jose\u0301 Nu\u0301n\u0303ez"
    assert normalise(IdentityType.NAME, decomposed) == composed
    address = normalise(IdentityType.EMAIL, "jose\u0301@example.org")
    assert address == "jos\u00e9@example.org"
    assert normalise(IdentityType.SIP_URI, "sip:jose%CC%81@example.org") == "sip:jos\u00e9@example.org"


MALFORMED = {
    IdentityType.EMAIL: [
        *("anna", "anna@localhost", "anna@b.example, eve@c.example", "anna@exa mple.org", "anna..b@example.org"),
        *(".anna@example.org", "anna.@example.org", LONGEST[IdentityType.EMAIL] + "d"),
        *("a" * 65 + "@example.org", "anna@" + "a." * 130 + "org", "an\u0130a@example.org", "an\x85na@example.org"),
    ],
    IdentityType.SIP_URI: [
        *("pbx.example.com", "sip:anna@", "sip:an%20na@pbx.example.com", "sip:an%00na@pbx.example.com"),
        *("sip:an%C2%85na@pbx.example.com", LONGEST[IdentityType.SIP_URI] + "m"),
    ],
    IdentityType.ACCOUNT_ID: ["' OR 1=1", "", "C" * 129, "C-1\x00"],
    IdentityType.NAME: ["   ", "a\x00b", "a" * 201, "a\ud800", " " * 497 + "Anna"],
}
REFUSED = [
    *((IdentityType.PHONE, raw, region) for raw, region in NO_NUMBERS),
    *((type_, raw, None) for type_, raws in MALFORMED.items() for raw in raws),
]


@pytest.mark.parametrize(("type_", "raw", "region"), REFUSED)
def test_bad_input_is_refused_without_repeating_it(type_: IdentityType, raw: str, region: str | None) -> None:
    with pytest.raises(MalformedIdentity) as refusal:
        normalise(type_, raw, region)
    assert not raw or raw not in str(refusal.value)


# Text is compared in its composed form, whichever form a system has stored.
COMPOSED, DECOMPOSED = "jos\u00e9@example.org", "JOSE\u0301@example.org"
SUBJECT = Identity(IdentityType.EMAIL, COMPOSED)


def test_what_is_submitted_is_composed() -> None:
    said = DataSubject(email=DECOMPOSED, name="Jose\u0301")
    assert [identity.value for identity in said.identities()] == [COMPOSED, "Jos\u00e9"]
    assert Change(field="name", asserted="Jose\u0301").asserted == "Jos\u00e9"


def test_a_number_that_is_said_again_is_one_identity_for_each_of_its_periods() -> None:
    said = [("688 88 63 92", "2024-01-01"), ("688 88 63 92", "2025-01-01"), ("+34688886392", "2024-01-01")]
    phones = [{"number": number, "region": "ES", "since": f"{since}T00:00:00Z"} for number, since in said * 10]
    known = list(DataSubject.model_validate({"phones": phones}).identities())
    assert [(each.value, each.valid_from and each.valid_from.year) for each in known] == [
        ("+34688886392", 2024),
        ("+34688886392", 2025),
    ]


@pytest.mark.parametrize("stored", [COMPOSED, DECOMPOSED])
def test_what_a_system_has_stored_is_found_in_either_form(stored: str) -> None:
    assert bears_identity(TrackerUser.read({"id": "1", "address": stored}), SUBJECT)
    assert spelled(None, stored) == COMPOSED
    settings = OpenDsrSettings(url="http://localhost")  # type: ignore[arg-type]  # pydantic reads it
    assert not is_foreign({"email": stored}, [SUBJECT], settings)
    assert is_foreign({"email": f"x{stored}"}, [SUBJECT], settings)


# An address and a number together prove more only if both lead to one account in our own systems.
ON_FILE = timedelta(days=30)
ADDRESS = Identity(IdentityType.EMAIL, "ada@example.org", level="L2", together=True)
NUMBER = replace(phone(), level="L2", together=True)
ACCOUNT = replace(account(ADA), level="L1")
OF_RECORD = replace(ADDRESS, source="crm", level="L1", together=False)
KNOWN = (ADDRESS, NUMBER, ACCOUNT, OF_RECORD)
HERS = register((ADA, 0, None))


def levels(identities: Sequence[Identity], register: Register = HERS, today: int = 100) -> list[str]:
    return [each.level for each in check_contact_points(identities, register, ON_FILE, at(today))]


def test_both_lead_to_one_account_which_is_as_well_proved_as_they_are() -> None:
    assert levels(KNOWN) == ["L2", "L2", "L2", "L1"]


NOT_CONFIRMED = ["L1", "L1", "L1", "L1"]


@pytest.mark.parametrize(
    "register",
    [Register(), register(), register((BEN, 0, None)), register((ADA, 0, 50)), register((ADA, 80, None))],
    ids=["no register", "unassigned", "another person's", "given back", "not theirs for thirty days"],
)
def test_a_number_that_the_register_does_not_show_as_that_accounts_proves_nothing_more(register: Register) -> None:
    assert levels(KNOWN, register) == NOT_CONFIRMED


def test_a_line_that_others_use_too_proves_nothing_more() -> None:
    lines = {key: [replace(each, line=Line.SHARED) for each in rows] for key, rows in (HERS.assignments or {}).items()}
    assert levels(KNOWN, replace(HERS, assignments=lines)) == NOT_CONFIRMED


@pytest.mark.parametrize(
    "found",
    [
        (ACCOUNT,),
        (ACCOUNT, replace(OF_RECORD, value="other@example.org")),
        (ACCOUNT, replace(OF_RECORD, valid_to=at(50))),
        (ACCOUNT, replace(OF_RECORD, source="requester")),
        (OF_RECORD,),
        (replace(ACCOUNT, source="requester"), OF_RECORD),
        (replace(ACCOUNT, level="L0"), OF_RECORD),
        (ACCOUNT, OF_RECORD, replace(account(BEN), level="L1")),
    ],
    ids=[
        "no address",
        "another one",
        "a former one",
        "stated",
        "no account",
        "a stated one",
        "unproved",
        "two of them",
    ],
)
def test_an_address_that_no_system_knows_as_that_one_accounts_proves_nothing_more(found: tuple[Identity, ...]) -> None:
    assert levels((ADDRESS, NUMBER, *found))[:2] == ["L1", "L1"]


def test_what_one_of_them_was_proved_by_being_wrong_leaves_the_other_as_one() -> None:
    assert levels((ADDRESS, replace(NUMBER, level="L0"), ACCOUNT, OF_RECORD)) == ["L1", "L0", "L1", "L1"]


def test_what_is_proved_alone_stays_as_it_is() -> None:
    alone = (replace(ADDRESS, together=False), replace(NUMBER, level="L1", together=False))
    assert levels(alone, Register()) == ["L2", "L1"]
    assert levels((replace(ADDRESS, level="L0"),), Register()) == ["L0"]


# Parts that two people have proved never join in one request, in whatever order they prove them; pure.
KINDS = (IdentityType.EMAIL, IdentityType.ACCOUNT_ID, IdentityType.PHONE)
OF = {who: tuple(Identity(kind, f"{kind}-of-{who}") for kind in KINDS) for who in ("ada", "eve")}
EMAIL, ACCOUNT_PERSON, PHONE = OF["ada"]
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def together(*identities: Identity) -> tuple[Identity, ...]:
    return tuple(replace(each, level="L1") for each in identities)


def yielded(*identities: Identity, shared: bool = False) -> tuple[Identity, ...]:
    return tuple(replace(each, level="L1", source="crm", shared=shared) for each in identities)


def owner(each: Identity) -> str:
    return each.value.rpartition("-")[2]


@st.composite
def histories(draw: st.DrawFn) -> tuple[tuple[Identity, ...], list[tuple[str, tuple[Identity, ...]]]]:
    """Draws the stated identities, and who proves which of them in turn; or systems are searched."""
    every = st.sampled_from([each for who in OF for each in OF[who]])
    stated = tuple(draw(st.lists(every, min_size=1, unique=True)))
    steps: list[tuple[str, tuple[Identity, ...]]] = []
    for who in draw(st.lists(st.sampled_from(["ada", "eve", "search"]), max_size=6)):
        theirs = [each for each in stated if owner(each) == who]
        chosen = draw(st.lists(st.sampled_from(theirs), min_size=1, unique=True)) if theirs else []
        steps.append((who, tuple(chosen)))
    return stated, steps


@given(histories())
def test_proofs_of_two_people_count_for_one_in_any_order(
    history: tuple[tuple[Identity, ...], Sequence[tuple[str, tuple[Identity, ...]]]],
) -> None:
    stated, steps = history
    found: tuple[Identity, ...] = ()
    first: str | None = None
    for who, chosen in steps:
        counts = {owner(each) for each in proved(stated, "L1")}
        if who == "search":  # each system finds the person filed under a proved identity, with their others
            found = yielded(*(each for whose in counts for each in OF[whose]))
            continue
        joins = proves_the_same_person((*stated, *found), together(*chosen))
        if chosen and joins:
            stated = tuple(replace(each, level="L1") if each in chosen else each for each in stated)
        first = first or (who if chosen else None)
        assert {owner(each) for each in proved(stated, "L1")} <= {first}
        if chosen and who == first and found:
            assert joins, "whom the systems have found goes on by all that they know"


SHOWN = (
    (EMAIL, ACCOUNT_PERSON),  # nothing was proved before
    together(EMAIL, ACCOUNT_PERSON),
    (*together(EMAIL), ACCOUNT_PERSON, *yielded(ACCOUNT_PERSON)),
)
NOT_SHOWN = (
    (*together(EMAIL), ACCOUNT_PERSON),
    (*together(EMAIL), ACCOUNT_PERSON, *yielded(ACCOUNT_PERSON, shared=True)),
    (*together(EMAIL), ACCOUNT_PERSON, *yielded(replace(ACCOUNT_PERSON, valid_to=NOW))),
    (*together(EMAIL), ACCOUNT_PERSON, replace(ACCOUNT_PERSON, source="crm")),  # found by an unproved identity
)


def test_a_later_proof_counts_where_it_is_shown_to_be_theirs() -> None:
    assert all(proves_the_same_person(known, together(ACCOUNT_PERSON)) for known in SHOWN)
    assert not any(proves_the_same_person(known, together(ACCOUNT_PERSON)) for known in NOT_SHOWN)


def test_identities_proved_together_belong_to_one_person() -> None:
    known = (*together(EMAIL), ACCOUNT_PERSON)
    assert proves_the_same_person(known, together(EMAIL, ACCOUNT_PERSON))
    assert proves_the_same_person(known, as_stated(together(ACCOUNT_PERSON))), "nothing is proved, so nothing joins"


def test_shared_address_joins_no_proofs() -> None:
    known = (*together(EMAIL), ACCOUNT_PERSON, *yielded(EMAIL, shared=True))
    assert not proves_the_same_person(known, together(EMAIL, ACCOUNT_PERSON))


def test_account_that_a_row_only_names_joins_no_proofs() -> None:
    known = (*together(EMAIL), *(replace(each, claimed=True) for each in yielded(ACCOUNT_PERSON)))
    assert not proves_the_same_person(known, together(ACCOUNT_PERSON))
    assert proves_the_same_person((*together(EMAIL), *yielded(ACCOUNT_PERSON)), together(ACCOUNT_PERSON))


# Which addresses are one mailbox; pure.
WORDS = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)


@given(WORDS, st.lists(WORDS, max_size=3))
def test_what_follows_a_plus_makes_no_other_mailbox(local: str, more: list[str]) -> None:
    assert mailbox_of("+".join([local, *more]) + "@example.org") == f"{local}@example.org"


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        ("a.d.a@gmail.com", "ada@gmail.com"),
        ("a.d.a@example.org", "a.d.a@example.org"),
        ("+ada@example.org", "+ada@example.org"),
        ("ada@+.example", "ada@+.example"),
    ],
)
def test_a_dot_makes_another_mailbox_where_it_does(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


# Identities located by an earlier erasure count as proved as well as the current proof, and no better; pure.
STATED_EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
STATED_ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="desk", level="L2")


def test_what_was_located_then_is_proved_as_well_as_who_asks_now(keys: Keyring) -> None:
    mark = keys.fingerprint(STATED_EMAIL)
    then = (replace(STATED_EMAIL, level="L2"), STATED_ACCOUNT, replace(STATED_ACCOUNT, value="C2", level="L0"))
    assert capped_at_proof(keys, [STATED_EMAIL], mark, then) == [replace(STATED_ACCOUNT, level="L1")]
    assert capped_at_proof(keys, [replace(STATED_EMAIL, level="L3")], mark, then) == [STATED_ACCOUNT]


def test_earlier_identities_need_the_same_proof(keys: Keyring) -> None:
    other = replace(STATED_EMAIL, value="eve@example.org")
    assert capped_at_proof(keys, [other], keys.fingerprint(STATED_EMAIL), [STATED_ACCOUNT]) == []
    assert (
        capped_at_proof(keys, [replace(STATED_EMAIL, level="L0")], keys.fingerprint(STATED_EMAIL), [STATED_ACCOUNT])
        == []
    )
