"""What the report shows of a record: as people read it, in their zone and language; and what of periods is past."""

from dataclasses import replace

import pytest
from pydantic import JsonValue

from services.export.pieces import Piece
from services.export.report.held import LISTED, Request, Step
from services.export.report.page import render
from services.export.report.texts import texts_of
from services.export.report_reader import read
from services.export.survey import Category
from shared.domain.cells import Cells
from shared.domain.policy import read_policy
from shared.domain.release import LEFT
from shared.domain.rights import Right
from tests.fixtures.packages import REQUEST, made_of, unpacked
from tests.fixtures.reports import AT, NEW, NOTE, OLD, call, page, report, said

_CELLS = Cells(texts_of("de"), "de", "Europe/Berlin")


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("started", "2026-06-30T22:30:05+00:00", "01.07.2026, 00:30:05"),
        ("started", "2026-06-30T22:30:05", "2026-06-30T22:30:05"),
        ("started", "2026-02-30T22:30:05Z", "2026-02-30T22:30:05Z"),
        ("ended_on", "2026-06-30", "30.06.2026"),
        ("content", "on 2026-06-30 I wrote", "on 2026-06-30 I wrote"),
        ("seconds", 312.0, "312"),
        ("seconds", 0.5, "0,5"),
        ("id", 1234567, "1234567"),
        ("active", True, "ja"),
        ("result", "nobody answered", "nicht angenommen"),
        ("content", "answered", "answered"),
        ("country", "FR", "Frankreich"),
        ("country", "FRA", "FRA"),
        ("messages", ["1", "2"], "1, 2"),
        ("keyword", [], ""),
        ("of", {"a": [1]}, '{"a":[1]}'),
        ("none", None, ""),
    ],
)
def test_a_value_is_shown_as_its_reader_writes_it_and_what_is_not_known_for_certain_as_it_stands(
    column: str, value: JsonValue, shown: str
) -> None:
    assert _CELLS.shown(column, value) == shown


async def test_times_are_those_of_the_zone_of_the_person_and_the_files_have_them_as_systems_gave_them() -> None:
    files = unpacked(await made_of([call()], Right.ACCESS, AT, zone="America/New_York", language="es"))
    told = files["report.html"].decode()
    assert ("2 de marzo de 2026, 04:30" in told, "Nueva York" in told, "1 mar 2026, 17:30:00" in told) == (True,) * 3
    assert NEW.encode() in files["data.jsonl"]
    assert NEW.encode() in files["call_record.csv"]
    assert "Empiece por él" in files["README.txt"].decode()


async def test_a_system_is_called_as_people_know_it_with_the_key_that_the_files_have() -> None:
    told = await page(call(), NOTE)
    assert "call records (cdr)" in told
    assert "customer database (crm)" in told


async def test_what_should_have_gone_already_is_told_as_overdue_and_a_reason_that_is_over_as_over() -> None:
    older, missed = "2024-06-01T10:00:00+00:00", Piece("cdr", "missed_call", "cdr", {"at": OLD}, {"call_start": OLD})
    mixed, over = said(await report(call(older), call(NEW)), "A15.d"), said(await report(call(older), missed), "A15.d")
    assert "The oldest of it was to be deleted on 2 January 2026, which is overdue; the newest is deleted on" in mixed
    assert "For the oldest of it that time ended on 1 December 2025" in mixed
    assert "The newest is kept until 1 September 2027." in mixed
    assert "All of it was to be deleted by 2 January 2026, which is overdue." in over
    assert "All of it was to be deleted by 16 April 2025, which is overdue." in over
    assert "for this reason none of it would stay" in over


async def test_what_says_no_day_counts_as_what_it_belongs_to_and_that_some_has_not_begun_is_said() -> None:
    ticket = Piece("tickets", "ticket", "tickets", {"id": "1"}, {"resolved": "2026-01-10T10:00:00+00:00"})
    message = Piece("tickets", "message", "tickets", {"id": "2", "author": "you"})
    assert "It is deleted on 11 January 2029." in said(await report(ticket, message), "A15.d")
    open_one = replace(ticket, data={"id": "3"}, anchors={})
    told = said(await report(ticket, open_one, message), "A15.d")
    assert "It is deleted on 11 January 2029. For some of it that time has not begun." in told
    assert told.count("It is deleted on") == 1, "what is said of tickets is said of their messages"


async def test_kinds_of_which_the_same_is_said_stand_in_one_line_and_each_is_told_of() -> None:
    address = Piece("crm", "address", "crm", {"city": "Bonn"})
    told = await report(NOTE, address)
    for item in ("A15.a", "A15.d"):
        assert {"account", "address", "request_file"} <= told.items[item].about
    assert "account, address providing the telephone service" in said(told, "A15.a")


async def test_what_we_entered_among_what_is_from_the_person_is_told_as_ours() -> None:
    """Nothing that stands in a package says it: it is known of each record from the system that gave it."""
    theirs, ours = Category(), Category()
    theirs.add(NOTE)
    ours.add(replace(NOTE, provided=False))
    both = Category()
    for each in (NOTE, replace(NOTE, provided=False)):
        both.add(each)
    request = Request(REQUEST, read_policy(), AT.date())
    for held, words in ((ours, "not from you: we entered it ourselves"), (both, "partly entered by us (rows: 1)")):
        told = read(render({"account": held}, request, [], AT).decode())
        assert words in said(told, "A15.g")
    assert read(render({"account": theirs}, request, [], AT).decode()).items["A15.g"].status == "not_applicable"


async def test_what_an_erasure_has_left_is_told_as_kept_by_its_rule_alone_and_for_no_purpose_of_before() -> None:
    left = replace(call(NEW), states={LEFT: True})
    alone, mixed = await report(left), await report(left, call(NEW))
    assert "You have asked us to erase it. What is left is kept for this reason alone: telephone companies" in said(
        alone, "A15.d"
    )
    assert "deleted on" not in said(alone, "A15.d"), "no ceiling of what would go for everybody is told of it"
    assert "providing the telephone service" not in said(alone, "A15.a")
    assert "Part of it is left of what you have asked us to erase" in said(mixed, "A15.d")
    assert "providing the telephone service" in said(mixed, "A15.a")
    assert "Left of what you have asked us to erase (rows: 1)" in await page(left)


async def test_an_entry_of_the_list_is_said_to_stay_while_there_is_marketing_and_not_until_erasure_is_asked_for() -> (
    None
):
    listed = Step(AT, LISTED, {"contact_point": "ada@example.org", "right": "erasure"})
    told = said(await report(call(), steps=[listed]), "A15.d")
    assert "For as long as we send any advertising" in told
    assert "No fixed period" not in told


async def test_columns_that_nobody_explains_are_counted_and_the_item_is_answered_in_part() -> None:
    told = await report(Piece("shop", "invoice", "shop", {"amount": 1, "id": 2}))
    assert told.items["A15.X1"].status == "in_part"
    assert "Of 1 of 2 columns nobody has written down yet what they mean" in said(told, "A15.X1")
