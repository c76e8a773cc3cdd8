"""One person, one spelling: the measured table of the telecom domain (REQ-N3) and what must be refused."""

from random import Random

import phonenumbers
import pytest
from phonenumbers import PhoneNumber

from shared.domain import identities
from shared.domain.identities import IdentityType, MalformedIdentity, normalise
from shared.domain.text import forms, in_ascii

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
def test_what_is_longer_than_any_number_is_refused_before_anything_reads_it(
    monkeypatch: pytest.MonkeyPatch, padding: str
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("somebody reads it")

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
