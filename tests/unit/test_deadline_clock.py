"""What is to be said of a request and when: milestones, once each and in order, and the staff's targets."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deadline.clock import (
    FLAG,
    STEPS,
    Clock,
    Due,
    Step,
    due_by,
    latest_for_each,
    milestones_of,
    missed_targets,
    next_at,
    targets_of,
)
from services.deadline.transitions import redate, start, verify
from shared.domain.events import RequestReceived, RequestRedated
from shared.domain.time_limit import Arrival, due_on
from shared.domain.time_limit_policy import TargetName, read_policy
from tests.fixtures.events import a

POLICY = read_policy()
RECEIVED = datetime(2026, 3, 5, 9, tzinfo=UTC)  # a Thursday
ZONES = ("Europe/Berlin", "America/New_York")
TICK = timedelta(microseconds=1)


def clock_of(received_at: datetime) -> Clock:
    arrival = Arrival(received_at, ZONES, "DE-BE")
    event = a(RequestReceived, received_at=received_at, occurred_at=received_at, zones=ZONES, calendar="DE-BE")
    day = due_on(arrival, event.right, None, POLICY)
    return start(event.model_copy(update={"due_on": day}), POLICY, None)


CLOCK = clock_of(RECEIVED)
MILESTONES = milestones_of(CLOCK, POLICY)
TARGETS = targets_of(CLOCK, POLICY)


def test_a_request_has_five_milestones_at_the_local_days_before_its_end() -> None:
    assert [(each.name, each.at.isoformat()) for each in MILESTONES] == [
        ("approaching_7d", "2026-03-27T23:00:00+00:00"),  # the 28th begins in Berlin, still on winter time
        ("approaching_3d", "2026-03-31T22:00:00+00:00"),
        ("approaching_1d", "2026-04-02T22:00:00+00:00"),
        ("overdue_commitment", "2026-04-04T22:00:00+00:00"),
        ("overdue_statutory", "2026-04-07T22:00:00+00:00"),
    ]


@given(st.lists(st.floats(0, 60), max_size=30))
def test_each_milestone_is_said_once_whenever_the_service_looks(moments: list[float]) -> None:
    said: list[Due] = []
    notified_until = None
    for moment in [*moments, 60.0]:  # in any order: the machine's clock may jump back
        if fresh := due_by(MILESTONES, notified_until, RECEIVED + timedelta(days=moment)):
            said += fresh
            notified_until = fresh[-1].at
    assert said == MILESTONES
    assert next_at(MILESTONES, notified_until) is None


@pytest.mark.parametrize("dues", [MILESTONES, TARGETS])
def test_a_thing_is_due_at_its_instant_and_not_before(dues: list[Due]) -> None:
    first, second, *_ = dues
    assert due_by(dues, None, first.at - TICK) == []
    assert due_by(dues, None, first.at) == [first]
    assert due_by(dues, first.at, first.at + TICK) == []
    assert next_at(dues, None) == next_at(dues, first.at - TICK) == first.at
    assert next_at(dues, first.at) == second.at
    assert next_at(dues, dues[-1].at) is None


def test_a_limit_of_two_days_is_not_approaching_before_it_was_received_and_has_no_target_after_it() -> None:
    due_at = RECEIVED + timedelta(hours=48)
    short = replace(CLOCK, due_on=due_at.date(), due_at=due_at)
    names = [each.name for each in milestones_of(short, POLICY)]
    assert names == ["approaching_1d", "overdue_commitment", "overdue_statutory"]
    assert targets_of(short, POLICY) == []


def test_a_commitment_that_ends_with_the_law_is_said_before_it() -> None:
    *_, commitment, statutory = milestones_of(clock_of(datetime(2026, 8, 31, 8, tzinfo=UTC)), POLICY)
    assert (commitment.name, statutory.name) == ("overdue_commitment", "overdue_statutory")
    assert commitment.at == statutory.at


@pytest.mark.parametrize(
    ("extended", "levels"),
    [
        (False, ["extend_or_answer", "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]),
        (True, [None, "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]),
    ],
)
def test_people_are_brought_in_to_extend_or_answer_and_when_it_is_near_or_late(
    levels: list[str | None], *, extended: bool
) -> None:
    found = milestones_of(replace(CLOCK, extended=extended), POLICY)
    assert [each.level for each in found] == levels
    assert [each.escalate_to for each in found] == [() if extended else ("dpo",), *[()] * 4]


def test_people_are_asked_to_extend_or_answer_on_the_one_day_that_the_policy_names() -> None:
    assert POLICY.prompt is not None
    later = POLICY.prompt.model_copy(update={"days_before_due": 3})
    targets = {**POLICY.targets, TargetName.EXTEND_OR_ANSWER: later}
    found = milestones_of(CLOCK, POLICY.model_copy(update={"targets": targets}))
    assert [each.level for each in found][:3] == [None, "extend_or_answer", "approaching_1d"]


@pytest.mark.parametrize("days", [0, 1, 4, 5, 9])
def test_a_request_whose_days_move_is_still_told_of_what_it_was_not_told_of_and_of_nothing_twice(days: int) -> None:
    until = MILESTONES[0].at
    day, came = CLOCK.due_on - timedelta(days=days), RECEIVED - timedelta(days=30)
    event = a(RequestRedated, due_on=day, received_at=came, zones=ZONES, calendar="DE-BE")
    moved = redate(replace(CLOCK, notified_until=until), event, POLICY)
    told_of = next(each for each in milestones_of(moved, POLICY) if each.name != MILESTONES[0].name)
    assert moved.next_milestone_at == told_of.at
    assert due_by(milestones_of(moved, POLICY), moved.notified_until, max(until, told_of.at))[0] == told_of


def test_the_flag_is_due_fifteen_minutes_after_it_is_proven_who_asks() -> None:
    flagged = verify(CLOCK, RECEIVED, POLICY)
    assert milestones_of(flagged, POLICY)[0] == Due(RECEIVED + timedelta(minutes=15), FLAG, date(2026, 4, 4))
    assert flagged.next_milestone_at == RECEIVED + timedelta(minutes=15)
    late = verify(CLOCK, datetime(2026, 3, 28, tzinfo=UTC), POLICY)
    assert late.next_milestone_at == CLOCK.next_milestone_at


def test_the_targets_of_a_request_end_with_their_days_where_the_day_ends_first() -> None:
    assert [(each.name, each.day.isoformat(), each.at.isoformat(), *each.escalate_to) for each in TARGETS] == [
        ("triage", "2026-03-09", "2026-03-09T23:00:00+00:00", "team_lead"),
        ("question_sent", "2026-03-10", "2026-03-10T23:00:00+00:00", "team_lead"),
        ("collection", "2026-03-15", "2026-03-15T23:00:00+00:00", "system_owner"),
        ("review", "2026-03-25", "2026-03-25T23:00:00+00:00", "dpo"),
    ]
    assert CLOCK.next_target_at == TARGETS[0].at


@pytest.mark.parametrize(
    ("days", "taken", "said", "expected"),
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
    days: int, taken: tuple[Step, ...], said: tuple[TargetName, ...], expected: list[str]
) -> None:
    found = missed_targets(TARGETS, taken, said, RECEIVED + timedelta(days=days))
    assert [each.name for each in found] == expected


def test_of_many_missed_at_once_each_role_is_told_the_latest() -> None:
    levels = [each.level for each in latest_for_each(TARGETS)]
    assert levels == ["target_question_sent", "target_collection", "target_review"]


def test_a_target_that_the_policy_leaves_out_is_not_watched() -> None:
    without = POLICY.model_copy(update={"targets": {TargetName.REVIEW: POLICY.targets[TargetName.REVIEW]}})
    assert [each.name for each in targets_of(CLOCK, without)] == [TargetName.REVIEW]
