"""When a question stops the statutory clock, for how long, and what happens when nobody answers."""

from datetime import UTC, date, datetime

import pytest

from shared.suspension import NotCounted, Suspension, not_counted, paused_days, resumed_due, silence
from shared.time_limit import Arrival, limits
from shared.time_limit_policy import Question, read_policy

POLICY = read_policy()
ARRIVAL = Arrival(datetime(2026, 3, 5, 9, tzinfo=UTC), ("Europe/Berlin", "America/New_York"), "DE-BE")  # a Thursday
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


def asked(
    day: int, answered: int | None = None, question: Question = Question.IDENTITY, *, recorded: bool = True
) -> Suspension:
    reply = None if answered is None else datetime(2026, 3, answered, 12, tzinfo=UTC)
    return Suspension(question, datetime(2026, 3, day, 12, tzinfo=UTC), reply, recorded)


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
    assert paused_days([asked(6, 16)], ARRIVAL, "EU", POLICY, NOW) == 10
    assert paused_days([asked(6, 6)], ARRIVAL, "EU", POLICY, NOW) == 0
    assert paused_days([asked(6)], ARRIVAL, "EU", POLICY, NOW) == 25
    assert paused_days([], ARRIVAL, "EU", POLICY, NOW) == 0


def test_two_questions_at_once_pause_a_day_once() -> None:
    both = [asked(6, 16), asked(9, 20, Question.CLARIFICATION)]
    assert paused_days(both, ARRIVAL, "EU", POLICY, NOW) == 14
    assert paused_days([asked(6, 8), asked(10, 12)], ARRIVAL, "EU", POLICY, NOW) == 4


def test_the_zone_that_sees_fewer_days_decides() -> None:
    late = Suspension(
        Question.IDENTITY,
        datetime(2026, 3, 6, 12, tzinfo=UTC),
        datetime(2026, 3, 9, 3, tzinfo=UTC),
        condition_recorded=True,
    )
    assert paused_days([late], ARRIVAL, "EU", POLICY, NOW) == 2  # still the 8th in New York


def test_what_does_not_count_pauses_nothing() -> None:
    assert paused_days([asked(20, 30), asked(6, 16, recorded=False)], ARRIVAL, "EU", POLICY, NOW) == 0


def test_silence_is_reminded_and_ends_with_a_notice_two_working_days_before_the_commitment() -> None:
    found = silence(asked(6), ARRIVAL, limits(ARRIVAL, POLICY), POLICY)
    assert found.reminders == (date(2026, 3, 13), date(2026, 3, 20))
    assert found.last_notice == date(2026, 4, 1)  # due on the Saturday after Good Friday


def test_no_reminder_is_sent_after_the_last_notice() -> None:
    assert silence(asked(26), ARRIVAL, limits(ARRIVAL, POLICY), POLICY).reminders == ()


def test_a_late_answer_gets_the_time_that_was_left_when_the_question_was_sent() -> None:
    assert resumed_due(asked(6, 31), ARRIVAL, limits(ARRIVAL, POLICY), POLICY) == date(2026, 4, 29)


def test_a_late_answer_never_gets_more_than_a_fresh_commitment() -> None:
    due = limits(ARRIVAL, POLICY)
    on_receipt = Suspension(
        Question.IDENTITY, ARRIVAL.received_at, datetime(2027, 2, 1, 12, tzinfo=UTC), condition_recorded=True
    )
    assert resumed_due(on_receipt, ARRIVAL, due, POLICY) == date(2027, 3, 1)  # one month; thirty days were left


def test_an_open_question_has_no_new_date() -> None:
    with pytest.raises(ValueError, match="not answered"):
        resumed_due(asked(6), ARRIVAL, limits(ARRIVAL, POLICY), POLICY)
