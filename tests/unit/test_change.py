"""Changes and statements are checked once, where they come in, and asked of the systems that hold such records."""

import re
from base64 import b64encode
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from uuid_utils.compat import uuid7

from services.export.pieces import FOLDER, NAMED, Piece, apart
from services.intake.core.errors import BadRequest
from services.intake.core.subject_schemas import DataSubject
from services.intake.letters.old_contacts import old_points
from services.intake.submission.manual_entry import Entered
from services.intake.submission.schemas import Changes
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome
from shared.domain.proofs import ProofAction, action_of
from shared.domain.rights import Right
from shared.storage.subject_data import SubjectData, decode, encode
from shared.systems.capabilities import Capabilities
from shared.systems.contract import CopiedRecord
from shared.systems.downstream import Downstream
from shared.systems.engine.correcting import is_meant
from shared.systems.engine.searching import result_without_search
from tests.fixtures.package_check import check
from tests.fixtures.packages import described, made_of, unpacked
from tests.fixtures.reports import AT, LEGENDS, call


@pytest.mark.parametrize(
    "said",
    [{"asserted": "  "}, {"asserted": 1}, {}, {"asserted": "x", "field": "First Name"}, {"asserted": "x" * 2001}],
)
def test_a_change_names_a_field_and_says_what_is_right(said: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Change.model_validate({"field": "name", **said})


def test_blanks_around_a_value_are_nothing_that_anybody_meant() -> None:
    assert Change.model_validate({"field": "name", "current": " Ada ", "asserted": " Eda "}) == Change(
        field="name", current="Ada", asserted="Eda"
    )


CALL: dict[str, Any] = {"category": "call_record", "fields": {"started": "2026-03-02T10:00:00+00:00"}}
STATED = Change.model_validate({"field": "email", "asserted": "it was 20 seconds", "record": CALL})


@pytest.mark.parametrize(
    "record",
    [{**CALL, "fields": {}}, {"fields": CALL["fields"]}, {**CALL, "fields": {"started": None}}, {**CALL, "row": 1}],
)
def test_a_statement_names_its_record_by_what_is_shown_of_it(record: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Change.model_validate({"field": "seconds", "asserted": "20", "record": record})


def test_statement_replaces_no_value() -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        Change.model_validate({"field": "seconds", "current": "120", "asserted": "20", "record": CALL})


def test_statements_and_corrections_are_asked_for_by_requests_of_their_own() -> None:
    corrected = {"field": "name", "asserted": "Ada"}
    stated = {"field": "seconds", "asserted": "20", "record": CALL}
    with pytest.raises(ValidationError, match="its own request"):
        TypeAdapter(Changes).validate_python((corrected, stated))
    assert len(TypeAdapter(Changes).validate_python((stated, stated))) == 2


def test_identity_is_asserted_in_its_one_spelling() -> None:
    said = ({"field": "email", "asserted": "Ada@Example.org"}, {"field": "phone", "asserted": "+49 30 901820"})
    assert [each.asserted for each in TypeAdapter(Changes).validate_python(said)] == ["ada@example.org", "+4930901820"]


def test_entered_value_that_no_system_can_hold_is_named_by_its_field() -> None:
    subject = DataSubject(email="ada@example.org")
    bad = "x@example.org\nBcc: y@example.org"
    entered = Entered(rights=(Right.RECTIFICATION,), subject=subject, field="email", asserted=bad)
    with pytest.raises(BadRequest, match="not an e-mail address") as refused:
        entered.requests()
    assert refused.value.field == "asserted"


def test_statement_needs_the_proof_of_an_access() -> None:
    assert action_of(Right.RECTIFICATION, [STATED]) is ProofAction.ACCESS


def test_statement_changes_no_contact_point_and_sends_no_notice() -> None:
    address = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
    now = datetime(2026, 11, 27, tzinfo=UTC)
    assert old_points(SubjectData((address,), (STATED,)), now) == []
    assert old_points(SubjectData((address,), (STATED.model_copy(update={"record": None}),)), now) == [address.value]


def test_a_statement_is_sealed_with_its_record() -> None:
    assert decode(encode(SubjectData((), (STATED,)))).changes == (STATED,)


@pytest.mark.parametrize(
    ("category", "fields", "meant"),
    [
        ("call_record", {"started": "1 May", "seconds": 20}, True),
        ("call_record", {"seconds": "20.0"}, True),
        ("call_record", {"started": "1 May", "seconds": 21}, False),
        ("call_record", {"ended": "1 May"}, False),
        ("missed_call", {"started": "1 May"}, False),
    ],
)
def test_a_record_is_meant_that_shows_all_that_was_named(category: str, fields: dict[str, Any], *, meant: bool) -> None:
    record = CopiedRecord("call_record", "cdr.acc_cdrs", {"started": "1 May", "seconds": 20.0})
    change = Change(field="seconds", asserted="x", record=ShownRecord(category=category, fields=fields))
    assert is_meant(record, change, "UTC") is meant


@pytest.mark.parametrize(
    ("field", "said", "meant"),
    [
        ("started", "2026-03-02T10:00:00+00:00", True),
        ("started", "2026-03-02T11:00:00+01:00", True),
        ("started", "2026-03-02T10:00:00Z", True),
        ("started", "2 Mar 2026, 11:00:00", True),
        ("started", "02.03.2026, 11:00:00", True),
        ("started", "2 mars 2026, 11:00:00", True),
        ("started", "2 mar 2026,\N{NO-BREAK SPACE}11:00:00", True),
        ("started", "2 Mar 2026, 10:00:00", False),
        ("started", "2026-03-02T11:00:00+00:00", False),
        ("started", "2 Mar 2026", False),
        ("seconds", "0,5", True),
        ("seconds", "0,6", False),
        ("result", "nicht angenommen", True),
        ("result", "picked up", False),
        ("paid", "yes", True),
        ("day", "28.02.2026", True),
        ("day", "28.02.2025", False),
    ],
)
def test_record_is_named_in_the_zone_and_any_language_of_the_report(field: str, said: str, *, meant: bool) -> None:
    row: dict[str, Any] = {
        "started": "2026-03-02T10:00:00+00:00",
        "seconds": 0.5,
        "result": "not answered",
        "paid": True,
    }
    record = CopiedRecord("call_record", "cdr.acc_cdrs", {**row, "day": "2026-02-28"})
    change = Change(field="x", asserted="x", record=ShownRecord(category="call_record", fields={field: said}))
    assert is_meant(record, change, "Europe/Berlin") is meant


def test_a_number_that_no_store_can_hold_names_nothing_and_can_be_sealed() -> None:
    stated = ShownRecord(category="call_record", fields={"seconds": 10**40})
    assert decode(encode(SubjectData((), (Change(field="x", asserted="x", record=stated),)))).changes[0].record


# A statement concerns only systems that hold such records.

BEGUN_CALL = ShownRecord(category="call_record", fields={"started": "1 May"})
STATEMENTS = (Change(field="seconds", asserted="20", record=BEGUN_CALL),)
CORRECTED = (Change(field="name", asserted="Ada"),)


def system(*held: str, **can: Any) -> Downstream:
    adapter: Any = SimpleNamespace(can=Capabilities(**can))
    return Downstream("s", frozenset({IdentityType.EMAIL}), adapter=adapter, categories=frozenset(held))


def asked(downstream: Downstream, changes: tuple[Change, ...], operation: Operation = Operation.RECTIFY) -> Any:
    return result_without_search(downstream, operation, uuid7(), changes)


@pytest.mark.parametrize("held", [("account",), ()])
def test_a_system_without_such_records_is_not_searched_for_a_statement(held: tuple[str, ...]) -> None:
    assert asked(system(*held), STATEMENTS).outcome is TaskOutcome.NOT_HELD


def test_where_such_records_bear_no_statement_a_person_sees_to_it() -> None:
    assert isinstance(
        asked(system("call_record", statement_categories=frozenset({"missed_call"})), STATEMENTS), NotSupported
    )


def test_a_system_whose_records_bear_statements_is_asked() -> None:
    assert asked(system("call_record", statement_categories=frozenset({"call_record"})), STATEMENTS) is None


def test_nothing_is_searched_without_a_correction() -> None:
    assert asked(system("call_record", may_need_correction=False), CORRECTED).outcome is TaskOutcome.NOT_HELD
    assert asked(system("account"), CORRECTED) is None
    assert asked(system("call_record", may_need_correction=False), CORRECTED, Operation.RESTRICT) is None


# Files that hang on records stand in a package as files, by names that are safe anywhere (Art. 12(1), 15(3)).
CONTENT = b"%PDF-1.7 what was on the bill"


def attachment(name: str = "bill.pdf", content: bytes = CONTENT) -> Piece:
    data = {"id": "7", "name": name, "type": "application/pdf", "content_base64": b64encode(content).decode()}
    return Piece("tickets", "file", "tickets", {**data, "creation": None})


@pytest.mark.parametrize("right", [Right.ACCESS, Right.PORTABILITY])
async def test_each_attached_file_is_in_the_package_once(right: Right) -> None:
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
        ("bill.pdf", "pdf"),
        ("letter-ada-lovelace.TXT", "txt"),
        ("../../etc/passwd", "bin"),
        ("invoice.pdf.exe", "bin"),
        ("page.html", "bin"),
        ("a.p/../df", "bin"),
        ("", "bin"),
    ],
)
def test_name_of_a_file_has_only_the_harmless_ending_of_its_record(said: str, ends: str) -> None:
    data, file = apart(attachment(said).data)
    assert file
    assert (data[NAMED], file.content) == (file.name, CONTENT)
    assert re.fullmatch(rf"{FOLDER}file-[0-9a-f]{{12}}\.{ends}", file.name)
    assert [*data] == ["id", "name", "type", NAMED, "creation"], "it stands where the content stood"


def test_what_is_no_base64_stays_as_it_is() -> None:
    data = {"content_base64": "not at all!", "name": "x.pdf"}
    assert apart(dict(data)) == (data, None)
