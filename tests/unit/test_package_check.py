"""``dsr package check`` finds whatever a package does not answer, and every row that is not where it should be."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.export.check import ITEMS, check
from services.export.commands import package
from services.export.pieces import Piece
from shared.domain.errors import Misconfigured
from shared.domain.rights import Right
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.reports import AT, LEGENDS, NOTE, call, task


async def access() -> dict[str, bytes]:
    hidden = call(**{"from": "withheld"})
    return unpacked(await made_of([call(), hidden, NOTE], Right.ACCESS, AT, legends=LEGENDS, reports=(task("cdr"),)))


def packed(files: Mapping[str, bytes], *, described: bool = True) -> bytes:
    """The files as a package, which says of itself what is in it by now."""
    if described:
        told = json.loads(files["package.json"])
        told["files"] = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != "package.json"
        }
        files = {**files, "package.json": json.dumps(told).encode()}
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
        ("report.html", 'data-explained="yes"', 'data-explained="no"', "A15.X1: nobody explains"),
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


async def test_unknown_category_is_a_fault_and_no_item_is_both_answered_and_wrong(tmp_path: Path) -> None:
    content = await made_of([Piece("shop", "horoscope", "shop", {"sign": "Leo"}), NOTE], Right.ACCESS, AT)
    checked = check(content)
    assert "A15.a is answered in part: no category of the policy has horoscope (held_as)" in checked.faults
    assert "A15.X1: nobody explains sign of horoscope" in checked.faults
    faulty = {name for name in ITEMS if any(fault.startswith(name) for fault in checked.faults)}
    assert faulty == {name for name, stands in checked.items.items() if stands == "wrong"}
    assert faulty == {"A15.a", "A15.b", "A15.c", "A15.d", "A15.g", "A15.h", "A15.2", "A15.X1"}
    (tmp_path / "package.zip").write_bytes(content)
    assert CliRunner().invoke(package, ["check", str(tmp_path / "package.zip")]).exit_code == 1


async def test_a_file_that_was_changed_added_or_taken_away_is_found() -> None:
    files = await access()
    changed = check(packed({**files, "README.txt": b"?", "more.txt": b""}, described=False)).faults
    assert changed == [
        "README.txt is not the file that package.json tells of",
        "package.json does not tell of more.txt",
    ]
    del files["account.csv"]
    assert "account.csv is missing" in check(packed(files, described=False)).faults


async def test_a_portability_package_is_checked_against_its_schema() -> None:
    files = unpacked(await made_of([call(), NOTE], Right.PORTABILITY, AT))
    assert check(packed(files)).faults == []
    narrow = files["schema.json"].replace(b'"started"', b'"begun"')
    assert check(packed({**files, "schema.json": narrow})).faults == [
        "schema.json does not know started of call_record"
    ]


async def test_the_command_prints_items_and_places_and_ends_with_a_status(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.zip", tmp_path / "broken.zip"
    whole.write_bytes(packed(files := await access()))
    broken.write_bytes(packed({**files, "account.csv": b""}))
    good, bad = [CliRunner().invoke(package, ["check", str(path)]) for path in (whole, broken)]
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "A15.0   answered" in good.output
    assert "A15.X2  not applicable: Nothing is missing" in good.output
    assert "call_record: 2 row(s) in call_record.csv, report.html#data-call_record" in good.output
    assert "wrong: account.csv has not the 1 rows" in bad.output
    told = json.loads(CliRunner().invoke(package, ["check", str(broken), "--json"]).output)
    assert told["places"][0] == {"category": "account", "rows": 1, "table": "data-account", "file": "account.csv"}


@pytest.mark.parametrize("content", [b"", b"PK", packed({"a.txt": b""}, described=False)])
def test_what_is_no_package_is_said(content: bytes) -> None:
    with pytest.raises(Misconfigured, match="this is no package"):
        check(content)
