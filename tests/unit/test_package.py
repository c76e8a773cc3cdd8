"""The package: everything that was found, readable by the subject and by another provider's software."""

import csv
import hashlib
import io
from datetime import UTC, datetime

import orjson
import pytest

from services.export.pieces import Piece, read
from services.export.tables import MARK
from shared.domain.rights import Right
from tests.fixtures.packages import described, made_of, unpacked

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CALL = Piece("cdr", "calls", "acc_cdrs", {"started": "2026-01-01T10:00:00Z", "seconds": 61, "to": "+442079460000"})
SHORT_CALL = Piece("cdr", "calls", "missed_calls", {"started": "2026-01-02T10:00:00Z", "reason": None})
CONTACT = Piece("crm", "contact", "party", {"name": 'Zoë Ångström, "Zo"', "tags": ["a", "b"], "vip": True})


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


async def test_a_package_holds_all_records_in_one_file_and_a_table_of_each_category() -> None:
    content = await made_of([CALL, SHORT_CALL, CONTACT], Right.PORTABILITY, AT)
    files, told = unpacked(content), described(content)
    assert {"data.jsonl", "calls.csv", "contact.csv", "README.txt", "package.json"} <= set(files)
    assert [record["data"] for record in told["records"]] == [CALL.data, SHORT_CALL.data, CONTACT.data]
    assert (told["right"], told["made_at"]) == ("portability", "2026-03-02T09:30:00+00:00")
    assert told["categories"] == {"calls": 2, "contact": 1}
    assert b"calls.csv: 2 record(s) from cdr" in files["README.txt"]
    said = {name: (each["bytes"], each["sha256"]) for name, each in told["files"].items()}
    del files["package.json"]
    assert said == {name: (len(each), hashlib.sha256(each).hexdigest()) for name, each in files.items()}


async def test_a_table_has_every_field_of_its_category_and_nothing_is_lost_in_quoting() -> None:
    files = unpacked(await made_of([CALL, SHORT_CALL, CONTACT], Right.ACCESS, AT))
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


@pytest.mark.parametrize(
    "text", ["=HYPERLINK(1)", "@SUM(1)", "\t=1", "\r=1", "\n=1", "+34688886392", "-1+cmd", "+A1", "'=1", "'quoted'"]
)
async def test_no_cell_is_a_formula_and_whoever_takes_the_mark_away_has_what_was_there(text: str) -> None:
    files = unpacked(await made_of([Piece(text, "notes", text, {"text": text, text: 1})], Right.ACCESS, AT))
    [row] = table(files["notes.csv"])
    assert row == {"system": MARK + text, "source": MARK + text, "text": MARK + text, MARK + text: "1"}
    assert orjson.loads(files["data.jsonl"])["data"] == {"text": text, text: 1}


async def test_the_same_records_make_the_same_bytes() -> None:
    first, second = [await made_of([CALL, CONTACT], Right.ACCESS, AT) for _ in range(2)]
    assert first == second


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
    assert "02 March 2026, 09:30 UTC" in access
