"""The lifecycle of a request: which states may follow which, and that nothing else is possible."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product

import pytest
from uuid_utils.compat import uuid7

from services.intake.request import FOLLOWS, Request, State
from shared.domain.errors import IllegalTransition
from shared.domain.rights import Outcome, Right

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ALLOWED = {
    (State.RECEIVED, State.AWAITING_IDENTITY),
    (State.RECEIVED, State.AWAITING_CLARIFICATION),
    (State.RECEIVED, State.IN_PROGRESS),
    (State.RECEIVED, State.AWAITING_DECISION),
    (State.RECEIVED, State.RESPONDED),
    (State.AWAITING_IDENTITY, State.IN_PROGRESS),
    (State.AWAITING_IDENTITY, State.RESPONDED),
    (State.AWAITING_CLARIFICATION, State.IN_PROGRESS),
    (State.AWAITING_CLARIFICATION, State.AWAITING_DECISION),
    (State.AWAITING_CLARIFICATION, State.RESPONDED),
    (State.IN_PROGRESS, State.AWAITING_CLARIFICATION),
    (State.IN_PROGRESS, State.AWAITING_DECISION),
    (State.IN_PROGRESS, State.RESPONDED),
    (State.AWAITING_DECISION, State.IN_PROGRESS),
    (State.AWAITING_DECISION, State.AWAITING_CLARIFICATION),
    (State.AWAITING_DECISION, State.RESPONDED),
    (State.RESPONDED, State.CLOSED),
}
TRANSITIONS = list(product(State, State))


def request(state: State) -> Request:
    return Request(uuid7(), uuid7(), Right.ERASURE, state, None, "portal", AT, AT, date(2026, 4, 2))


@pytest.mark.parametrize(("before", "after"), TRANSITIONS, ids=[f"{a}-{b}" for a, b in TRANSITIONS])
def test_a_state_follows_another_only_where_the_lifecycle_says_so(before: State, after: State) -> None:
    if (before, after) in ALLOWED:
        assert request(before).to(after).state is after
    else:
        with pytest.raises(IllegalTransition, match=f"that is {before} cannot become {after}"):
            request(before).to(after)


def test_every_state_but_the_last_leads_to_the_end() -> None:
    for state in State:
        reached = {state}
        while more := set().union(*(FOLLOWS[each] for each in reached)) - reached:
            reached |= more
        assert State.CLOSED in reached


@pytest.mark.parametrize("state", [s for s in State if s not in {State.RESPONDED, State.CLOSED}])
@pytest.mark.parametrize("outcome", Outcome)
def test_an_answer_stops_the_clock_and_closes_the_request_with_its_outcome(state: State, outcome: Outcome) -> None:
    closed = request(state).answered(outcome, AT)
    assert (closed.state, closed.outcome) == (State.CLOSED, outcome)
    assert closed.responded_at == closed.closed_at == AT


def test_a_request_is_answered_once() -> None:
    closed = request(State.IN_PROGRESS).answered(Outcome.FULFILLED, AT)
    with pytest.raises(IllegalTransition):
        closed.answered(Outcome.REFUSED, AT)


def test_only_a_closure_for_want_of_an_answer_can_be_resumed() -> None:
    final = request(State.IN_PROGRESS).answered(Outcome.FULFILLED, AT)
    silent = request(State.AWAITING_IDENTITY).answered(Outcome.UNIDENTIFIED, AT, resumable=True)
    reopened = silent.reopened(date(2026, 5, 1))
    assert (reopened.state, reopened.due_on, reopened.resumable) == (State.IN_PROGRESS, date(2026, 5, 1), False)
    assert (reopened.outcome, reopened.responded_at, reopened.closed_at) == (None, None, None)
    with pytest.raises(IllegalTransition):
        final.reopened(date(2026, 5, 1))


@pytest.mark.parametrize("state", [s for s in State if s not in {State.IN_PROGRESS, State.RESPONDED}])
def test_what_may_be_resumed_leads_nowhere_else(state: State) -> None:
    silent = request(State.AWAITING_IDENTITY).answered(Outcome.UNIDENTIFIED, AT, resumable=True)
    with pytest.raises(IllegalTransition):
        silent.to(state)


def test_a_request_that_was_resumed_is_answered_once_more_and_for_good() -> None:
    silent = request(State.IN_PROGRESS).answered(Outcome.PARTIALLY_FULFILLED, AT, resumable=True)
    closed = silent.reopened(date(2026, 5, 1)).answered(Outcome.FULFILLED, AT)
    withdrawn = silent.answered(Outcome.WITHDRAWN, AT)
    assert (closed.outcome, closed.resumable) == (Outcome.FULFILLED, False)
    assert (withdrawn.outcome, withdrawn.resumable) == (Outcome.WITHDRAWN, False)


def test_what_a_customer_decides_about_waits_for_a_person_and_is_never_worked_by_us() -> None:
    theirs = replace(request(State.RECEIVED), role="processor")
    assert theirs.goes_on is State.AWAITING_DECISION
    assert request(State.RECEIVED).goes_on is State.IN_PROGRESS
    request(State.RECEIVED).must_be_ours()
    with pytest.raises(IllegalTransition, match="forward"):
        theirs.must_be_ours()
