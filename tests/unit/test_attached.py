"""Files that hang on records stand in a package as files, by names that are safe anywhere (Art. 12(1), 15(3))."""

from base64 import b64encode

import pytest

from services.export.attached import FOLDER, NAMED, apart
from services.export.check import check
from services.export.pieces import Piece
from shared.domain.rights import Right
from tests.fixtures.packages import described, made_of, unpacked
from tests.fixtures.reports import AT, LEGENDS, call

CONTENT = b"%PDF-1.7 what was on the bill"


def attachment(name: str = "bill.pdf", content: bytes = CONTENT) -> Piece:
    data = {"id": "7", "name": name, "type": "application/pdf", "content_base64": b64encode(content).decode()}
    return Piece("tickets", "file", "tickets", {**data, "creation": None})


@pytest.mark.parametrize("right", [Right.ACCESS, Right.PORTABILITY])
async def test_each_file_stands_once_beside_the_data_which_name_it(right: Right) -> None:
    pieces = [call(), attachment(), attachment(), attachment("notes.txt", b"")]
    content = await made_of(pieces, right, AT, legends=LEGENDS)
    files = unpacked(content)
    named = [each["data"][NAMED] for each in described(content)["records"] if each["category"] == "file"]
    assert len(named) == 3
    assert named[0] == named[1] != named[2]
    assert files[named[0]] == CONTENT
    assert files[named[2]] == b""
    assert {name for name in files if name.startswith(FOLDER)} == {*named}
    encoded = b64encode(CONTENT)
    assert not [name for name, each in files.items() if encoded in each], "it is nowhere in Base64"
    assert b"files/" in files["README.txt"]
    assert check(content).faults == []


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        ("bill.pdf", "-bill.pdf"),
        ("Rechnung März.PDF", "-Rechnung_März.pdf"),
        ("../../etc/passwd", "-passwd.bin"),
        (r"C:\temp\a:b|c*.docx", "-a_b_c.docx"),
        ("invoice.pdf.exe", "-invoice_pdf_exe.bin"),
        ("page.html", "-page_html.bin"),
        ("..", "-file.bin"),
        ("", "-file.bin"),
        ("x" * 300 + ".png", "-" + "x" * 80 + ".png"),
        ("\u202efdp.exe", "-fdp_exe.bin"),
    ],
)
def test_a_name_leads_to_no_other_folder_and_has_nothing_run(said: str, ends: str) -> None:
    data, file = apart(attachment(said).data)
    assert file
    assert (data[NAMED], file.content) == (file.name, CONTENT)
    folder, name = file.name.split("/")
    assert (f"{folder}/", name[12:]) == (FOLDER, ends)
    assert [*data] == ["id", "name", "type", NAMED, "creation"], "it stands where the content stood"


def test_what_is_no_base64_stays_as_it_is() -> None:
    data = {"content_base64": "not at all!", "name": "x.pdf"}
    assert apart(dict(data)) == (data, None)
