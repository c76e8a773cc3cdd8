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


LATE = replace(asked(6), answered_at=datetime(2026, 3, 9, 3, tzinfo=UTC))  # still the 8th in New York


@pytest.mark.parametrize(
    ("questions", "days"),
    [
        ([], 0),
        ([asked(6, 16)], 10),
        ([asked(6, 6)], 0),
        ([asked(6), asked(6, 16)], 10),  # one that is open has no end yet
        ([asked(6, 16), asked(9, 20, Question.CLARIFICATION)], 14),  # two at once pause a day once
        ([asked(6, 8), asked(10, 12)], 4),
        ([LATE], 2),  # the zone that sees fewer days decides
    ],
)
def test_paused_days_are_whole_local_days_between_question_and_answer(questions: list[Suspension], days: int) -> None:
    assert paused_days(questions, ARRIVAL.zones) == days


@pytest.mark.parametrize(
    ("asked_at", "due_on", "reminders", "last_notice"),
    [
        (at(6), DUE, [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 4, 1)),  # due on Saturday after Good Friday
        (at(6), date(2026, 6, 4), [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 6, 2)),  # extended
        (at(6), date(2026, 3, 7), [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 4, 1)),  # a shorter limit of ours
        (at(26), DUE, [], date(2026, 4, 1)),  # no reminder comes after it
        (at(31), DUE, [], date(2026, 4, 1)),
        (datetime(2026, 4, 1, 12, tzinfo=UTC), DUE, [], date(2026, 4, 8)),  # nobody is given up on in one day
        (datetime(2026, 5, 1, 12, tzinfo=UTC), DUE, [], date(2026, 5, 8)),
    ],
)
def test_silence_is_reminded_and_ends_with_a_notice_two_working_days_before_the_commitment(
    asked_at: datetime, due_on: date, reminders: list[date], last_notice: date
) -> None:
    assert silence(asked_at, ARRIVAL, due_on, POLICY) == (reminders, last_notice)


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "resumed"),
    [
        (at(6), at(31), date(2026, 4, 29)),
        # never more than a fresh commitment: one month, although thirty days were left
        (ARRIVAL.received_at, datetime(2027, 2, 1, 12, tzinfo=UTC), date(2027, 3, 1)),
        # where no time was left, the day on which the reply comes
        (datetime(2026, 4, 20, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC), date(2026, 6, 1)),
    ],
)
def test_a_late_answer_gets_the_time_that_was_left_when_the_question_was_sent(
    asked_at: datetime, answered_at: datetime, resumed: date
) -> None:
    assert resumed_due(asked_at, answered_at, ARRIVAL.zones, DUE, POLICY) == resumed
