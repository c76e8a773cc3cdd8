"""A change is checked once, where it comes in: no system meets one that says nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.intake.letters.old_contacts import old_points
from shared.domain.corrections import Changes
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, ShownRecord
from shared.domain.proofs import Action, action_of
from shared.domain.rights import Right
from shared.downstreams.contract import Record
from shared.downstreams.sql.changing.stating import is_meant
from shared.storage.subject_data import SubjectData, decode, encode


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


def test_beside_a_record_nothing_is_replaced() -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        Change.model_validate({"field": "seconds", "current": "120", "asserted": "20", "record": CALL})


def test_statements_and_corrections_are_asked_for_by_requests_of_their_own() -> None:
    corrected = {"field": "name", "asserted": "Ada"}
    stated = {"field": "seconds", "asserted": "20", "record": CALL}
    with pytest.raises(ValidationError, match="its own request"):
        TypeAdapter(Changes).validate_python((corrected, stated))
    assert len(TypeAdapter(Changes).validate_python((stated, stated))) == 2


def test_whoever_states_something_of_a_record_must_be_as_sure_as_whoever_is_shown_it() -> None:
    assert action_of(Right.RECTIFICATION, [STATED]) is Action.ACCESS


def test_a_statement_changes_no_contact_point_so_nobody_is_told_at_an_old_one() -> None:
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
    record = Record("call_record", "cdr.acc_cdrs", {"started": "1 May", "seconds": 20.0})
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
        "result": "nobody answered",
        "paid": True,
    }
    record = Record("call_record", "cdr.acc_cdrs", {**row, "day": "2026-02-28"})
    change = Change(field="x", asserted="x", record=ShownRecord(category="call_record", fields={field: said}))
    assert is_meant(record, change, "Europe/Berlin") is meant


def test_a_number_that_no_store_can_hold_names_nothing_and_can_be_sealed() -> None:
    stated = ShownRecord(category="call_record", fields={"seconds": 10**40})
    assert decode(encode(SubjectData((), (Change(field="x", asserted="x", record=stated),)))).changes[0].record
