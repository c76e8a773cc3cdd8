"""Who looks a request up is told the days on which what is kept goes by now; never a later one than their letter."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.api.views import view
from services.intake.letters.rendering import Letters
from services.intake.request.aggregate import Request
from services.intake.request.kept_by_now import kept_by_now
from services.intake.request.lifecycle import State
from shared.domain.operations import Kept, TaskOutcome, TaskReport
from shared.domain.policy import Period, Policy, parse_period, release
from shared.domain.rights import Outcome
from tests.fixtures.policy import signed_policy
from tests.fixtures.requests import AT, a_request


def by(period: Period, *, signed: bool = True) -> Policy:
    rule = signed_policy().rules["calls_us_18m"].model_copy(update={"period": period})
    rule = rule if signed else rule.model_copy(update={"sign_off": None})
    return signed_policy().model_copy(update={"rules": {**signed_policy().rules, "calls_us_18m": rule}})


def keeping(*anchors: date, told: Period) -> Request:
    """Calls of these days are kept, as a letter has told it by a rule of that period."""
    ends = [release(told, each, "UTC").last_day for each in anchors]
    days = {"first": min(ends), "last": max(ends), "anchor": min(anchors), "period": str(told)}
    kept = Kept.model_validate({"category": "call", "rule": "calls_us_18m", "count": len(anchors), **days})
    known = {"task_id": uuid7(), "system": "cdr", "operation": "erase", "outcome": TaskOutcome.RETAINED}
    counts = {"found": len(anchors), "remaining": len(anchors), "ground": "calls_us_18m"}
    task = TaskReport.model_validate({**known, **counts, "until": max(ends), "kept": [kept]})
    return a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(task,))


OLD, NEW = date(2026, 2, 28), date(2026, 8, 31)


@pytest.mark.parametrize(
    ("now", "signed", "said"),
    [
        ("P18M", True, "the first after 28 August 2027, the last after 29 February 2028"),
        ("P12M", True, "the first after 28 February 2027, the last after 31 August 2027"),
        ("P24M", True, "the first after 28 August 2027, the last after 29 February 2028"),
        ("P12M", False, "the first after 28 August 2027, the last after 29 February 2028"),
    ],
)
def test_a_rule_that_became_shorter_shows_its_day_in_the_answer_and_a_longer_one_the_day_that_was_told(
    now: str, said: str, *, signed: bool
) -> None:
    request = keeping(OLD, NEW, told=parse_period("P18M"))
    shown = view(request, AT.date(), Letters(policy=by(parse_period(now), signed=signed)), officer=True)
    assert said in shown.answer


PERIODS = st.builds(Period, months=st.integers(1, 90), days=st.integers(0, 40))
DAYS = st.dates(date(2020, 1, 1), date(2026, 12, 31))


@given(anchors=st.lists(DAYS, min_size=1, max_size=4), told=PERIODS, now=PERIODS)
def test_no_day_is_later_than_was_told_and_none_earlier_than_the_rule_lets_it_go(
    anchors: list[date], told: Period, now: Period
) -> None:
    before = keeping(*anchors, told=told)
    [task], [old] = kept_by_now(before, by(now), AT.date()).tasks or (), before.tasks or ()
    [kept], [was] = task.kept or (), old.kept or ()
    ends = [release(now, each, "UTC").last_day for each in anchors]
    assert was.first is not None
    assert kept.first == min(was.first, *ends)
    assert was.last is not None
    assert kept.last is not None
    assert min(was.last, max(ends)) <= kept.last <= was.last
    assert task.until == kept.last
    moved = (kept.first, kept.last) != (was.first, was.last)
    assert kept.period == str(now if moved else told), "the period is that of the days beside it"


def test_what_stays_for_the_sake_of_others_goes_with_the_last_of_them() -> None:
    request = keeping(OLD, NEW, told=parse_period("P18M"))
    [task] = request.tasks or ()
    [calls] = task.kept or ()
    customer = calls.model_copy(update={"category": "account", "count": 1, "first": calls.last})
    told = a_request(State.CLOSED, tasks=(task.model_copy(update={"kept": (calls, customer)}),))
    [shown] = kept_by_now(told, by(parse_period("P12M")), AT.date()).tasks or ()
    assert [(each.first, each.last) for each in shown.kept or ()] == [
        (date(2027, 2, 28), date(2027, 8, 31)),
        (date(2027, 8, 31), date(2027, 8, 31)),
    ]


def test_what_nobody_knows_a_day_of_and_what_no_rule_of_ours_keeps_stays_as_it_was_told() -> None:
    request = keeping(OLD, told=parse_period("P18M"))
    [task] = request.tasks or ()
    [kept] = task.kept or ()
    for left in (kept.model_copy(update={"first": None, "last": None}), kept.model_copy(update={"rule": "tax_law"})):
        told = a_request(State.CLOSED, tasks=(task.model_copy(update={"kept": (left,)}),))
        assert kept_by_now(told, by(parse_period("P1M")), AT.date()) is told
