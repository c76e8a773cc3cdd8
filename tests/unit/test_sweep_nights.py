"""What a night does about a ceiling follows from what the last one has left, and from nothing else."""

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

from services.erasure.sweeping import nights
from services.erasure.sweeping.nights import Known, State, Terms
from services.intake.client import suppression
from services.intake.client.api import Api
from services.intake.client.suppression import suppression as command
from shared.domain.policy import parse_period, release
from shared.domain.sweep_policy import SweepPolicy, sweep_policy
from shared.downstreams.sweepable import Counted

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
    ids=["new", "as before", "lengthened", "shortened", "mistyped", "another column", "nobody had signed it"],
)
def test_what_may_remove_what_it_did_not_remove_before_only_counts(
    known: Known | None,
    terms: Terms,
    dry: bool,  # noqa: FBT001
) -> None:
    assert nights.runs_dry(known, terms, NIGHT) is dry


@pytest.mark.parametrize(
    ("due", "rows", "too_much"),
    [(100, 100, False), (101, 2_020, False), (102, 2_020, True), (5_000, 100_000, False), (5_001, 100_000, True)],
)
def test_more_than_the_policys_share_of_a_table_is_too_much_and_a_few_rows_never(
    due: int,
    rows: int,
    too_much: bool,  # noqa: FBT001
) -> None:
    assert nights.is_stopped(SWEPT, TERMS, POLICY, Counted(due, rows)) is too_much


def test_two_persons_confirm_what_they_were_shown_and_no_row_more() -> None:
    assert nights.is_stopped(STOPPED, TERMS, POLICY, Counted(900, 1_000))
    assert nights.is_stopped(replace(STOPPED, confirmed_by=("officer-1",)), TERMS, POLICY, Counted(900, 1_000))
    assert not nights.is_stopped(CONFIRMED, TERMS, POLICY, Counted(900, 1_000))
    assert nights.is_stopped(CONFIRMED, TERMS, POLICY, Counted(901, 1_000))
    assert nights.is_stopped(CONFIRMED, replace(TERMS, period="P17M"), POLICY, Counted(900, 1_000))


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
SUPPRESSED, UNREADABLE = {"boris@example.org", "+49301"}, {"nobody"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contact points each call had; the API answers them all."""
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

    monkeypatch.setattr(suppression, "run", run)
    return calls


def test_whom_to_take_out_of_a_list_is_named_by_line(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("ada@example.org\n\n boris@example.org \nnobody\n")
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt")])
    assert done.stdout.splitlines() == [
        "3  suppressed  boris@example.org",
        "4  unreadable  nobody",
        "2 of 3 are to be taken out",
    ]
    assert (done.exit_code, asked) == (1, [3])


@pytest.mark.parametrize("apart", [",", ";", "\t"])
def test_a_column_of_a_table_is_compared(tmp_path: Path, asked: list[int], apart: str) -> None:
    rows = [["name", "phone"], ["Ada", "+49302"], ["Boris", "+49301"], ["Chiara", ""]]
    (tmp_path / "list.csv").write_text("\ufeff" + "\n".join(apart.join(row) for row in rows))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.csv"), "--column", "phone", "--json"])
    assert json.loads(done.stdout) == {"line": 3, "contact_point": "+49301", "answer": "suppressed"}
    assert asked == [2]
    wrong = CliRunner().invoke(command, ["check", str(tmp_path / "list.csv"), "--column", "mail"])
    assert "has no column mail: its first line has 2 of other names" in str(wrong.exception)


def test_a_long_list_is_asked_about_in_parts(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("\n".join(f"p{n}@example.org" for n in range(10_001)))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt")])
    assert (done.exit_code, asked, done.stdout) == (0, [10_000, 1], "0 of 10001 are to be taken out\n")
