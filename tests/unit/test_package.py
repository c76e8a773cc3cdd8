"""The package: everything that was found, readable by the subject and by another provider's software."""

import csv
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson
import pytest

from services.export.pieces import Piece, read
from services.export.tables import MARK, cell, rows
from shared.domain.errors import Misconfigured
from shared.domain.languages import Language
from shared.domain.rights import Right
from shared.domain.sentences import Sentence
from shared.domain.wording import read_wordings
from tests.fixtures.package_check import ITEMS, check
from tests.fixtures.packages import described, made_of, unpacked
from tests.fixtures.reports import AT as REPORTED_AT
from tests.fixtures.reports import LEGENDS, NOTE, call, task

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "call", "acc_cdrs", {"started": "2026-01-01T10:00:00Z", "seconds": 61, "to": "+442079460000"})
SHORT_CALL = Piece("cdr", "call", "missed_calls", {"started": "2026-01-02T10:00:00Z", "reason": None})
CONTACT = Piece("crm", "contact", "party", {"name": 'Zoë Ångström, "Zo"', "tags": ["a", "b"], "vip": True})


def unmarked(text: str) -> str:
    """Returns the original text, by the README's rule."""
    return re.sub(r"(;|\t|\r|\n)([;\s\"\ufeff]*)'", r"\1\2", text.removeprefix(MARK))


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


async def test_a_package_holds_all_records_in_one_file_and_a_table_of_each_category() -> None:
    content = await made_of([CALL, SHORT_CALL, CONTACT], Right.PORTABILITY, AT)
    files, description = unpacked(content), described(content)
    assert {"data.jsonl", "call.csv", "contact.csv", "README.txt", "package.json"} <= set(files)
    assert [record["data"] for record in description["records"]] == [CALL.data, SHORT_CALL.data, CONTACT.data]
    assert (description["right"], description["made_at"]) == ("portability", "2026-03-02T09:30:00+00:00")
    assert description["categories"] == {"call": 2, "contact": 1}
    assert b"call.csv: calls (rows: 2; from: call records (cdr))" in files["README.txt"]
    said = {name: (each["bytes"], each["sha256"]) for name, each in description["files"].items()}
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
async def test_no_cell_is_a_formula_and_the_original_is_recoverable(text: str) -> None:
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


# What comes with a portability package, so that other software can load it (Art. 20(1)).
ACCOUNT = Piece("crm", "account", "crm", {"name": "Zoë, Ångström; & Co\\", "tags": ["a"], "vip": None})
MAIL = Piece("crm", "contact", "crm", {"kind": "email", "value": "zoe@example.org"})
HOME = Piece("crm", "address", "crm", {"street": "Hauptstraße 5", "city": "Berlin", "postal_code": "10115"})


async def test_it_has_a_schema_and_an_access_a_report() -> None:
    portable, access = [unpacked(await made_of([ACCOUNT], right, AT)) for right in (Right.PORTABILITY, Right.ACCESS)]
    assert ("report.html" in portable, "schema.json" in portable) == (False, True)
    assert ("report.html" in access, "schema.json" in access) == (True, False)


async def test_what_the_policy_holds_by_no_consent_and_no_contract_stays() -> None:
    flags = Piece("crm", "suppression", "crm", {"channel": "email"})
    files = unpacked(await made_of([ACCOUNT, flags], Right.PORTABILITY, AT))
    assert "suppression.csv" not in files
    assert "suppression.csv" in unpacked(await made_of([ACCOUNT, flags], Right.ACCESS, AT))


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
    text = read_wordings().of(language, "UTC").text(Sentence("answer.portable_ready", {}))
    assert said in text


# The command finds whatever a package does not answer, and every row that is not where it should be.


async def access() -> dict[str, bytes]:
    hidden = call(**{"from": "withheld"})
    return unpacked(
        await made_of([call(), hidden, NOTE], Right.ACCESS, REPORTED_AT, legends=LEGENDS, reports=(task("cdr"),))
    )


def packed(files: Mapping[str, bytes], *, described: bool = True) -> bytes:
    """The files as a package, which says of itself what is in it by now."""
    if described:
        description = json.loads(files["package.json"])
        description["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != "package.json"
        }
        files = {**files, "package.json": json.dumps(description).encode()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


async def test_a_package_as_it_was_made_has_no_fault() -> None:
    assert check(packed(await access())).faults == []


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("report.html", 'data-item="A15.c"', 'data-item="A15.z"', "A15.c is not answered"),
        (
            "report.html",
            'data-item="A15.d" data-status="answered"',
            'data-item="A15.d" data-status="no"',
            "A15.d must be",
        ),
        ("report.html", 'data-about="account"', 'data-about="call_record"', "A15.b says nothing of account"),
        ("report.html", 'data-withheld="1"', 'data-withheld="0"', "A15.4: of call_record 1 rows hide something"),
        ("report.html", 'data-explained="yes"', 'data-explained="no"', "A15.X1: no text explains"),
        ("report.html", 'data-rows="2"', 'data-rows="3"', "report.html says 3 rows of call_record"),
        (
            "report.html",
            'data-item="A15.X2" data-status="not_applicable"',
            'data-item="A15.X2" data-status="answered"',
            "A15.X2",
        ),
        ("call_record.csv", "withheld", "+34600000000", "call_record.csv has not the 2 rows"),
        ("data.jsonl", '"withheld"', '"+34600000000"', "call_record.csv has not the 2 rows"),
    ],
)
async def test_what_is_missing_or_untrue_is_found(name: str, old: str, new: str, fault: str) -> None:
    files = await access()
    changed = files[name].decode().replace(old, new)
    assert changed != files[name].decode()
    faults = check(packed({**files, name: changed.encode()})).faults
    assert any(each.startswith(fault) for each in faults), faults


async def test_unknown_category_is_a_fault_and_no_item_is_both_answered_and_wrong() -> None:
    content = await made_of([Piece("shop", "horoscope", "shop", {"sign": "Leo"}), NOTE], Right.ACCESS, REPORTED_AT)
    checked = check(content)
    assert "A15.a is answered in part: no category of the policy has horoscope (held_as)" in checked.faults
    assert "A15.X1: no text explains sign of horoscope" in checked.faults
    faulty = {name for name in ITEMS if any(fault.startswith(name) for fault in checked.faults)}
    assert faulty == {name for name, stands in checked.items.items() if stands == "wrong"}
    assert faulty == {"A15.a", "A15.b", "A15.c", "A15.d", "A15.g", "A15.h", "A15.2", "A15.X1"}


async def test_a_file_that_was_changed_added_or_taken_away_is_found() -> None:
    files = await access()
    changed = check(packed({**files, "README.txt": b"?", "more.txt": b""}, described=False)).faults
    assert changed == [
        "README.txt is not the file that package.json lists",
        "package.json does not list more.txt",
    ]
    del files["account.csv"]
    assert "account.csv is missing" in check(packed(files, described=False)).faults


async def test_a_portability_package_is_checked_against_its_schema() -> None:
    files = unpacked(await made_of([call(), NOTE], Right.PORTABILITY, REPORTED_AT))
    assert check(packed(files)).faults == []
    narrow = files["schema.json"].replace(b'"started"', b'"begun"')
    assert check(packed({**files, "schema.json": narrow})).faults == [
        "schema.json does not know started of call_record"
    ]


@pytest.mark.parametrize("content", [b"", b"PK", packed({"a.txt": b""}, described=False)])
def test_what_is_no_package_is_said(content: bytes) -> None:
    with pytest.raises(Misconfigured, match="this is no package"):
        check(content)
