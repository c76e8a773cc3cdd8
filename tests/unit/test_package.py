"""The package: everything that was found, readable by the subject and by another provider's software."""

import csv
import hashlib
import io
import json
import re
from datetime import UTC, datetime

import orjson
import pytest

from services.export.pieces import Piece, read
from services.export.tables import MARK, cell, rows
from shared.domain.rights import Right
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
