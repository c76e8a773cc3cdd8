"""When a question stops the statutory clock, for how long, and what happens when nobody answers."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from shared.domain.suspension import NotCounted, Suspension, not_counted, paused_days, resumed_due, silence
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import Question, read_policy

POLICY = read_policy()
ARRIVAL = Arrival(datetime(2026, 3, 5, 9, tzinfo=UTC), ("Europe/Berlin", "America/New_York"), "DE-BE")  # a Thursday
DUE = limits(ARRIVAL, POLICY).commit_due


def at(day: int) -> datetime:
    return datetime(2026, 3, day, 12, tzinfo=UTC)


def asked(
    day: int, answered: int | None = None, question: Question = Question.IDENTITY, *, recorded: bool = True
) -> Suspension:
    return Suspension(question, at(day), None if answered is None else at(answered), recorded)


@pytest.mark.parametrize(
    ("suspension", "regime", "reason"),
    [
        (asked(6), "EU", None),
        (asked(10, question=Question.CLARIFICATION), "UK", None),
        (asked(10), "EU", None),  # the third working day, over a weekend
        (asked(11), "EU", NotCounted.ASKED_TOO_LATE),
        (asked(6, recorded=False), "EU", NotCounted.CONDITION_NOT_RECORDED),
        (asked(6), "US", NotCounted.OUT_OF_SCOPE),
    ],
)
def test_a_question_counts_when_asked_in_time_for_a_recorded_reason(
    suspension: Suspension, regime: str, reason: NotCounted | None
) -> None:
    assert not_counted(suspension, ARRIVAL, regime, POLICY) is reason


def test_paused_days_are_whole_local_days_between_question_and_answer() -> None:
    assert paused_days([asked(6, 16)], ARRIVAL.zones) == 10
    assert paused_days([asked(6, 6)], ARRIVAL.zones) == 0
    assert paused_days([asked(6), asked(6, 16)], ARRIVAL.zones) == 10  # one that is open has no end yet
    assert paused_days([], ARRIVAL.zones) == 0


def test_two_questions_at_once_pause_a_day_once() -> None:
    both = [asked(6, 16), asked(9, 20, Question.CLARIFICATION)]
    assert paused_days(both, ARRIVAL.zones) == 14
    assert paused_days([asked(6, 8), asked(10, 12)], ARRIVAL.zones) == 4


def test_the_zone_that_sees_fewer_days_decides() -> None:
    late = replace(asked(6), answered_at=datetime(2026, 3, 9, 3, tzinfo=UTC))
    assert paused_days([late], ARRIVAL.zones) == 2  # still the 8th in New York


def test_silence_is_reminded_and_ends_with_a_notice_two_working_days_before_the_commitment() -> None:
    reminders = [date(2026, 3, 13), date(2026, 3, 20)]
    assert silence(at(6), ARRIVAL, DUE, POLICY) == (
        reminders,
        date(2026, 4, 1),
    )  # due on the Saturday after Good Friday


def test_an_extension_gives_more_time_to_answer_and_a_shorter_limit_of_our_own_takes_none() -> None:
    assert silence(at(6), ARRIVAL, date(2026, 6, 4), POLICY)[1] == date(2026, 6, 2)
    assert silence(at(6), ARRIVAL, date(2026, 3, 7), POLICY)[1] == date(2026, 4, 1)


@pytest.mark.parametrize(
    ("asked_at", "last_notice"),
    [
        (datetime(2026, 3, 26, 12, tzinfo=UTC), date(2026, 4, 1)),  # no reminder comes after it
        (datetime(2026, 3, 31, 12, tzinfo=UTC), date(2026, 4, 1)),
        (datetime(2026, 4, 1, 12, tzinfo=UTC), date(2026, 4, 8)),
        (datetime(2026, 5, 1, 12, tzinfo=UTC), date(2026, 5, 8)),
    ],
)
def test_nobody_is_asked_and_given_up_on_in_one_day(asked_at: datetime, last_notice: date) -> None:
    assert silence(asked_at, ARRIVAL, DUE, POLICY) == ([], last_notice)


def test_a_late_answer_gets_the_time_that_was_left_when_the_question_was_sent() -> None:
    assert resumed_due(at(6), at(31), ARRIVAL.zones, DUE, POLICY) == date(2026, 4, 29)


def test_a_late_answer_never_gets_more_than_a_fresh_commitment() -> None:
    answered = datetime(2027, 2, 1, 12, tzinfo=UTC)
    resumed = resumed_due(ARRIVAL.received_at, answered, ARRIVAL.zones, DUE, POLICY)
    assert resumed == date(2027, 3, 1)  # one month; thirty days were left


def test_where_no_time_was_left_the_answer_is_due_on_the_day_on_which_the_reply_comes() -> None:
    asked_at, answered = datetime(2026, 4, 20, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert resumed_due(asked_at, answered, ARRIVAL.zones, DUE, POLICY) == date(2026, 6, 1)
