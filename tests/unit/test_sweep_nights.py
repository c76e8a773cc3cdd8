"""Retention runs: what a night does about a ceiling, and to each column of an anonymised row."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner
from uuid_utils.compat import uuid7

from services.cli import files
from services.cli.api import Api
from services.cli.files import suppression as command
from services.erasure.retention import rules as nights
from services.erasure.retention.rules import Known, State, Terms
from services.intake.request.messages.retained import was_announced
from shared.domain.errors import Misconfigured
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.policy import parse_period, release
from shared.domain.policy_files import SweepPolicy, sweep_policy
from shared.systems.sql.check import written
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.declaration import Anonymisation
from shared.systems.sweepable import DueCount

NIGHT = date(2026, 3, 2)
TERMS = Terms("P18M", "UTC", "call_start/started")
POLICY = SweepPolicy(begins_at_hour=1, share=0.05, few=100, spares=frozenset(), copied_within_days=5)
SWEPT = Known(State.SWEPT, NIGHT - timedelta(days=1), TERMS, TERMS.first_kept(NIGHT), uuid7(), date(2026, 1, 1))
STOPPED = replace(SWEPT, state=State.STOPPED, night=NIGHT, due=900)
CONFIRMED = replace(STOPPED, confirmed_by=("officer-1", "officer-2"))


@pytest.mark.parametrize(
    ("period", "today", "first_kept"),
    [
        ("P18M", date(2026, 10, 1), date(2025, 4, 1)),  # R3 and R4 of the worked dates
        ("P84M", date(2031, 3, 1), date(2024, 3, 1)),  # R1: a relationship that ended on a leap day
        ("P3Y", date(2029, 6, 16), date(2026, 6, 16)),  # R6
        ("P14M", date(2027, 4, 1), date(2026, 2, 1)),  # R8: an event of 31 January
        ("P26M", date(2028, 4, 1), date(2026, 2, 1)),
        ("P1M", date(2026, 3, 1), date(2026, 2, 1)),  # three days of January end on one of February
    ],
)
def test_the_first_day_that_is_kept_is_that_of_the_worked_dates(period: str, today: date, first_kept: date) -> None:
    assert Terms(period, "UTC", "a/b").first_kept(today) == first_kept


@given(
    st.dates(date(2020, 1, 1), date(2040, 1, 1)),
    st.integers(0, 90).map(lambda n: f"P{n}M") | st.integers(1, 999).map(lambda n: f"P{n}D"),
)
def test_what_is_past_is_exactly_what_is_purged_by_then(today: date, period: str) -> None:
    if period == "P0M":
        period = "P1D"
    first, parsed = Terms(period, "UTC", "a/b").first_kept(today), parse_period(period)
    assert (
        release(parsed, first - timedelta(days=1), "UTC").purge_from <= today < release(parsed, first, "UTC").purge_from
    )


@pytest.mark.parametrize(
    ("known", "terms", "dry"),
    [
        (None, TERMS, True),
        (SWEPT, TERMS, False),
        (SWEPT, replace(TERMS, period="P19M"), False),
        (SWEPT, replace(TERMS, period="P17M"), True),
        (SWEPT, replace(TERMS, period="P18D"), True),
        (SWEPT, replace(TERMS, anchor="call_start/ended"), True),
        (replace(SWEPT, state=State.UNSIGNED, counted_on=None), TERMS, True),
    ],
    ids=["new", "as before", "lengthened", "shortened", "mistyped", "another column", "unsigned before"],
)
def test_ceiling_that_removes_more_counts_first(
    known: Known | None,
    terms: Terms,
    dry: bool,  # noqa: FBT001
) -> None:
    assert nights.runs_dry(known, terms, NIGHT) is dry


@pytest.mark.parametrize(
    ("due", "rows", "too_much"),
    [(100, 100, False), (101, 2_020, False), (102, 2_020, True), (5_000, 100_000, False), (5_001, 100_000, True)],
)
def test_more_than_the_policys_share_is_too_much(
    due: int,
    rows: int,
    too_much: bool,  # noqa: FBT001
) -> None:
    assert nights.is_stopped(SWEPT, TERMS, POLICY, DueCount(due, rows)) is too_much


def test_two_people_confirm_exactly_what_they_were_shown() -> None:
    assert nights.is_stopped(STOPPED, TERMS, POLICY, DueCount(900, 1_000))
    assert nights.is_stopped(replace(STOPPED, confirmed_by=("officer-1",)), TERMS, POLICY, DueCount(900, 1_000))
    assert not nights.is_stopped(CONFIRMED, TERMS, POLICY, DueCount(900, 1_000))
    assert nights.is_stopped(CONFIRMED, TERMS, POLICY, DueCount(901, 1_000))
    assert nights.is_stopped(CONFIRMED, replace(TERMS, period="P17M"), POLICY, DueCount(900, 1_000))


def test_what_was_confirmed_goes_up_to_the_day_of_which_was_asked() -> None:
    later = NIGHT + timedelta(days=5)
    assert nights.goes_up_to(CONFIRMED, TERMS, later) == CONFIRMED.first_kept
    assert nights.goes_up_to(STOPPED, TERMS, later) == TERMS.first_kept(later)


@pytest.mark.parametrize(
    ("known", "over"),
    [
        (None, False),
        (SWEPT, False),
        (replace(SWEPT, night=NIGHT), True),
        (STOPPED, True),
        (CONFIRMED, False),
        (replace(SWEPT, state=State.SWEEPING, night=NIGHT), False),
        (replace(SWEPT, state=State.DRY_RUN, night=NIGHT), True),
    ],
    ids=["new", "the night before", "done", "waits for two", "confirmed", "cut short", "counted"],
)
def test_a_night_does_everything_once(known: Known | None, over: bool) -> None:  # noqa: FBT001
    assert nights.is_over(known, NIGHT) is over


@pytest.mark.parametrize(
    ("local", "night"),
    [("2026-03-02 00:59", "2026-03-01"), ("2026-03-02 01:00", "2026-03-02"), ("2026-03-02 23:00", "2026-03-02")],
)
def test_a_night_begins_at_the_policys_hour(local: str, night: str) -> None:
    at = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("America/Denver"))
    assert POLICY.night(at).date().isoformat() == night


def test_the_shipped_policy_spares_whom_the_article_names() -> None:
    assert sweep_policy().spares == {"unlawful", "needed_for_claims"}


# A list that no night compares is compared by hand: whom to take out is named by line, and nothing else.
SUPPRESSED, UNREADABLE = {"boris@example.org", "+49301"}, {"unreadable"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Returns the number of contact points in each call; the API answers them all."""
    calls: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        points = [each["value"] for each in json.loads(request.content)["contact_points"]]
        calls.append(len(points))
        said = [
            "suppressed" if p in SUPPRESSED else "unreadable" if p in UNREADABLE else "not_suppressed" for p in points
        ]
        return httpx.Response(200, json={"check_id": "x", "answers": said})

    def run(work: Callable[[Api], Coroutine[Any, Any, None]]) -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://intake")
        asyncio.run(work(Api(client, patience=1)))

    monkeypatch.setattr(files, "run", run)
    return calls


def test_whom_to_take_out_of_a_list_is_named_by_line(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("ada@example.org\n\n boris@example.org \nunreadable\n")
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt"), "--text"])
    assert done.stdout.splitlines() == [
        "3  suppressed  boris@example.org",
        "4  unreadable  unreadable",
        "2 of 3 are to be taken out",
    ]
    assert (done.exit_code, asked) == (1, [3])


def test_a_long_list_is_asked_about_in_parts(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("\n".join(f"p{n}@example.org" for n in range(10_001)))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt"), "--text"])
    assert (done.exit_code, asked, done.stdout) == (0, [10_000, 1], "0 of 10001 are to be taken out\n")


# A dataset says of every column what becomes of it when its people go, and keeps nothing that leads back to them.

VISITS = """
name = "visits"
[tables.visit]
category = "analytics"
primary_key = ["id"]
at = { event = "at" }
[tables.visit.columns]
id = { class = "T", anonymous = "redraw" }
at = { class = "M", anonymous = "month" }
client = { class = "A", identity = "client_id" }
account = { class = "A", identity = "account_id" }
account_key = { class = "A", identity = "account_id", generated = true }
country = { class = "M", anonymous = "rare" }
kind = { class = "M", anonymous = "keep" }
"""


def load(tmp_path: Path, text: str = VISITS) -> Dataset:
    path = tmp_path / "visits.toml"
    path.write_text(text, encoding="utf-8")
    return Dataset.load(str(path))


def test_every_column_has_its_end(tmp_path: Path) -> None:
    assert load(tmp_path).tables["visit"].anonymise == Anonymisation(
        ("client", "account"), ("id",), {"at": "month"}, ("country",), ("kind",), "client"
    )


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('identity = "account_id" }', 'identity = "account_id", anonymous = "keep" }', "keeps account, which tells"),
        ('kind = { class = "M"', 'kind = { class = "A"', "keeps kind, which tells who it is about: leave it out"),
        ("generated = true }", 'generated = true, anonymous = "keep" }', "account_key follows from another one"),
        ('"T", anonymous = "redraw" }', '"T" }', "column id tells rows apart"),
        (', identity = "client_id" }', ', identity = "client_id", generated = true }', None),
        ('at = { event = "at" }\n', "", "anonymous needs at"),
        ('event = "at"', 'event = "seen"', "at.event names column seen, which is not declared"),
    ],
)
def test_incomplete_anonymisation_is_refused(tmp_path: Path, before: str, after: str, says: str | None) -> None:
    assert before in VISITS
    if says is None:
        assert load(tmp_path, VISITS.replace(before, after)).tables["visit"].anonymise
    else:
        with pytest.raises(Misconfigured, match=says):
            load(tmp_path, VISITS.replace(before, after))


def test_rows_of_an_unknown_tenant_are_not_counted(tmp_path: Path) -> None:
    other = VISITS + '\n[tables.log]\ncategory = "analytics"\nprimary_key = ["id"]\ntenant = "owner"\n'
    other += '[tables.log.columns]\nid = { class = "T" }\nowner = { class = "T" }\n'
    other += 'account = { class = "A", identity = "account_id" }\n'
    with pytest.raises(Misconfigured, match="visit"):
        load(tmp_path, other)


def test_a_check_tries_to_write_what_a_night_anonymises(tmp_path: Path) -> None:
    table = load(tmp_path).tables["visit"]
    assert {"account", "at", "country", "id"} <= written(table)["erase"].keys()


# Changes to data that an erasure left follow the announced dates, or are announced again (REQ-R7).
LAST = date(2028, 3, 30)
CALLS = Kept(category="call", rule="calls_us_18m", count=3, first=date(2027, 1, 31), last=LAST, period="P18M")
HOLD = Kept(category="call", rule="legal_hold", count=5)


def report(*kept: Kept, system: str = "shop", outcome: str = TaskOutcome.RETAINED, **said: Any) -> TaskReport:
    days = [each.last for each in kept]
    until = None if None in days or not days else max(day for day in days if day)
    ground = kept[0].rule if kept else None
    known = {"task_id": uuid7(), "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate({**known, "kept": kept or None, "ground": ground, "until": until, **said})


def gone(outcome: str = TaskOutcome.ERASED) -> TaskReport:
    return report(outcome=outcome, changed=3)


def but(kept: Kept, **said: Any) -> Kept:
    return kept.model_copy(update=said)


@pytest.mark.parametrize(
    ("before", "now", "said_before"),
    [
        (report(CALLS), report(CALLS), True),
        (report(CALLS), report(but(CALLS, count=1, first=LAST)), True),
        (report(CALLS), gone(), True),
        (report(CALLS), gone(TaskOutcome.NO_MATCH), True),
        (report(CALLS), gone(TaskOutcome.NOT_SEARCHED), False),
        (report(CALLS), report(but(CALLS, count=4)), False),
        (report(CALLS), report(but(CALLS, last=LAST + timedelta(1))), False),
        (report(CALLS), report(but(CALLS, last=date(2027, 9, 30), period="P12M")), False),
        (report(CALLS), report(but(CALLS, last=None, first=None)), False),
        (report(CALLS), report(CALLS, HOLD), False),
        (report(but(CALLS, shown=False)), report(but(CALLS, shown=True)), False),
        (report(but(CALLS, shown=False)), report(but(CALLS, shown=False, count=2)), True),
        (report(CALLS), report(CALLS, failure="data_still_present"), False),
        (report(CALLS, failure="data_still_present"), report(CALLS), False),
        (report(HOLD, CALLS), report(HOLD), True),
        (report(HOLD), gone(), False),
        (report(HOLD), report(but(HOLD, count=4)), False),
        (report(HOLD), report(CALLS), False),
        (report(HOLD), report(HOLD), True),
        (report(ground="court_order", remaining=3), gone(), False),
        (report(ground="tax_law", remaining=3, until=LAST), gone(), True),
    ],
)
def test_unannounced_kept_data_have_a_letter(before: TaskReport, now: TaskReport, *, said_before: bool) -> None:
    elsewhere = report(but(HOLD, category="invoice"), system="billing")
    assert was_announced([elsewhere, before], [elsewhere, now]) is said_before


rows = st.builds(
    Kept,
    category=st.sampled_from(["call", "invoice"]),
    rule=st.sampled_from(["calls_us_18m", "legal_hold", "contract_active"]),
    count=st.integers(1, 3),
    last=st.none() | st.dates(date(2027, 1, 1), date(2029, 1, 1)),
    period=st.none() | st.sampled_from(["P18M", "P84M"]),
)
reports = st.lists(rows, max_size=3, unique_by=lambda each: (each.category, each.rule)).map(
    lambda kept: report(*kept) if kept else gone()
)


@given(before=reports, now=reports)
def test_data_kept_without_a_letter_stay_as_announced(before: TaskReport, now: TaskReport) -> None:
    if not was_announced([before], [now]):
        return
    promised = {(each.category, each.rule): each for each in before.kept or ()}
    for each in now.kept or ():
        said = promised.pop((each.category, each.rule))
        assert each.count <= said.count
        assert each.period == said.period
        assert (each.last is None) is (said.last is None)
        assert each.last is None or (said.last and each.last <= said.last)
    assert all(each.last for each in promised.values()), "what had no day has not ended unsaid"


@given(before=reports)
def test_that_nothing_has_changed_is_no_letter(before: TaskReport) -> None:
    assert was_announced([before], [before])
