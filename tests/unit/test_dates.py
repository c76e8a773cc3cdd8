"""How a request on file is redated: what a person was told never becomes later by a rule of ours."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from uuid_utils.compat import uuid7

from services.intake import dates
from services.intake.register import Filed
from services.intake.request import Request, State
from shared.domain.rights import Right, Role
from shared.domain.time_limit import Arrival, calc_version
from shared.domain.time_limit_policy import TimeLimitPolicy, read_policy

POLICY = read_policy()
ZONES = ("America/New_York", "Europe/Berlin")
AT = datetime(2026, 3, 5, 9, tzinfo=UTC)  # due 4 April


def filed(due_on: date = date(2026, 4, 4), *, extended: bool = False, role: Role = "controller") -> Filed:
    request = Request(uuid7(), uuid7(), Right.ACCESS, State.IN_PROGRESS, None, "api", AT, AT, due_on, role=role)
    return Filed(request, "key", zones=ZONES, calendar="DE", extended=extended, calc_version=calc_version(POLICY))


def promising(days: int) -> TimeLimitPolicy:
    """A policy that promises an answer within so many days."""
    commitment = POLICY.commitment.model_copy(update={"days": days})
    return POLICY.model_copy(update={"commitment": commitment, "version": f"test-{days}"})


@pytest.mark.parametrize(
    ("on_file", "days_earlier", "due_on"),
    [
        (filed(), 20, date(2026, 3, 13)),  # received 13 February: one month is less than 30 days
        (filed(), -10, date(2026, 4, 14)),
        (filed(date(2026, 5, 29), extended=True), 2, date(2026, 5, 29)),  # as the subject was told
        (filed(date(2026, 6, 4), extended=True), 20, date(2026, 5, 13)),  # no later than the law allows
        (filed(date(2026, 3, 9), role="processor"), 1, date(2026, 3, 6)),
    ],
)
def test_a_corrected_receipt_gives_the_due_date_that_it_would_have_had(
    on_file: Filed, days_earlier: int, due_on: date
) -> None:
    arrival = Arrival(AT - timedelta(days=days_earlier), ZONES, "DE")
    assert dates.of_receipt(on_file, arrival, POLICY).due_on == due_on


def test_nothing_moves_while_policy_and_holidays_are_the_same() -> None:
    assert dates.of_policy(filed(), POLICY) is None
    assert dates.of_policy(filed(date(2026, 5, 29), extended=True), POLICY) is None


def test_a_policy_that_promises_less_time_makes_it_due_earlier() -> None:
    move = dates.of_policy(filed(), promising(25))
    assert move is not None
    assert (move.due_on, move.arrival) == (date(2026, 3, 30), Arrival(AT, ZONES, "DE"))


def test_a_request_that_a_late_answer_reopened_keeps_the_day_that_the_subject_was_told() -> None:
    reopened = replace(filed(date(2026, 6, 10)), resumed=True)
    assert dates.of_policy(reopened, POLICY) is None
    assert dates.of_receipt(reopened, Arrival(AT - timedelta(days=5), ZONES, "DE"), POLICY).due_on == date(2026, 6, 10)


def test_a_policy_that_promises_more_time_changes_no_promise_that_was_made() -> None:
    short = filed(date(2026, 3, 15))
    move = dates.of_policy(short, promising(20))
    assert move is not None
    assert move.due_on == date(2026, 3, 15)
    assert dates.of_policy(replace(short, calc_version=calc_version(promising(20))), promising(20)) is None


def test_new_rules_alone_are_a_reason_to_compute_the_law_s_limit_anew() -> None:
    move = dates.of_policy(replace(filed(), calc_version="rules-0"), POLICY)
    assert move is not None
    assert move.due_on == date(2026, 4, 4)


def test_an_extension_survives_a_changed_policy() -> None:
    move = dates.of_policy(filed(date(2026, 5, 29), extended=True), promising(25))
    assert move is not None
    assert move.due_on == date(2026, 5, 29)
    capped = dates.of_policy(filed(date(2026, 6, 4), extended=True), promising(25))
    assert capped is not None
    assert capped.due_on == date(2026, 5, 30)
