"""The package: everything that was found, readable by the subject and by another provider's software."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from jsonschema import Draft202012Validator
from uuid_utils.compat import uuid7

from services.export.pieces import Piece, read
from services.export.tables import MARK, cell, rows
from services.export.vcard import card
from shared.domain.rights import Right
from shared.domain.sentences import Sentence
from shared.domain.wording import Language, read_wordings
from shared.downstreams.contract import Record
from shared.downstreams.in_parts import HELD
from shared.downstreams.roundup.adapter import Copies
from shared.downstreams.roundup.export import Holdings
from tests.fixtures.packages import described, made_of, unpacked

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "call", "acc_cdrs", {"started": "2026-01-01T10:00:00Z", "seconds": 61, "to": "+442079460000"})
SHORT_CALL = Piece("cdr", "call", "missed_calls", {"started": "2026-01-02T10:00:00Z", "reason": None})
CONTACT = Piece("crm", "contact", "party", {"name": 'Zoë Ångström, "Zo"', "tags": ["a", "b"], "vip": True})


def unmarked(text: str) -> str:
    """What was there, by what the README says."""
    return re.sub(r"(;|\t|\r|\n)([;\s\"\ufeff]*)'", r"\1\2", text.removeprefix(MARK))


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


async def test_a_package_holds_all_records_in_one_file_and_a_table_of_each_category() -> None:
    content = await made_of([CALL, SHORT_CALL, CONTACT], Right.PORTABILITY, AT)
    files, told = unpacked(content), described(content)
    assert {"data.jsonl", "call.csv", "contact.csv", "README.txt", "package.json"} <= set(files)
    assert [record["data"] for record in told["records"]] == [CALL.data, SHORT_CALL.data, CONTACT.data]
    assert (told["right"], told["made_at"]) == ("portability", "2026-03-02T09:30:00+00:00")
    assert told["categories"] == {"call": 2, "contact": 1}
    assert b"call.csv: calls (rows: 2; from: call records (cdr))" in files["README.txt"]
    said = {name: (each["bytes"], each["sha256"]) for name, each in told["files"].items()}
    del files["package.json"]
    assert said == {name: (len(each), hashlib.sha256(each).hexdigest()) for name, each in files.items()}


async def test_a_table_has_every_field_of_its_category_and_nothing_is_lost_in_quoting() -> None:
    files = unpacked(await made_of([CALL, SHORT_CALL, CONTACT], Right.ACCESS, AT))
    first, second = table(files["call.csv"])
    assert first == {
        "system": "cdr",
        "source": "acc_cdrs",
        **CALL.data,
        "to": f"'{CALL.data['to']}",
        "seconds": "61",
        "reason": "",
    }
    assert (second["seconds"], second["reason"]) == ("", "")
    [contact] = table(files["contact.csv"])
    assert (contact["name"], contact["tags"], contact["vip"]) == (CONTACT.data["name"], '["a","b"]', "true")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "=HYPERLINK(1)",
            "@SUM(1)",
            "+34688886392",
            "-1+cmd",
            "+A1",
            "'=1",
            "'quoted'",
            "  =1",
            "\ufeff=1",
            "\uff1d1",
        ),
        *(
            "\t=1",
            "\r=1",
            "\n=1",
            ";=1",
            'hello;=HYPERLINK("http://evil")',
            "a\t-1",
            'a; "=1"',
            "a;'b",
            "a\n=1",
            ";;@A",
        ),
        *("\thello", "a;b;+1;c", 'a";"=1'),
    ],
)
async def test_no_cell_is_a_formula_and_whoever_takes_the_mark_away_has_what_was_there(text: str) -> None:
    piece = Piece(text, "notes", text, {"text": text, text: 1, "more": [text]})
    files = unpacked(await made_of([piece], Right.ACCESS, AT))
    [row] = table(files["notes.csv"])
    assert row["system"] == row["source"] == row["text"] != text
    assert (unmarked(row["text"]), unmarked(list(row)[3])) == (text, text)
    assert json.loads(unmarked(row["more"])) == [text]
    for separator in (",", ";", "\t"):
        for cells in csv.reader(io.StringIO(files["notes.csv"].decode(), newline=""), delimiter=separator):
            assert not [each for each in cells if re.match(r'[\s\ufeff"]*[=@+\-\uff1d]', each)], separator
    assert orjson.loads(files["data.jsonl"])["data"] == {"text": text, text: 1, "more": [text]}


def test_what_no_spreadsheet_computes_is_not_marked() -> None:
    for text in ("Ada Lovelace", "1; 2; 3", "a - b", "x=1", "it's", "ann@example.org;eve@example.org", '"-" said she'):
        assert unmarked(cell(text)) == text
    assert [cell(each) for each in ("x=1", "a - b", "1; 2", -5, None)] == ["x=1", "a - b", "1; 2", "-5", ""]
    assert rows([Piece("a", "b", "c", {"n": 1})], ["n"]) == b'"a","c","1"\r\n'


async def test_the_same_records_make_the_same_bytes() -> None:
    first, second = [await made_of([CALL, CONTACT], Right.ACCESS, AT) for _ in range(2)]
    assert first == second


async def test_a_kind_of_data_that_the_policy_does_not_know_is_not_portable() -> None:
    horoscope = Piece("shop", "horoscope", "shop", {"sign": "Leo"})
    assert not await made_of([horoscope], Right.PORTABILITY, AT)
    both = described(await made_of([horoscope, CONTACT], Right.PORTABILITY, AT))
    assert both["categories"] == {"contact": 1}
    assert described(await made_of([horoscope, CONTACT], Right.ACCESS, AT))["categories"] == {
        "contact": 1,
        "horoscope": 1,
    }


async def test_nothing_makes_no_package() -> None:
    assert not await made_of([], Right.ACCESS, AT)


def test_portability_takes_what_the_person_has_provided_field_by_field_and_access_takes_all() -> None:
    given = orjson.dumps(
        [
            ["contact", "party", {"name": "Zoë", "score": 3, "segment": "A"}, ["score", "segment"]],
            ["score", "risk", {"score": 3}, False],
            ["flags", "party", {"vip": True}, ["vip"]],
            ["notes", "party", {"text": "called"}, True],
        ]
    )
    taken = list(read("crm", given, Right.PORTABILITY, lambda category: category != "notes"))
    assert [(piece.category, piece.data) for piece in taken] == [("contact", {"name": "Zoë"})]
    everything = list(read("crm", given, Right.ACCESS, lambda category: category != "notes"))
    assert [piece.category for piece in everything] == ["contact", "score", "flags", "notes"]
    assert everything[0].data == {"name": "Zoë", "score": 3, "segment": "A"}


async def test_the_explanation_says_which_right_it_answers() -> None:
    access = unpacked(await made_of([CALL], Right.ACCESS, AT))["README.txt"].decode()
    portability = unpacked(await made_of([CALL], Right.PORTABILITY, AT))["README.txt"].decode()
    assert "a copy of the personal data" in access
    assert "to take elsewhere" in portability
    assert "as of 2 March 2026, 09:30 UTC" in access


# A copy of many texts and files goes out while it is read: nobody holds all of it.
FILE = 2**20


def files(*ids: int) -> Holdings:
    return {("file", str(n)): Record("file", "ticketing", {"id": str(n), "content": "x" * FILE}) for n in ids}


async def test_no_more_is_held_than_a_portion_and_the_rest_is_in_the_receipt() -> None:
    ann, bob, most = uuid7(), uuid7(), 0
    given: list[tuple[UUID, int]] = []

    async def hand_over(task_id: UUID, records: Sequence[Record]) -> None:
        given.append((task_id, len(records)))

    copies = Copies({ann: {"file": [str(n) for n in range(40)]}, bob: {"file": ["39", "40"]}}, hand_over)
    for start in range(0, 41, 3):
        await copies.take(files(*range(start, min(start + 3, 41))))
        held = [copies.receipt(each, {}).records for each in (ann, bob)]
        most = max(most, sum(len(str(record.data["content"])) for records in held for record in records))
    assert most <= HELD, "what is handed over is not kept"
    told = {each: copies.receipt(each, {}) for each in (ann, bob)}
    assert {each: told[each].found for each in told} == {ann: 40, bob: 2}, "what two people share is both's"
    for task_id, receipt in told.items():
        assert sum(n for each, n in given if each == task_id) + len(receipt.records) == receipt.found
        assert receipt.parts == sum(each == task_id for each, _ in given)


async def test_who_takes_no_parts_gets_all_of_it_at_once() -> None:
    copies = Copies({(ann := uuid7()): {"file": ["1", "2"]}}, None)
    await copies.take(files(1, 2, 3))
    told = copies.receipt(ann, {"msg": ["7"]})
    assert (len(told.records), told.parts, told.written_by_others) == (2, 0, 1)


# What comes with a portability package, so that other software can load it (Art. 20(1)).
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
