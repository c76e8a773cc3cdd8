"""A dataset says of every column what becomes of it when its people go, and keeps nothing that leads back to them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request.told.announced import announced
from shared.domain.errors import Misconfigured
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.inspection import Found, SeenColumn, faults_of
from shared.downstreams.sql.quoting import quoted

ANONYMISE = """
blank = ["client", "account"]
redraw = ["id"]
coarsen = { at = "month" }
rare = ["country"]
same = ["kind"]
person = "client"
"""
VISITS = """
name = "visits"
[tables.visit]
category = "analytics"
primary_key = ["id"]
anchors = {{ event = {{ column = "at" }} }}
[tables.visit.anonymise]
{anonymise}
[tables.visit.columns]
id = {{ class = "T" }}
at = {{ class = "M" }}
client = {{ class = "A" }}
account = {{ class = "A", identity = "account_id" }}
account_key = {{ class = "A", identity = "account_id", generated = true }}
country = {{ class = "M" }}
kind = {{ class = "M" }}
"""


def load(tmp_path: Path, anonymise: str, text: str = VISITS) -> Dataset:
    path = tmp_path / "visits.toml"
    path.write_text(text.format(anonymise=anonymise), encoding="utf-8")
    return Dataset.load(str(path))


def test_every_column_has_its_end(tmp_path: Path) -> None:
    declared = load(tmp_path, ANONYMISE).tables["visit"].anonymise
    assert declared is not None
    assert (declared.coarsen, declared.people) == ({"at": "month"}, 10)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ('same = ["kind"]', "", "does not say what becomes of column kind: name it in blank, redraw"),
        ('"account"]', '"account", "kind"]', "names column kind twice"),
        ('"account"]', '"account", "place"]', "names column place, which is not declared"),
        ('"account"]', '"account", "account_key"]', "names account_key, which follows from another column"),
        ('["client", "account"]', '["client"]', "does not say what becomes of column account"),
        ('same = ["kind"]', 'same = ["kind", "account"]', "names column account twice"),
        ('["country"]', '["country", "account"]', "names column account twice"),
        ('person = "client"', "", "rare needs person"),
        ('person = "client"', 'person = "country"', "tells people apart by country, which must go"),
    ],
)
def test_what_would_leave_somebody_in_it_is_refused(tmp_path: Path, before: str, after: str, says: str) -> None:
    assert before in ANONYMISE
    with pytest.raises(Misconfigured, match=says):
        load(tmp_path, ANONYMISE.replace(before, after))


def test_what_tells_who_it_is_about_is_kept_in_no_way(tmp_path: Path) -> None:
    keeps = ANONYMISE.replace('"client", "account"', '"client"').replace('["kind"]', '["kind", "account"]')
    with pytest.raises(Misconfigured, match="keeps account, which tells who it is about: name it in blank"):
        load(tmp_path, keeps)


def test_a_row_without_an_anchor_never_loses_its_people(tmp_path: Path) -> None:
    text = VISITS.replace('anchors = {{ event = {{ column = "at" }} }}\n', "")
    with pytest.raises(Misconfigured, match="anonymise needs anchors"):
        load(tmp_path, ANONYMISE, text)


def test_an_anchor_is_a_declared_column(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="anchors names column seen, which is not declared"):
        load(tmp_path, ANONYMISE, VISITS.replace('column = "at"', 'column = "seen"'))


def test_rows_of_nobody_knows_whose_customer_are_not_counted_by_our_periods(tmp_path: Path) -> None:
    other = VISITS + '\n[tables.log]\ncategory = "analytics"\nprimary_key = ["id"]\ntenant = "owner"\n'
    other += '[tables.log.columns]\nid = {{ class = "T" }}\nowner = {{ class = "T" }}\n'
    other += 'account = {{ class = "A", identity = "account_id" }}\n'
    with pytest.raises(Misconfigured, match="visit"):
        load(tmp_path, ANONYMISE, other)


def test_a_check_asks_for_the_right_to_change_what_a_night_anonymises(tmp_path: Path) -> None:
    table = load(tmp_path, ANONYMISE).tables["visit"]
    may = {name: SeenColumn(readable=True, changeable=name in {"client", "kind"}) for name in table.columns}
    found = Found(may, insertable=False, deletable=True)
    told = [*faults_of(("public", "visit"), table, found, "dsr_web", quoted)]
    granted = 'GRANT UPDATE ("account", "at", "country", "id") ON "public"."visit" TO dsr_web'
    assert told == [f"this role may not do what is declared: let the owner run {granted}"]


# What an erasure has left changes as people were told, or they are told anew (REQ-R7).
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
        (report(CALLS), report(CALLS, failure="residue_found"), False),
        (report(CALLS, failure="residue_found"), report(CALLS), False),
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
    assert announced([elsewhere, before], [elsewhere, now]) is said_before


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
    if not announced([before], [now]):
        return
    told = {(each.category, each.rule): each for each in before.kept or ()}
    for each in now.kept or ():
        said = told.pop((each.category, each.rule))
        assert each.count <= said.count
        assert each.period == said.period
        assert (each.last is None) is (said.last is None)
        assert each.last is None or (said.last and each.last <= said.last)
    assert all(each.last for each in told.values()), "what had no day has not ended unsaid"


@given(before=reports)
def test_that_nothing_has_changed_is_no_letter(before: TaskReport) -> None:
    assert announced([before], [before])
