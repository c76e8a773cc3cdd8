"""The package: everything that was found, readable by the subject and by another provider's software."""

import csv
import io
import zipfile
from datetime import UTC, datetime

import orjson
import pytest

from services.export import package
from services.export.package import Piece
from shared.domain.rights import Right

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "calls", "acc_cdrs", {"started": "2026-01-01T10:00:00Z", "seconds": 61, "to": "+442079460000"})
SHORT_CALL = Piece("cdr", "calls", "missed_calls", {"started": "2026-01-02T10:00:00Z", "reason": None})
CONTACT = Piece("crm", "contact", "party", {"name": 'Zoë Ångström, "Zo"', "tags": ["a", "b"], "vip": True})


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_package_holds_all_of_it_as_json_a_table_per_category_and_an_explanation() -> None:
    files = unpacked(package.build([CALL, SHORT_CALL, CONTACT], Right.ACCESS, AT))
    assert set(files) == {"data.json", "calls.csv", "contact.csv", "README.txt"}
    everything = orjson.loads(files["data.json"])
    assert [record["data"] for record in everything["records"]] == [CALL.data, SHORT_CALL.data, CONTACT.data]
    assert (everything["right"], everything["made_at"]) == ("access", "2026-03-02T09:30:00+00:00")
    assert b"calls.csv: 2 record(s) from cdr" in files["README.txt"]


def test_a_table_has_every_field_of_its_category_and_nothing_is_lost_in_quoting() -> None:
    files = unpacked(package.build([CALL, SHORT_CALL, CONTACT], Right.ACCESS, AT))
    first, second = table(files["calls.csv"])
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


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "@SUM(1)", "\t=1", "\r=1", "+34688886392", "-1+cmd", "+A1"])
def test_no_cell_and_no_heading_is_a_formula_for_a_spreadsheet_and_the_json_has_it_as_it_was(text: str) -> None:
    files = unpacked(package.build([Piece(text, "notes", text, {"text": text, text: 1})], Right.ACCESS, AT))
    quoted = f"'{text}"
    assert table(files["notes.csv"]) == [{"system": quoted, "source": quoted, "text": quoted, quoted: "1"}]
    assert orjson.loads(files["data.json"])["records"][0]["data"] == {"text": text, text: 1}


def test_the_same_records_make_the_same_bytes() -> None:
    assert package.build([CALL, CONTACT], Right.ACCESS, AT) == package.build([CALL, CONTACT], Right.ACCESS, AT)


def test_portability_takes_the_portable_records_only_and_access_takes_all() -> None:
    collected = [
        ("crm", orjson.dumps([["contact", "party", {"name": "Zoë"}, True], ["score", "risk", {"score": 3}, False]])),
        ("cdr", orjson.dumps([["calls", "acc_cdrs", {"seconds": 1}, True]])),
    ]
    assert [p.category for p in package.read(collected, Right.PORTABILITY)] == ["contact", "calls"]
    assert [p.category for p in package.read(collected, Right.ACCESS)] == ["contact", "score", "calls"]
    assert package.read(collected, Right.ACCESS)[2].system == "cdr"


def test_the_explanation_says_which_right_it_answers() -> None:
    access = unpacked(package.build([CALL], Right.ACCESS, AT))["README.txt"].decode()
    portability = unpacked(package.build([CALL], Right.PORTABILITY, AT))["README.txt"].decode()
    assert "a copy of the personal data" in access
    assert "to take elsewhere" in portability
    assert "02 March 2026, 09:30 UTC" in access
