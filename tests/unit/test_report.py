"""The report of an access: everything that Art. 15 requires, for the data held, in a self-contained page."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from pydantic import JsonValue

from deploy.local.paths import ROOT
from services.export import pieces
from services.export.pieces import Piece
from services.export.report.page import render
from services.export.report.request import LISTED, ReportRequest, TimelineStep
from services.export.report.words import ReportWords, texts_of
from services.export.survey import SurveyedCategory
from services.intake.request.letter_kinds import KINDS
from services.intake.request.reasons import read_reasons
from shared.domain.cells import Cells
from shared.domain.identities import Identity, IdentityType
from shared.domain.languages import LANGUAGES, Language
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import parse_period, read_policy
from shared.domain.release import LEFT, WITHHELD
from shared.domain.rights import Outcome, Right
from shared.fulfilment.export_parts import sealed_records
from shared.systems.contract import CopiedRecord
from shared.systems.http.declaration import read_declaration
from shared.systems.http.settings import SHIPPED
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.declaration import Column
from shared.systems.sql.settings import SHIPPED as DATASETS
from shared.systems.tryton.settings import DeclaredGrounds
from tests.fixtures.package_check import ITEMS, check
from tests.fixtures.packages import REQUEST, made_of, unpacked
from tests.fixtures.policy import all_signed, changed, signed_policy
from tests.fixtures.report_reader import read
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
    assert "None of those who may have received your data" in said(account, "A15.2")
    assert "We ourselves are established in this country: United States." in said(account, "A15.2")
    assert (calls.items["A15.g"].answered, account.items["A15.g"].answered) == (True, False)


async def test_unknown_category_is_named_without_claims() -> None:
    unknown = Piece("shop", "horoscope", "shop", {"sign": "Leo"})
    alone, with_note = await report(unknown), await report(unknown, NOTE)
    of_policy = ("A15.a", "A15.b", "A15.c", "A15.d", "A15.g", "A15.h", "A15.2")
    for page_of in (alone, with_note):
        assert {name for name, item in page_of.items.items() if item.status == "in_part"} == {*of_policy, "A15.X1"}
        for name in of_policy:
            assert "Our policy does not yet describe these kinds of data: horoscope." in said(page_of, name)
    claims = ("We make no decision", "None of those who", "did not disclose these data", "No fixed period")
    for name in of_policy:
        flat = said(alone, name).partition("Of everything else that we hold about you:")[0]
        assert not [claim for claim in claims if claim in flat], name
    assert "Of everything else that we hold about you: We make no decision" in said(with_note, "A15.h")
    assert alone.undeclared == ["horoscope"]


async def test_report_follows_the_policy_alone(tmp_path: Path) -> None:
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
async def test_the_authority_of_the_country_of_residence_is_named(country: str | None, named: str) -> None:
    text = said(await report(call(), country=country), "A15.f")
    assert named in text
    assert "where you live" in text
    assert "support@cloudcontactpro.net" in text


async def test_what_was_left_out_is_counted_by_reason_and_what_is_missing_named_with_why() -> None:
    reports = (
        task("cdr", unattributed=3),
        task("tickets", written_by_others=4),
        task("shop", outcome=None, failure="x"),
    )
    former = Piece("tickets", "history", "tickets", {"former": {"title": "x", "messages": [WITHHELD]}})
    read = await report(call(**{"from": "withheld"}), call(), former, reports=reports)
    left_out = said(read, "A15.4")
    assert "Rows in which something is hidden that tells about other people (Art. 15(4)): 1." in left_out
    assert read.withheld == {"call_record": 1, "history": 1}
    assert "Records with a number that may also belong to others: 3." in left_out
    assert "Messages and files of other people next to yours" in left_out
    assert read.items["A15.X2"].answered
    assert "shop it could not be searched" in said(read, "A15.X2")
    assert not (await report(call())).items["A15.X2"].answered


@pytest.mark.parametrize(
    ("done", "why"),
    [
        ({"by_hand": True}, "it was copied by hand"),
        ({"narrowed": True}, "you named a shorter time"),
    ],
)
async def test_part_that_the_copy_does_not_hold_is_named_as_missing(done: dict[str, Any], why: str) -> None:
    assert why in said(await report(call(), reports=(task("cdr", **done),)), "A15.X2")


async def test_the_request_itself_is_in_it_with_its_dates_letters_and_counts_and_without_who_worked_on_it() -> None:
    steps = [
        TimelineStep(AT, "letter.written", {"kind": "acknowledgement", "letter_id": "0198"}),
        TimelineStep(AT, "decision.made", {"decision": "answer_in_part", "holder": "emma"}),
        TimelineStep(AT, "outbox.sent", {"found": 1}),
    ]
    known = [Identity(IdentityType.PHONE, "+34688886392", source="crm")]
    files = unpacked(await made_of([call()], Right.ACCESS, AT, steps=steps, identities=known))
    html, lines = files["report.html"].decode(), files["request.jsonl"].decode()
    for word in (
        "letter: acknowledgement of receipt",
        "decision: answer in part",
        "telephone number",
        "customer database",
    ):
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
        "channel": ("api", "email", "post"),
    }
    purposes = read_policy().purposes
    listed = [("purpose", each) for each in purposes] + [(name, str(each)) for name, of in codes.items() for each in of]
    words = ReportWords(read_policy(), language)
    without = {pair for pair in listed if words.detail(*pair) == pair[1]}
    if language == "en":  # some of its words are the codes
        without = {pair for pair in without if "_" in pair[1]}
    assert without - {("right", "rectification")} == set(), "which is French as well"
    reasons = [(kind, code) for kind, of in read_reasons() for code in of]
    assert {code for kind, code in reasons if words.detail("reason", code, kind) == code} == set()


async def test_our_own_data_are_reported_and_the_suppression_entry_is_in_the_copy() -> None:
    listed = TimelineStep(AT, LISTED, {"contact_point": "ada@example.org", "right": "objection"})
    files = unpacked(await made_of([call()], Right.ACCESS, AT, steps=[listed]))
    report_page = read(files["report.html"].decode())
    for name in ("A15.a", "A15.b", "A15.d"):
        assert {"request_file", "suppression", "call_record"} <= report_page.items[name].about
    assert "3 years after their closure" in said(report_page, "A15.d")
    assert "3 entries in 3 kinds of data" in said(report_page, "A15.0")
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
    text = await page(call(), language=language)
    assert (made in text, first in text) == (True, True)


async def test_the_page_runs_nothing_and_loads_nothing_and_shows_what_people_wrote_as_text() -> None:
    html = await page(NOTE)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.findall(r"(?:src|href)=\"(?!#)|url\(|@import", html)
    assert "default-src 'none'" in html
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert "@media print" in html


async def test_a_table_of_very_many_rows_shows_the_first_and_names_the_file_that_has_all() -> None:
    text = await page(*(call(f"2026-01-01T10:00:{n % 60:02}+00:00", to=f"+4420794{n:05}") for n in range(1_234)))
    assert "100 of 1,234 rows are shown; all of them are in the file call_record.csv." in text
    assert text.count("+4420794") == 100


async def test_companys_own_wording_is_used(tmp_path: Path) -> None:
    own = changed(tmp_path, "providing the telephone service", "providing calls", "categories.toml")
    text = await page(call(), language="de", policy=read_policy(own))
    assert "providing calls" in text
    assert "Bereitstellung des Telefondienstes" not in text


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
    assert "Anrufe, die Anschlüssen in den Vereinigten Staaten berechnet wurden" in german
    assert "who called whom" not in german
    assert '<html lang="de">' in german
    assert "15. Juli 2026" in german
    assert date(2026, 7, 15).isoformat() not in german


async def test_a_field_of_another_kind_of_data_is_not_explained_by_one_of_the_same_name() -> None:
    other = Piece("cdr", "account", "cdr.client", {"from": "2019"})
    shown = await report(call(), other, legends=LEGENDS)
    assert "Of 1 of 4 columns" in said(shown, "A15.X1")


async def test_our_own_estimate_is_not_attributed_to_the_person() -> None:
    estimated = replace(NOTE, data={**NOTE.data, "score": 7, "grade": None}, ours=("score", "grade"))
    text = said(await report(estimated), "A15.g")
    assert "from you; not from you, but entered, observed or worked out by us: Score" in text
    assert "Grade" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("whose", ["others", "withheld", "unconcerned"])
async def test_each_field_that_hides_something_is_named_with_its_reason(whose: str, language: Language) -> None:
    record = CopiedRecord("call_record", "cdr.calls", {"from": "x"}, matched=(), hidden={"network_number": whose})
    content = sealed_records(UUID(int=1), "cdr", [record, replace(record, hidden={})]).content
    named, other = pieces.read("cdr", content, Right.ACCESS, lambda _: True)
    assert (dict(named.hidden), dict(other.hidden)) == (record.hidden, {})
    assert orjson.loads(named.line)["hidden"] == record.hidden, "for a program, next to the data"
    assert "hidden" not in orjson.loads(other.line)
    text = said(await report(named, other, language=language), "A15.4")
    assert texts_of(language).answers[f"hidden_{whose}"] in text
    assert (WITHHELD in text) is (whose != "others"), "as the tables have it"
    assert texts_of(language).label(None, "network_number") in text


# Words of the report: the same in every language, and there for everything that it may say.
def test_every_language_says_everything_with_the_same_blanks() -> None:
    whole = {"purposes", "categories", "ceilings", "meanings", "values"}
    english = texts_of("en").model_dump(exclude=whole)
    for language in LANGUAGES:
        other = texts_of(language).model_dump(exclude=whole)
        assert {part: set(texts) for part, texts in other.items()} == {part: set(t) for part, t in english.items()}
        for part, texts in english.items():
            for name, text in texts.items():
                assert other[part][name], (language, part, name)
                assert sorted(re.findall(r"{\w+}", other[part][name])) == sorted(re.findall(r"{\w+}", text)), (
                    language,
                    name,
                )


def test_there_are_words_for_everything_that_the_policy_and_the_search_may_say() -> None:
    policy, texts = signed_policy(), texts_of("en")
    anchors = {each.anchor for each in policy.rules.values()} | {each.anchor for each in policy.ceilings.values()}
    assert anchors - {None} <= set(texts.anchors)
    assert {each.basis for one in policy.categories.values() for each in one.purposes.values()} <= set(texts.bases)
    assert set(IdentityType) <= set(texts.types)
    assert {DeclaredGrounds().contract, DeclaredGrounds().ended_on, "invoice_open", "disputed"} <= set(texts.fields)


def test_every_column_and_code_that_we_ship_has_words_in_every_language() -> None:
    datasets = [Dataset.load(str(path)) for path in (*DATASETS.glob("*.toml"), ROOT / "deploy" / "up" / "shop.toml")]
    resources = [each for path in SHIPPED.glob("*.toml") for each in read_declaration(path).resource.values()]
    legends = [fields for each in datasets for fields in each.legend().values()] + [each.explain for each in resources]
    said = {meaning for fields in legends for meaning in fields.values() if meaning}
    codes = {(column.label or name): set(column.codes.values()) for each in datasets for name, column in _coded(each)}
    tracker = (ROOT / "deploy/downstreams/roundup/tracker/initial_data.py").read_text(encoding="utf-8")
    for names, field in re.findall(r"in (?:enumerate)?\(*(\".*?)\).*\n +db\.(\w+)\.create", tracker):
        codes[field] = set(re.findall(r"\w+", names))
    english = texts_of("en")
    shown = {name for fields in legends for name in fields} | english.fields.keys()
    for language in LANGUAGES:
        texts = texts_of(language)
        assert language == "en" or said <= texts.meanings.keys(), said - texts.meanings.keys()
        headings = texts.model_copy(update={"fields": {}, "columns": dict.fromkeys(texts.columns, "*")})
        assert {name for name in shown if headings.label(None, name) != "*"} == set(), language
        assert {field: set(words) for field, words in texts.values.items()} == {
            field: set(words) for field, words in english.values.items()
        }
        for field, words in codes.items():
            assert words <= texts.values[field].keys(), (language, field)


def _coded(dataset: Dataset) -> Iterator[tuple[str, Column]]:
    for table in dataset.tables.values():
        yield from ((name, column) for name, column in table.columns.items() if column.codes and column.shown)


# What the report shows of a record: as people read it, in their zone and language; and what of periods is past.
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
        ("result", "not answered", "nicht angenommen"),
        ("content", "answered", "answered"),
        ("country", "FR", "Frankreich"),
        ("country", "FRA", "FRA"),
        ("messages", ["1", "2"], "1, 2"),
        ("keyword", [], ""),
        ("of", {"a": [1]}, "a: 1"),
        ("none", None, ""),
    ],
)
def test_value_is_localised_and_uncertain_ones_shown_as_stored(column: str, value: JsonValue, shown: str) -> None:
    assert _CELLS.shown(column, value) == shown


async def test_times_are_those_of_the_zone_of_the_person_and_the_files_have_them_as_systems_gave_them() -> None:
    files = unpacked(await made_of([call()], Right.ACCESS, AT, zone="America/New_York", language="es"))
    text = files["report.html"].decode()
    assert ("2 de marzo de 2026, 04:30" in text, "Nueva York" in text, "1 mar 2026, 17:30:00" in text) == (True,) * 3
    assert NEW.encode() in files["data.jsonl"]
    assert NEW.encode() in files["call_record.csv"]
    assert "Empiece por él" in files["README.txt"].decode()


async def test_system_is_named_in_words_and_the_readme_adds_the_key_of_the_files() -> None:
    files = unpacked(await made_of([call(), NOTE], Right.ACCESS, AT))
    assert "From: call records." in files["report.html"].decode()
    assert b"customer database (crm)" in files["README.txt"]


async def test_accounts_of_several_systems_are_one_table_without_blank_cells() -> None:
    said: list[dict[str, JsonValue]] = [{"customer_number": "7", "name": "Ada"}, {"active": True, "phone": None}]
    crm = [replace(NOTE, data=data) for data in said]
    desk = Piece("ticketing", "account", "ticketing", {"username": "ada", "realname": "Ada"})
    html = await page(*crm, desk, language="de")
    section = html.partition('data-category="account"')[2].partition("</section>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr><td.*", section)]
    assert rows == [
        ["Kundennummer", "7", "Kundendatenbank"],
        ["Name", "Ada", "Kundendatenbank, Supportanfragen"],
        ["In Gebrauch", "ja", "Kundendatenbank"],
        ["Benutzername", "ada", "Supportanfragen"],
    ]
    second = replace(NOTE, data={"customer_number": "8"})
    assert "customer database (2)" in await page(*crm, second)


async def test_codes_and_hashes_are_in_the_appendix_and_the_address_of_the_controller_at_the_top() -> None:
    html, appendix, details = (await page(call(to="withheld"), language="de")).partition('<section id="appendix">')
    visible = re.sub(r"<[^>]+>", " ", html.partition("</style>")[2])
    assert not re.search(r"A15|[0-9a-f]{64}|withheld|network_number", visible)
    assert "30 N Gould St, #62961, Sheridan, Wyoming 82801" in visible.partition("Inhalt")[0]
    assert "nicht mitgeteilt" in visible
    assert (bool(appendix), "A15.d" in details, "call_record.csv" in details) == (True,) * 3
    assert re.search(r"[0-9a-f]{64}", details)


async def test_overdue_deletion_and_ended_reason_are_reported_as_such() -> None:
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
    text = said(await report(ticket, open_one, message), "A15.d")
    assert "It is deleted on 11 January 2029. For some of it that time has not begun." in text
    assert text.count("It is deleted on") == 1, "what is said of tickets is said of their messages"


async def test_categories_with_the_same_answer_share_a_line() -> None:
    address = Piece("crm", "address", "crm", {"city": "Bonn"})
    shown = await report(NOTE, address)
    for item in ("A15.a", "A15.d"):
        assert {"account", "address", "request_file"} <= shown.items[item].about
    assert "account, address providing the telephone service" in said(shown, "A15.a")


async def test_data_that_we_entered_are_attributed_to_us() -> None:
    """The source is known per record, from its system."""
    provided, ours = SurveyedCategory(), SurveyedCategory()
    provided.add(NOTE)
    ours.add(replace(NOTE, provided=False))
    both = SurveyedCategory()
    for each in (NOTE, replace(NOTE, provided=False)):
        both.add(each)
    request = ReportRequest(REQUEST, read_policy(), AT.date())
    for held, words in ((ours, "not from you: we entered it ourselves"), (both, "partly entered by us (rows: 1)")):
        shown = read(render({"account": held}, request, [], AT).decode())
        assert words in said(shown, "A15.g")
    assert read(render({"account": provided}, request, [], AT).decode()).items["A15.g"].status == "not_applicable"


async def test_entry_of_the_list_stays_while_there_is_marketing() -> None:
    listed = TimelineStep(AT, LISTED, {"contact_point": "ada@example.org", "right": "erasure"})
    text = said(await report(call(), steps=[listed]), "A15.d")
    assert "For as long as we send any advertising" in text
    assert "No fixed period" not in text


async def test_unexplained_columns_are_counted() -> None:
    shown = await report(Piece("shop", "invoice", "shop", {"amount": 1, "id": 2}))
    assert shown.items["A15.X1"].status == "in_part"
    assert "Of 1 of 2 columns we have not yet written down what they mean" in said(shown, "A15.X1")


# Retention in a report (Art. 15(1)(d)): days, laws, unsigned rules, and states.
async def test_periods_come_with_the_days_that_follow_for_this_person_in_the_zone_of_the_controller() -> None:
    text = said(await report(call(OLD), call(NEW)), "A15.d")
    assert "18 months, counted from the beginning of the call" in text
    assert "The oldest of it is kept until 15 July 2026, the newest until 1 September 2027." in text
    assert "The oldest of it is deleted on 16 August 2026, the newest on 2 October 2027." in text


async def test_law_of_a_country_is_named_to_its_residents_and_unsigned_rules_never() -> None:
    policy = all_signed(read_policy())
    in_germany, in_france = [await report(call(OLD), policy=policy, country=country) for country in ("DE", "FR")]
    assert ("in Germany" in said(in_germany, "A15.d"), "in Germany" in said(in_france, "A15.d")) == (True, False)
    unsigned = await report(call(OLD), policy=read_policy())
    assert "in the United States" in said(in_germany, "A15.d")
    assert "in the United States" not in said(unsigned, "A15.d")


@pytest.mark.parametrize("signed", ["rules", "ceilings", ""])
async def test_unsigned_rule_is_reported_as_undecided_without_a_day(signed: str) -> None:
    whole = all_signed(read_policy())
    policy = read_policy().with_other(**{signed: getattr(whole, signed)} if signed else {})
    text = said(await report(call(OLD), country="DE", policy=policy), "A15.d")
    assert ("is kept until 15 July 2026" in text) is (signed == "rules")
    assert ("is deleted on 16 August 2026" in text, "in Germany" in text) == (signed == "ceilings",) * 2
    assert ("is not decided yet" in text) is (signed != "ceilings")
    assert "No fixed period" not in text
    german = said(await report(call(OLD), country="DE"), "A15.d")  # the demonstration's counsel has not signed that
    assert ("18 months" in german, "in Germany" in german, "is not decided yet" in german) == (True, False, False)


ACTIVE = "you have a contract with us"


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([{"contract_active": True}], "Even if you ask us to erase it: you have a contract with us"),
        ([{"contract_active": True}, {"contract_active": None}], "Even if you ask us to erase it: you have a contract"),
        ([{"contract_active": False}, {}], ""),
        ([{"contract_active": False}, {"contract_active": None}], "If what follows is so, it stays"),
        ([{}], "If what follows is so, it stays"),
    ],
)
async def test_keeping_state_is_a_fact_only_where_known(states: list[dict[str, bool | None]], sentence: str) -> None:
    rows = [replace(NOTE, states=each) for each in states]
    text = said(await report(*rows), "A15.d")
    assert (sentence in text, ACTIVE in text) == (True, bool(sentence))
    of_invoices = said(await report(Piece("shop", "invoice", "shop", {"amount": 1}), *rows), "A15.d")
    assert "If what follows is so, it stays even if you ask us to erase it, for as long as that lasts: an invoice" in (
        of_invoices
    )


async def test_a_state_that_one_system_names_is_a_fact_about_what_another_holds() -> None:
    settled = replace(NOTE, states={"invoice_open": False})
    assert "settled" not in said(await report(Piece("shop", "invoice", "shop", {"amount": 1}), settled), "A15.d")


OLD_CALL, NEW_CALL = (replace(each, states={LEFT: True}) for each in (call(OLD), call(NEW)))
CUSTOMER = replace(NOTE, states={LEFT: True})


async def test_what_an_erasure_left_is_kept_as_its_answer_says_by_the_rules_whose_days_the_rows_tell() -> None:
    text = said(await report(CUSTOMER, OLD_CALL, NEW_CALL), "A15.d")
    assert text.count("kept for the reason that our answer to that request gives") == 1
    assert text.count("1 September 2027") == 1
    assert "If what follows is so" not in text
    in_part = said(await report(NOTE, CUSTOMER, NEW_CALL), "A15.d")
    assert "Part of it is left of what you have asked us to erase (rows: 1): You have asked us to erase it." in in_part


async def test_where_two_rules_keep_neither_has_the_newest_day_of_the_other() -> None:
    one = all_signed(read_policy())
    calls, rule = one.categories["call_record"], one.rules["calls_us_18m"]
    rules = {**one.rules, "calls_19m": rule.model_copy(update={"period": parse_period("P19M")})}
    kept_by = {"kept_by": ("calls_us_18m", "calls_19m")}
    two = one.with_other(rules=rules, categories={**one.categories, "call_record": calls.model_copy(update=kept_by)})
    left = said(await report(OLD_CALL, NEW_CALL, policy=two), "A15.d")
    assert "What this reason keeps is kept until 1 September 2027 at the latest." in left
    assert "the newest until 1 September 2027" not in said(await report(call(OLD), call(NEW), policy=two), "A15.d")


async def test_rule_of_one_country_is_reported_as_a_condition() -> None:
    policy = all_signed(read_policy())
    german = policy.rules["calls_us_18m"].model_copy(update={"jurisdiction": "DE"})
    policy = policy.with_other(rules={**policy.rules, "calls_us_18m": german})
    text = said(await report(call(OLD), policy=policy), "A15.d")
    assert "Where the law of the following country applies (Germany): Even if you ask us to erase it:" in text
    left = said(await report(OLD_CALL, policy=policy), "A15.d")
    assert "kept for the reason that our answer to that request gives" in left
