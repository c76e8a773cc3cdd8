"""The report of an access: all that Art. 15 asks to be told, tailored to what is held, in a page that stands alone."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from services.export import pieces
from services.export.check import ITEMS, check
from services.export.pieces import Piece
from services.export.report.held import LISTED, Step
from services.export.report.texts import LANGUAGES, texts_of
from services.export.report.translated import Translated
from services.export.report_reader import read
from services.intake.request.letter_kinds import KINDS
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import read_policy
from shared.domain.rights import Outcome, Right
from shared.domain.wording import LANGUAGES as WORDED
from shared.domain.wording import Language
from shared.downstreams.contract import Record
from shared.fulfilment.parts import sealing
from tests.fixtures.packages import made_of, unpacked
from tests.fixtures.policy import all_signed, changed
from tests.fixtures.reports import AT, LEGENDS, NEW, NOTE, OLD, call, page, report, said, task


async def test_every_item_is_answered_or_inapplicable_with_a_reason_and_every_row_has_its_place() -> None:
    content = await made_of([call(), call(OLD), NOTE], Right.ACCESS, AT, legends=LEGENDS, country="DE")
    checked = check(content)
    assert checked.faults == []
    assert list(checked.items) == list(ITEMS)
    assert {name for name, stands in checked.items.items() if stands != "answered"} == {"A15.h", "A15.X2"}
    assert [(place.category, place.rows, place.file) for place in checked.places] == [
        ("account", 1, "account.csv"),
        ("call_record", 2, "call_record.csv"),
    ]


async def test_purposes_recipients_and_transfers_are_those_of_what_is_held_and_of_nothing_else() -> None:
    calls, account = await report(call()), await report(NOTE)
    assert "a contract with you (Art. 6(1)(b))" in said(calls, "A15.a")
    assert ("Example Carrier Inc." in said(calls, "A15.c"), "Recouvrement" in said(calls, "A15.c")) == (True, False)
    assert ("Example Carrier Inc." in said(account, "A15.c"), "Recouvrement" in said(account, "A15.c")) == (False, True)
    assert "standard contractual clauses" in said(calls, "A15.2")
    assert (calls.items["A15.2"].answered, account.items["A15.2"].answered) == (True, True)
    assert "None of those who have received your data" in said(account, "A15.2")
    assert "We ourselves are established in this country: United States." in said(account, "A15.2")
    assert (calls.items["A15.g"].answered, account.items["A15.g"].answered) == (True, False)


async def test_of_a_kind_of_data_that_the_policy_does_not_know_the_report_says_so_and_claims_nothing() -> None:
    unknown = Piece("shop", "horoscope", "shop", {"sign": "Leo"})
    alone, beside = await report(unknown), await report(unknown, NOTE)
    of_policy = ("A15.a", "A15.b", "A15.c", "A15.d", "A15.g", "A15.h", "A15.2")
    for told in (alone, beside):
        assert {name for name, item in told.items.items() if item.status == "in_part"} == {*of_policy, "A15.X1"}
        for name in of_policy:
            assert "Our policy does not yet describe these kinds of data: horoscope." in said(told, name)
    claims = ("We make no decision", "None of those who", "disclosed these data to nobody", "No fixed period")
    for name in of_policy:
        flat = said(alone, name).partition("Of everything else that we hold about you:")[0]
        assert not [claim for claim in claims if claim in flat], name
    assert "Of everything else that we hold about you: We make no decision" in said(beside, "A15.h")
    assert alone.undeclared == ["horoscope"]


async def test_the_policy_alone_decides_what_is_told(tmp_path: Path) -> None:
    shorter = changed(tmp_path, 'period = "P90D"\nanchor = "call_start"', 'period = "P60D"\nanchor = "call_start"')
    other = all_signed(read_policy(shorter))
    signalling = Piece("cdr", "missed_call", "cdr.missed_calls", {"at": NEW}, {"call_start": NEW})
    before, after = await report(signalling), await report(signalling, policy=other)
    assert ("90 days" in said(before, "A15.d"), "60 days" in said(after, "A15.d")) == (True, True)


@pytest.mark.parametrize(
    ("country", "named"),
    [
        ("FR", "Commission nationale de l’informatique et des libertés"),
        ("GB", "Information Commissioner"),
        (None, "edpb"),
    ],
)
async def test_the_authority_of_the_persons_country_is_named(country: str | None, named: str) -> None:
    told = said(await report(call(), country=country), "A15.f")
    assert named in told
    assert "where you live" in told
    assert "support@cloudcontactpro.net" in told


async def test_what_was_left_out_is_counted_by_reason_and_what_is_missing_named_with_why() -> None:
    reports = (
        task("cdr", unattributed=3),
        task("tickets", written_by_others=4),
        task("shop", outcome=None, failure="x"),
    )
    told = await report(call(**{"from": "withheld"}), call(), reports=reports)
    left_out = said(told, "A15.4")
    assert "Rows in which something is hidden that tells about other people (Art. 15(4)): 1." in left_out
    assert "Records with a number that may be anybody's: 3." in left_out
    assert "Messages and files of other people that stand beside yours" in left_out
    assert told.items["A15.X2"].answered
    assert "shop it could not be searched" in said(told, "A15.X2")
    assert not (await report(call())).items["A15.X2"].answered


async def test_the_request_itself_is_in_it_with_its_dates_letters_and_counts_and_without_who_worked_on_it() -> None:
    steps = [
        Step(AT, "letter.written", {"kind": "acknowledgement", "letter_id": "0198"}),
        Step(AT, "decision.made", {"decision": "answer_in_part", "holder": "emma"}),
        Step(AT, "outbox.sent", {"found": 1}),
    ]
    known = [Identity(IdentityType.PHONE, "+34688886392", source="crm")]
    files = unpacked(await made_of([call()], Right.ACCESS, AT, steps=steps, identities=known))
    html, lines = files["report.html"].decode(), files["request.jsonl"].decode()
    for word in ("letter: We have received your request", "decision: answer in part", "telephone number", "crm"):
        assert word in html
    assert '"kind":"acknowledgement"' in lines
    assert "emma" not in html + lines


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_code_of_a_request_stands_in_the_report_without_its_words(language: str) -> None:
    codes: dict[str, Iterable[str]] = {
        "operation": Operation,
        "outcome": [*TaskOutcome, *Outcome],
        "right": Right,
        "kind": KINDS,
    }
    purposes = read_policy().purposes
    listed = [("purpose", each) for each in purposes] + [(name, str(each)) for name, of in codes.items() for each in of]
    [spoken] = [each for each in WORDED if each == language]
    words = Translated(read_policy(), texts_of(language), spoken)
    without = {pair for pair in listed if words.detail(*pair) == pair[1]}
    if language == "en":  # some of its words are the codes
        without = {pair for pair in without if "_" in pair[1]}
    assert without - {("right", "rectification")} == set(), "which is French as well"


async def test_what_we_hold_by_ourselves_is_told_of_as_all_else_is_and_the_entry_of_the_list_is_in_the_copy() -> None:
    listed = Step(AT, LISTED, {"contact_point": "ada@example.org", "right": "objection"})
    files = unpacked(await made_of([call()], Right.ACCESS, AT, steps=[listed]))
    told = read(files["report.html"].decode())
    for name in ("A15.a", "A15.b", "A15.d"):
        assert {"request_file", "suppression", "call_record"} <= told.items[name].about
    assert "3 years after their closure" in said(told, "A15.d")
    assert "3 rows in 3 kinds of data" in said(told, "A15.0")
    assert "on the list of those that get no marketing" in files["report.html"].decode()
    assert '"contact_point":"ada@example.org"' in files["request.jsonl"].decode()
    assert "suppression" not in (await report(call())).items["A15.a"].about


@pytest.mark.parametrize(
    ("language", "made", "first"),
    [
        ("en", "As of 2 March 2026, 09:30 UTC", "1 September 2027"),
        ("fr", "2 mars 2026, 09:30 UTC", "1er septembre 2027"),
        ("es", "2 de marzo de 2026, 09:30 UTC", "1 de septiembre de 2027"),
    ],
)
async def test_days_are_written_as_in_letters(language: str, made: str, first: str) -> None:
    told = await page(call(), language=language)
    assert (made in told, first in told) == (True, True)


async def test_the_page_runs_nothing_and_loads_nothing_and_shows_what_people_wrote_as_text() -> None:
    html = await page(NOTE)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.findall(r"(?:src|href)=\"(?!#)|url\(|@import", html)
    assert "default-src 'none'" in html
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert "@media print" in html


async def test_a_table_of_very_many_rows_shows_the_first_and_names_the_file_that_has_all() -> None:
    told = await page(*(call(f"2026-01-01T10:00:{n % 60:02}+00:00", to=f"+4420794{n:05}") for n in range(1_234)))
    assert "100 of 1,234 rows are shown; all of them are in the file call_record.csv." in told
    assert told.count("+4420794") == 100


async def test_what_the_company_words_by_itself_is_told_in_its_own_words(tmp_path: Path) -> None:
    own = changed(tmp_path, "providing the telephone service", "providing calls", "categories.toml")
    told = await page(call(), language="de", policy=read_policy(own))
    assert "providing calls" in told
    assert "Bereitstellung des Telefondienstes" not in told


async def test_a_customer_who_has_asked_gets_the_data_and_says_to_the_person_what_they_are_for() -> None:
    content = await made_of([call()], Right.ACCESS, AT, legends=LEGENDS, instructed=True)
    assert "report.html" not in unpacked(content)
    checked = check(content)
    assert checked.faults == []
    assert {stands.split(":")[0] for stands in checked.items.values()} == {"not applicable"}


async def test_a_report_is_in_the_language_of_the_person() -> None:
    policy = read_policy()
    for language in set(LANGUAGES) - {"en"}:
        texts = texts_of(language)
        assert (texts.purposes.keys(), texts.ceilings.keys()) == (policy.purposes.keys(), policy.ceilings.keys())
        assert texts.categories.keys() == policy.categories.keys()
    german = await page(call(OLD), language="de")
    assert "Bereitstellung des Telefondienstes" in german
    assert "Telefongesellschaften in den Vereinigten Staaten" in german
    assert "who called whom" not in german
    assert '<html lang="de">' in german
    assert "15. Juli 2026" in german
    assert date(2026, 7, 15).isoformat() not in german


async def test_a_field_of_another_kind_of_data_is_not_explained_by_one_of_the_same_name() -> None:
    other = Piece("cdr", "account", "cdr.client", {"from": "2019"})
    told = await report(call(), other, legends=LEGENDS)
    assert "Of 1 of 4 columns" in said(told, "A15.X1")


async def test_a_field_that_is_our_own_estimate_is_not_told_as_from_the_person() -> None:
    estimated = replace(NOTE, data={**NOTE.data, "score": 7, "grade": None}, ours=("score", "grade"))
    told = said(await report(estimated), "A15.g")
    assert "from you; not from you, but entered, observed or worked out by us: score" in told
    assert "grade" not in told


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("whose", ["others", "withheld", "unconcerned"])
async def test_each_field_that_hides_something_is_named_with_its_reason(whose: str, language: Language) -> None:
    record = Record("call_record", "cdr.calls", {"from": "x"}, matched=(), hidden={"network_number": whose})
    content = sealing(UUID(int=1), "cdr", [record, replace(record, hidden={})]).content
    named, other = pieces.read("cdr", content, Right.ACCESS, lambda _: True)
    assert (dict(named.hidden), dict(other.hidden)) == (record.hidden, {})
    assert orjson.loads(named.line)["hidden"] == record.hidden, "for a program, beside the data"
    assert "hidden" not in orjson.loads(other.line)
    told = said(await report(named, other, language=language), "A15.4")
    assert texts_of(language).answers[f"hidden_{whose}"] in told
    assert "network_number" in told
