"""How a stored request is redated: what a person was told never becomes later by a rule of ours."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from services.intake import redating
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.rights import Right
from shared.domain.time_limit import Arrival
from shared.domain.time_limit_policy import TimeLimitPolicy
from tests.fixtures.requests import AT, POLICY, a_request, promising


def stored(due_on: date = date(2026, 4, 4), **said: Any) -> Request:
    return a_request(State.IN_PROGRESS, right=Right.ACCESS, due_on=due_on, **said)


EXTENDED = stored(date(2026, 5, 29), extended=True)  # as the subject was told


def arrived(days_earlier: int) -> Arrival:
    return replace(stored().arrival, received_at=AT - timedelta(days=days_earlier))


@pytest.mark.parametrize(
    ("on_file", "days_earlier", "due_on"),
    [
        (stored(), 20, date(2026, 3, 13)),  # received 13 February: one month is less than 30 days
        (stored(), -10, date(2026, 4, 14)),
        (EXTENDED, 2, date(2026, 5, 29)),
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
    assert redating.by_policy(EXTENDED, POLICY) is None


@pytest.mark.parametrize(
    ("on_file", "policy", "due_on"),
    [
        (stored(), promising(25), date(2026, 3, 30)),  # less time: earlier
        (stored(date(2026, 3, 15)), promising(20), date(2026, 3, 15)),  # more time changes no promise that was made
        (stored(calc_version="rules-0"), POLICY, date(2026, 4, 4)),  # new rules alone are a reason to look
        (EXTENDED, promising(25), date(2026, 5, 29)),  # an extension survives
        (stored(date(2026, 6, 4), extended=True), promising(25), date(2026, 5, 30)),  # no later than the law allows
    ],
)
def test_a_changed_policy_moves_what_is_due_later_than_it_says_and_is_heeded_once(
    on_file: Request, policy: TimeLimitPolicy, due_on: date
) -> None:
    move = redating.by_policy(on_file, policy)
    assert move is not None
    assert (move.request.due_on, move.request.arrival) == (due_on, on_file.arrival)
    assert redating.by_policy(move.request, policy) is None


def test_a_request_that_a_late_answer_reopened_keeps_the_day_that_the_subject_was_told() -> None:
    reopened = replace(stored(date(2026, 6, 10)), resumed=True)
    assert redating.by_policy(reopened, POLICY) is None
    assert redating.due_after(reopened, arrived(5), POLICY) == date(2026, 6, 10)
