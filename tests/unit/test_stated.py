"""A statement beside a record concerns the systems that hold such records, and asks nothing of the others."""

from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.export.attached import FOLDER, NAMED, apart
from services.export.check import check
from services.export.pieces import Piece
from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome
from shared.domain.rights import Right
from shared.downstreams.downstream import Downstream
from shared.fulfilment.worker import not_asked
from tests.fixtures.packages import described, made_of, unpacked
from tests.fixtures.reports import AT, LEGENDS, call

CALL = ShownRecord(category="call_record", fields={"started": "1 May"})
STATED = (Change(field="seconds", asserted="20", record=CALL),)
CORRECTED = (Change(field="name", asserted="Ada"),)


def system(*held: str, **can: Any) -> Downstream:
    adapter: Any = SimpleNamespace(**can)
    return Downstream("s", frozenset({IdentityType.EMAIL}), adapter=adapter, categories=frozenset(held))


def asked(downstream: Downstream, changes: tuple[Change, ...], operation: Operation = Operation.RECTIFY) -> Any:
    return not_asked(downstream, operation, uuid7(), changes)


@pytest.mark.parametrize("held", [("account",), ()])
def test_a_system_without_such_records_is_not_searched_for_a_statement(held: tuple[str, ...]) -> None:
    assert asked(system(*held), STATED).outcome is TaskOutcome.NOT_HELD


def test_where_such_records_bear_no_statement_a_person_sees_to_it() -> None:
    assert isinstance(asked(system("call_record", stated=frozenset({"missed_call"})), STATED), NotSupported)


def test_a_system_whose_records_bear_statements_is_asked() -> None:
    assert asked(system("call_record", stated=frozenset({"call_record"})), STATED) is None


def test_where_nothing_is_corrected_nobody_is_searched_for_a_correction() -> None:
    assert asked(system("call_record", corrects=False), CORRECTED).outcome is TaskOutcome.NOT_HELD
    assert asked(system("account"), CORRECTED) is None
    assert asked(system("call_record", corrects=False), CORRECTED, Operation.RESTRICT) is None


# Files that hang on records stand in a package as files, by names that are safe anywhere (Art. 12(1), 15(3)).
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
