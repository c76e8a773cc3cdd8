"""How a stored request is redated: what a person was told never becomes later by a rule of ours."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.intake import redating
from services.intake.lifecycle import State
from services.intake.request import Request
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival
from tests.fixtures.requests import AT, POLICY, a_request, promising


def stored(due_on: date = date(2026, 4, 4), **said: Any) -> Request:
    return a_request(State.IN_PROGRESS, right=Right.ACCESS, due_on=due_on, **said)


def arrived(days_earlier: int) -> Arrival:
    return replace(stored().arrival, received_at=AT - timedelta(days=days_earlier))


@pytest.mark.parametrize(
    ("on_file", "days_earlier", "due_on"),
    [
        (stored(), 20, date(2026, 3, 13)),  # received 13 February: one month is less than 30 days
        (stored(), -10, date(2026, 4, 14)),
        (stored(date(2026, 5, 29), extended=True), 2, date(2026, 5, 29)),  # as the subject was told
        (stored(date(2026, 6, 4), extended=True), 20, date(2026, 5, 13)),  # no later than the law allows
        (stored(date(2026, 3, 9), role="processor"), 1, date(2026, 3, 6)),
    ],
)
def test_a_corrected_receipt_gives_the_due_date_that_it_would_have_had(
    on_file: Request, days_earlier: int, due_on: date
) -> None:
    assert redating.due_after(on_file, arrived(days_earlier), POLICY) == due_on


def test_nothing_moves_while_policy_and_holidays_are_the_same() -> None:
    assert redating.by_policy(stored(), POLICY) is None
    assert redating.by_policy(stored(date(2026, 5, 29), extended=True), POLICY) is None


def test_a_policy_that_promises_less_time_makes_it_due_earlier() -> None:
    move = redating.by_policy(stored(), promising(25))
    assert move is not None
    assert (move.request.due_on, move.request.arrival) == (date(2026, 3, 30), stored().arrival)


def test_a_request_that_a_late_answer_reopened_keeps_the_day_that_the_subject_was_told() -> None:
    reopened = replace(stored(date(2026, 6, 10)), resumed=True)
    assert redating.by_policy(reopened, POLICY) is None
    assert redating.due_after(reopened, arrived(5), POLICY) == date(2026, 6, 10)


def test_a_policy_that_promises_more_time_changes_no_promise_that_was_made() -> None:
    short = stored(date(2026, 3, 15))
    move = redating.by_policy(short, promising(20))
    assert move is not None
    assert move.request.due_on == date(2026, 3, 15)
    assert redating.by_policy(replace(short, calc_version=move.request.calc_version), promising(20)) is None


def test_new_rules_alone_are_a_reason_to_compute_the_law_s_limit_anew() -> None:
    move = redating.by_policy(replace(stored(), calc_version="rules-0"), POLICY)
    assert move is not None
    assert move.request.due_on == date(2026, 4, 4)


def test_an_extension_survives_a_changed_policy() -> None:
    move = redating.by_policy(stored(date(2026, 5, 29), extended=True), promising(25))
    assert move is not None
    assert move.request.due_on == date(2026, 5, 29)
    capped = redating.by_policy(stored(date(2026, 6, 4), extended=True), promising(25))
    assert capped is not None
    assert capped.request.due_on == date(2026, 5, 30)
