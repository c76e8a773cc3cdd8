"""Milestones are told once each, in order, whatever happened to the service or the machine's clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deadline.milestones import (
    Approaching,
    Clock,
    Milestone,
    Overdue,
    due,
    escalates,
    next_at,
    prompts,
    schedule,
)
from shared.domain.time_limit import Arrival, limits
from shared.domain.time_limit_policy import read_policy

POLICY = read_policy()
RECEIVED = datetime(2026, 3, 5, 9, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York")
TICK = timedelta(microseconds=1)


def clock_of(received_at: datetime) -> Clock:
    found = limits(Arrival(received_at, ZONES, "DE-BE"), POLICY)
    return Clock(
        received_at, ZONES, found.commit_due, found.commit_due_instant, found.statutory_due, found.statutory_due_instant
    )


CLOCK = clock_of(RECEIVED)
SCHEDULE = schedule(CLOCK, (7, 3, 1))


def test_a_request_has_five_milestones_at_the_local_days_before_its_end() -> None:
    assert [(each.level, each.at.isoformat()) for each in SCHEDULE] == [
        ("approaching_7d", "2026-03-27T23:00:00+00:00"),  # the 28th begins in Berlin, still on winter time
        ("approaching_3d", "2026-03-31T22:00:00+00:00"),
        ("approaching_1d", "2026-04-02T22:00:00+00:00"),
        ("overdue_commitment", "2026-04-04T22:00:00+00:00"),
        ("overdue_statutory", "2026-04-07T22:00:00+00:00"),
    ]


@given(st.lists(st.floats(0, 60), max_size=30))
def test_each_milestone_is_told_once_whenever_the_service_looks(moments: list[float]) -> None:
    told: list[Milestone] = []
    told_until = None
    for moment in [*moments, 60.0]:  # in any order: the machine's clock may jump back
        now = RECEIVED + timedelta(days=moment)
        if fresh := due(SCHEDULE, told_until, now):
            told += fresh
            told_until = fresh[-1].at
    assert told == SCHEDULE
    assert next_at(SCHEDULE, told_until) is None


def test_a_milestone_is_due_at_its_instant_and_not_before() -> None:
    first = SCHEDULE[0]
    assert due(SCHEDULE, None, first.at - TICK) == []
    assert due(SCHEDULE, None, first.at) == [first]
    assert due(SCHEDULE, first.at, first.at + TICK) == []


def test_the_next_look_is_at_the_first_milestone_that_was_not_told() -> None:
    assert next_at(SCHEDULE, None) == SCHEDULE[0].at
    assert next_at(SCHEDULE, SCHEDULE[2].at) == SCHEDULE[3].at


def test_a_limit_of_two_days_is_not_approaching_before_it_was_received() -> None:
    due_at = RECEIVED + timedelta(hours=48)
    short = Clock(RECEIVED, ZONES, due_at.date(), due_at, CLOCK.statutory_due_on, CLOCK.statutory_due_at)
    assert [each.level for each in schedule(short, (7, 3, 1))] == [
        "approaching_1d",
        "overdue_commitment",
        "overdue_statutory",
    ]


def test_a_commitment_that_ends_with_the_law_is_told_before_it() -> None:
    both = schedule(clock_of(datetime(2026, 8, 31, 8, tzinfo=UTC)), ())
    assert [each.level for each in both] == ["overdue_commitment", "overdue_statutory"]
    assert both[0].at == both[1].at


@pytest.mark.parametrize(
    ("milestone", "expected"),
    [
        (Approaching(RECEIVED, 7), False),
        (Approaching(RECEIVED, 3), True),
        (Approaching(RECEIVED, 1), True),
        (Overdue(RECEIVED, "commitment", CLOCK.due_on), True),
    ],
)
def test_people_are_brought_in_when_it_is_near_or_late(milestone: Milestone, *, expected: bool) -> None:
    assert escalates(milestone, escalate_days=3) is expected


@pytest.mark.parametrize(
    ("milestone", "expected"),
    [
        (Approaching(RECEIVED, 7), True),
        (Approaching(RECEIVED, 3), False),
        (Overdue(RECEIVED, "commitment", CLOCK.due_on), False),
    ],
)
def test_extend_or_answer_is_asked_with_the_milestone_of_its_day(milestone: Milestone, *, expected: bool) -> None:
    assert POLICY.prompt is not None
    assert prompts(milestone, POLICY.prompt) is expected
