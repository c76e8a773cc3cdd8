"""What an erasure has left changes as people were told, or they are told anew (REQ-R7)."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request.told.announced import announced
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport

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
def test_what_was_not_announced_of_what_is_kept_has_a_letter(
    before: TaskReport, now: TaskReport, *, said_before: bool
) -> None:
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
def test_whatever_is_kept_without_a_letter_is_kept_as_was_told_and_no_longer(
    before: TaskReport, now: TaskReport
) -> None:
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
