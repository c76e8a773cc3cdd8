"""Which targets of the staff are missed at an instant, and who is told."""

from datetime import UTC, datetime, timedelta

import pytest

from services.deadline.targets import STEPS, Step, first_at, missed, next_at, schedule, to_tell
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import TargetName, read_policy

POLICY = read_policy()
RECEIVED = datetime(2026, 3, 5, 9, tzinfo=UTC)  # a Thursday
ARRIVAL = Arrival(RECEIVED, ("Europe/Berlin", "America/New_York"), "DE-BE")
DUE_AT = limits(ARRIVAL, POLICY).commit_due_instant
SCHEDULE = schedule(ARRIVAL, DUE_AT, POLICY)
TICK = timedelta(microseconds=1)


def test_the_targets_of_a_request_end_with_their_days_where_the_day_ends_first() -> None:
    assert [(each.name, each.day.isoformat(), each.at.isoformat(), each.escalate_to) for each in SCHEDULE] == [
        ("triage", "2026-03-09", "2026-03-09T23:00:00+00:00", "team_lead"),
        ("question_sent", "2026-03-10", "2026-03-10T23:00:00+00:00", "team_lead"),
        ("collection", "2026-03-15", "2026-03-15T23:00:00+00:00", "system_owner"),
        ("review", "2026-03-25", "2026-03-25T23:00:00+00:00", "dpo"),
    ]
    assert first_at(ARRIVAL, DUE_AT, POLICY) == SCHEDULE[0].at


@pytest.mark.parametrize(
    ("days", "taken", "told", "expected"),
    [
        (4, (), (), []),
        (5, (), (), ["triage"]),
        (5, (Step.TRIAGED,), (), []),
        (6, (), (), ["triage", "question_sent"]),
        (6, (), (TargetName.TRIAGE,), ["question_sent"]),
        (11, (Step.TRIAGED,), (), ["collection"]),
        (11, (Step.TRIAGED, Step.COLLECTED), (), []),
        (21, (Step.TRIAGED, Step.COLLECTED), (), ["review"]),
        (90, (), (), ["triage", "question_sent", "collection", "review"]),
        (90, (), tuple(STEPS), []),
    ],
)
def test_a_target_is_missed_when_it_has_passed_without_its_step_and_nobody_was_told(
    days: int, taken: tuple[Step, ...], told: tuple[TargetName, ...], expected: list[str]
) -> None:
    found = missed(SCHEDULE, taken, told, RECEIVED + timedelta(days=days))
    assert [each.name for each in found] == expected


def test_a_target_is_missed_at_its_instant_and_not_before() -> None:
    first = SCHEDULE[0]
    assert missed(SCHEDULE, (), (), first.at - TICK) == []
    assert missed(SCHEDULE, (), (), first.at) == [first]
    assert next_at(SCHEDULE, first.at - TICK) == first.at
    assert next_at(SCHEDULE, first.at) == SCHEDULE[1].at
    assert next_at(SCHEDULE, SCHEDULE[-1].at) is None


def test_of_many_missed_at_once_each_role_is_told_the_latest() -> None:
    assert [each.level for each in to_tell(SCHEDULE)] == ["target_question_sent", "target_collection", "target_review"]


def test_a_limit_of_two_days_leaves_no_target_that_ends_after_it() -> None:
    assert schedule(ARRIVAL, RECEIVED + timedelta(hours=48), POLICY) == []
    assert first_at(ARRIVAL, RECEIVED + timedelta(hours=48), POLICY) is None


def test_a_target_that_the_policy_leaves_out_is_not_watched() -> None:
    without = POLICY.model_copy(update={"targets": {TargetName.REVIEW: POLICY.targets[TargetName.REVIEW]}})
    assert [each.name for each in schedule(ARRIVAL, DUE_AT, without)] == [TargetName.REVIEW]
