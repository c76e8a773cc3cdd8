"""What comes with a portability package, so that other software can load it (Art. 20(1))."""

import json
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from services.export.pieces import Piece
from services.export.vcard import card
from shared.domain.rights import Right
from shared.domain.sentences import Sentence
from shared.domain.wording import Language, read_wordings
from tests.fixtures.packages import made_of, unpacked

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ACCOUNT = Piece("crm", "account", "crm", {"name": "Zoë, Ångström; & Co\\", "tags": ["a"], "vip": None})
MAIL = Piece("crm", "contact", "crm", {"kind": "email", "value": "zoe@example.org"})
HOME = Piece("crm", "address", "crm", {"street": "Hauptstraße 5", "city": "Berlin", "postal_code": "10115"})


async def test_its_schema_takes_every_record_and_no_other_field() -> None:
    files = unpacked(await made_of([ACCOUNT, MAIL, HOME], Right.PORTABILITY, AT))
    schema = json.loads(files["schema.json"])
    Draft202012Validator.check_schema(schema)
    validator, records = Draft202012Validator(schema), [json.loads(line) for line in files["data.jsonl"].splitlines()]
    assert [list(validator.iter_errors(record)) for record in records] == [[], [], []]
    records[1]["data"]["score"] = 3
    assert list(validator.iter_errors(records[1]))


async def test_it_has_no_report_and_an_access_no_card() -> None:
    portable, access = [unpacked(await made_of([ACCOUNT], right, AT)) for right in (Right.PORTABILITY, Right.ACCESS)]
    assert ("report.html" in portable, "contacts.vcf" in portable, "schema.json" in portable) == (False, True, True)
    assert ("report.html" in access, "contacts.vcf" in access, "schema.json" in access) == (True, False, False)


async def test_what_the_policy_holds_by_no_consent_and_no_contract_stays() -> None:
    flags = Piece("crm", "suppression", "crm", {"channel": "email"})
    files = unpacked(await made_of([ACCOUNT, flags], Right.PORTABILITY, AT))
    assert "suppression.csv" not in files
    assert "suppression.csv" in unpacked(await made_of([ACCOUNT, flags], Right.ACCESS, AT))


def test_contacts_are_a_card_with_every_mark_escaped_and_each_value_once() -> None:
    assert card([ACCOUNT, MAIL, MAIL, HOME]).decode().split("\r\n") == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        "FN:Zoë\\, Ångström\\; & Co\\\\",
        "EMAIL:zoe@example.org",
        "ADR:;;Hauptstraße 5;Berlin;;10115;",
        "END:VCARD",
        "",
    ]
    assert card([Piece("cdr", "call_record", "cdr", {"to": "+34688886392"})]) == b""


@pytest.mark.parametrize("letter", ["a", "ß", "😀"])
def test_no_line_is_longer_than_75_octets_and_none_is_cut_within_a_character(letter: str) -> None:
    content = card([Piece("crm", "account", "crm", {"name": letter * 100})])
    lines = content.split(b"\r\n")
    assert max(map(len, lines)) <= 75
    assert content.replace(b"\r\n ", b"").decode().splitlines()[2] == f"FN:{letter * 100}"


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "no protocol exists"),
        ("de", "kein Protokoll"),
        ("fr", "faute de protocole"),
        ("es", "no existe un protocolo"),
    ],
)
def test_the_letter_says_why_nothing_is_sent_to_another_provider(language: Language, said: str) -> None:
    told = read_wordings().of(language, "UTC").text(Sentence("answer.portable_ready", {}))
    assert said in told
