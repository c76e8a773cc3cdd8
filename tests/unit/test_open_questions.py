"""An open question governs: whatever else happens meanwhile, the request goes on to an answer."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.letters import questions
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentCompleted,
    QuestionAnswered,
    QuestionUnanswered,
    RequestVerified,
    RetryDecided,
)
from shared.domain.operations import TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import say
from shared.domain.time_limit_policy import Question
from tests.fixtures.events import a
from tests.fixtures.requests import AT, POLICY, a_request, open_question
from tests.fixtures.words import answer, done, words

QUESTION = uuid7()
COPIED = TaskReport(task_id=uuid7(), system="crm", operation="export", outcome=TaskOutcome.EXPORTED, found=1)
LACKING = {"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": "nothing_to_search_by"}
UNSEARCHED = TaskReport.model_validate({**COPIED.model_dump(), "task_id": uuid7(), "system": "cdr", **LACKING})
SEARCHED = UNSEARCHED.model_copy(update={"outcome": TaskOutcome.EXPORTED, "not_searched": None})
BY_HAND = COPIED.model_copy(update={"system": "billing", "outcome": None, "failure": "not_supported", "found": 0})
FAILED = BY_HAND.model_copy(update={"system": "orders", "failure": "system_failed", "task_id": uuid7()})


def asked(*tasks: TaskReport, **said: Any) -> Request:
    known = {"right": Right.ACCESS, "question": open_question(QUESTION), "tasks": tasks or (COPIED, UNSEARCHED), **said}
    return a_request(known.pop("state", State.AWAITING_CLARIFICATION), **known)


def blocked(request: Request, *tasks: TaskReport) -> Request:
    return request.block(a(FulfilmentBlocked, tasks=tasks)).request


def last_notice(request: Request) -> Any:
    question = Question.IDENTITY if request.state is State.AWAITING_IDENTITY else Question.CLARIFICATION
    event = a(QuestionUnanswered, question_id=QUESTION, question=question, notice="last_notice")
    return request.unanswered(event, "Which?", AT)


def test_a_result_that_is_entered_by_hand_leaves_the_question_open() -> None:
    request = asked(COPIED, UNSEARCHED, BY_HAND).record("billing", 0, 0).request
    after = blocked(request, *request.tasks or ())
    assert (after.state, after.question) == (State.AWAITING_CLARIFICATION, request.question)
    assert last_notice(after).request.decided is Outcome.PARTIALLY_FULFILLED


def test_the_release_of_a_key_leaves_the_question_open() -> None:
    paused = asked(right=Right.ERASURE, suspended=True)
    released = paused.resume()
    assert (released.request.state, released.request.question) == (paused.state, paused.question)
    assert [type(event) for event in released.published] == [RequestVerified]


def test_what_is_tried_again_meanwhile_leaves_the_question_open_and_ends_it_where_all_is_found() -> None:
    tried = asked().retry()
    assert tried.request.question == asked().question
    assert blocked(tried.request, COPIED, UNSEARCHED).state is State.AWAITING_CLARIFICATION
    ended = tried.request.complete(a(FulfilmentCompleted, tasks=(COPIED, SEARCHED)), AT)
    assert (ended.request.state, ended.request.outcome, ended.request.question) == (
        State.CLOSED,
        Outcome.FULFILLED,
        None,
    )


def test_an_answer_goes_on_also_while_a_person_looks_at_something_else() -> None:
    waiting = blocked(asked(), COPIED, UNSEARCHED, FAILED)
    assert waiting.state is State.AWAITING_DECISION
    answered = waiting.answer(AT, AT, POLICY, identities=True)
    assert answered.request.state is State.IN_PROGRESS
    assert [type(event) for event in answered.published] == [QuestionAnswered, RetryDecided]


@pytest.mark.parametrize("missing", [BY_HAND, FAILED])
def test_the_last_notice_promises_no_answer_before_something_else_is_done_and_that_brings_the_answer(
    missing: TaskReport,
) -> None:
    waiting = blocked(asked(), COPIED, UNSEARCHED, missing)
    noticed = last_notice(waiting)
    (_, fields), *more = noticed.letters
    assert (noticed.request.state, fields["cause"], more) == (State.AWAITING_DECISION, "unfinished", [])
    entered = missing.model_copy(update={"outcome": TaskOutcome.NO_MATCH, "failure": None})
    after = blocked(noticed.request, COPIED, UNSEARCHED, entered)
    assert (after.state, after.decided) == (State.IN_PROGRESS, Outcome.PARTIALLY_FULFILLED)


SHARED = UNSEARCHED.model_copy(update={"not_searched": "line_shared"})
SEVERAL = FAILED.model_copy(update={"system": "crm", "failure": "several_people"})


def working(*tasks: TaskReport) -> Request:
    return a_request(State.IN_PROGRESS, right=Right.ACCESS, tasks=tasks or None)


@pytest.mark.parametrize(
    ("tasks", "question"),
    [
        ((UNSEARCHED,), Question.CLARIFICATION),
        ((UNSEARCHED, BY_HAND), Question.CLARIFICATION),
        ((SEVERAL,), Question.CLARIFICATION),
        ((SHARED,), None),
        ((UNSEARCHED, FAILED), None),
        ((SEVERAL, FAILED), None),
    ],
)
def test_a_question_is_asked_where_an_answer_would_help(
    tasks: tuple[TaskReport, ...], question: Question | None
) -> None:
    assert working().may_be_asked(tasks) is question
    assert working(*tasks).may_be_asked(tasks) is None  # once


def test_whoever_may_be_several_people_is_asked_for_the_customer_number_and_goes_on_by_it() -> None:
    waiting = blocked(asked(SEVERAL), SEVERAL)
    assert "customer number" in words(questions.asked(Question.CLARIFICATION, waiting))
    assert waiting.state is State.AWAITING_CLARIFICATION
    assert waiting.answer(AT, AT, POLICY, identities=True).request.state is State.IN_PROGRESS
    noticed = last_notice(waiting)
    assert (noticed.request.state, noticed.letters[0][1]["cause"]) == (State.AWAITING_DECISION, "unfinished")


@pytest.mark.parametrize(
    ("reasons", "by_number"),
    [
        (("no_account",), False),
        (("no_identifier", "no_account", "not_proved"), False),
        (("no_account", "nothing_to_search_by"), True),
        (("number_without_period",), True),
    ],
)
@pytest.mark.parametrize("tenant", [None, "acme"])
def test_numbers_are_asked_for_only_where_one_would_lead_further(
    reasons: tuple[str, ...], tenant: str | None, *, by_number: bool
) -> None:
    tasks = tuple(UNSEARCHED.model_copy(update={"not_searched": each}) for each in reasons)
    asking = replace(asked(*tasks), tenant=tenant)
    said = words(questions.asked(Question.CLARIFICATION, asking))
    assert ("telephone number" in said) is by_number
    assert "customer number" in said or tenant


@pytest.mark.parametrize("level", ["L1", "L2", "L3"])
def test_each_system_is_named_with_what_is_enough_for_it_and_a_call_from_a_number_is_enough_for_none(
    level: str,
) -> None:
    cdr = UNSEARCHED.model_copy(update={"not_searched": "not_proved", "level": "L2"})
    tasks = (cdr, cdr.model_copy(update={"system": "crm", "level": level}))
    said = words(questions.asked(Question.IDENTITY, asked(*tasks)))
    if level == "L2":
        assert said.count("It is enough") == 1
    else:
        assert "For cdr: It is enough to sign in to your customer account with a second factor" in said
        assert f"For crm: {'It is enough to open a link' if level == 'L1' else 'Please tell us when'}" in said
    for each in (said, words(say("question.identity"))):
        assert "phone" not in each


def test_what_is_kept_since_the_rest_can_only_be_found_by_it_is_named_with_the_way_to_have_it_erased() -> None:
    unvouched = UNSEARCHED.model_copy(update={"operation": "erase", "not_searched": "number_not_vouched_for"})
    left = BY_HAND.model_copy(update={"system": "crm", "operation": "erase", "failure": None})
    closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, resumable=True, tasks=(unvouched, left))
    kept, way = "What crm may hold of you is kept for now", "leave out the number"
    assert kept in answer(closed)
    assert way in answer(closed)
    assert "- crm: not erased: it is kept for now" in done(closed.tasks)
    proof = unvouched.model_copy(update={"not_searched": "not_proved", "level": "L2"})
    unproved = replace(closed, tasks=(proof, left))
    assert kept in answer(unproved)
    assert way not in answer(unproved)
    failed = replace(closed, tasks=(unvouched, left, FAILED))
    assert kept not in answer(failed)


@given(steps=st.lists(st.sampled_from(["block", "retry", "record", "notice"]), max_size=8))
def test_in_whatever_order_it_comes_the_request_ends_with_an_answer_once_nothing_else_is_missing(
    steps: list[str],
) -> None:
    request = asked(COPIED, UNSEARCHED, BY_HAND, right=Right.ERASURE)
    for step in (*steps, "record", "block", "notice"):
        request = _after(step, request)
    assert request.decided is Outcome.PARTIALLY_FULFILLED
    assert request.state is State.IN_PROGRESS


def _after(step: str, request: Request) -> Request:
    after = request
    match step:
        case "block" if not request.decided:
            after = blocked(request, *request.tasks or ())
        case "retry" if request.allows("retry"):
            after = blocked(request.retry().request, *request.tasks or ())
        case "record" if any(task.failure for task in request.tasks or ()) and request.allows("record"):
            after = request.record("billing", 0, 0).request
        case "notice" if request.question and not request.given_up:
            after = last_notice(request).request
    return after
