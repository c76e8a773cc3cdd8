"""No answer and no letter contradicts itself or the reports, whatever the right, the outcome and what was reported."""

from dataclasses import replace
from datetime import date
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request
from services.intake.request.closing import refusal_letter
from services.intake.request.lifecycle import State
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.rights import Outcome, Right
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import answer, closing_letter, read, standing

DOES = {
    Right.ACCESS: Operation.EXPORT,
    Right.PORTABILITY: Operation.EXPORT,
    Right.ERASURE: Operation.ERASE,
    Right.RECTIFICATION: Operation.RECTIFY,
    Right.RESTRICTION: Operation.RESTRICT,
    Right.OBJECTION: Operation.RESTRICT,
    Right.CONSENT_WITHDRAWAL: Operation.SUPPRESS,
}
SCOPES = {Right.RECTIFICATION: "accuracy_contested", Right.OBJECTION: "legitimate_interests"}
IN_FORCE = (
    "data is restricted:",
    "data stays restricted",
    "data is restricted, and used for nothing",
    "restricted (Art.",
)
OUTCOMES = [outcome for outcome in Outcome if outcome is not Outcome.ASSISTED]
DONE = {Operation.EXPORT: TaskOutcome.EXPORTED, Operation.ERASE: TaskOutcome.ERASED}
STATES: dict[str, dict[str, Any]] = {
    "done": {"found": 3, "changed": 3},
    "nothing": {"outcome": TaskOutcome.NO_MATCH},
    "by hand": {"outcome": None, "failure": "not_supported"},
    "failed": {"outcome": None, "failure": "residue_found"},
    "failed midway": {"outcome": None, "failure": "residue_found", "found": 5, "changed": 3, "reported": True},
    "unproved": {"outcome": TaskOutcome.NOT_SEARCHED, "not_searched": "not_proved", "level": "L2"},
    "not begun": {"outcome": None},
}


def report(system: str, operation: Operation, state: str) -> TaskReport:
    outcome = DONE.get(operation, TaskOutcome.AMENDED)
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": outcome}
    return TaskReport.model_validate(known | STATES[state])


def told(request: Request) -> list[str]:
    """All that the person reads of it: where it stands, and the words of its letters."""
    said = [standing(request, date(2026, 3, 6))]
    if request.state is State.CLOSED:
        letters = read(refusal_letter(request, {})) if request.outcome is Outcome.REFUSED else closing_letter(request)
        said += [" ".join(map(str, fields.values())) for _, fields in letters]
    return said


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any right, open or with any outcome, with any reports of two systems; what it restricted may be lifted."""
    right, outcome = draw(st.sampled_from(list(Right))), draw(st.sampled_from([None, *OUTCOMES]))
    operations = sorted({DOES[right], *({Operation.RESTRICT} if right is Right.RECTIFICATION else set())})
    lifts = draw(st.booleans()) and right in {*SCOPES, Right.RESTRICTION} and outcome is not None
    states = st.sampled_from(list(STATES))
    tasks = [report(*place, draw(states)) for place in product(("billing", "cdr"), operations)]
    if lifts:
        tasks.append(report("billing", Operation.LIFT, "by hand"))
    state = State.CLOSED if outcome else draw(st.sampled_from([State.IN_PROGRESS, State.AWAITING_DECISION]))
    said = {"scope": SCOPES.get(right), "outcome": outcome, "lift_told_at": AT if lifts else None}
    said["lifted_at"] = AT if lifts and draw(st.booleans()) else None
    return a_request(state, right=right, tasks=tuple(tasks), **said)


@given(request_=requests())
def test_what_is_lifted_is_not_told_as_restricted_and_what_is_restricted_names_what_is_not(request_: Request) -> None:
    restricting = [task for task in request_.tasks or () if task.operation == Operation.RESTRICT]
    missing = {t.system for t in restricting if t.failure or t.not_searched or not t.outcome}
    for text in told(request_):
        in_force = any(each in text for each in IN_FORCE)
        assert not (in_force and "was lifted on" in text)
        assert request_.lifted_at or "lifted on" not in text
        assert not in_force or all(system in text for system in missing)


@pytest.mark.parametrize("right", Right)
def test_a_value_is_told_where_one_was_to_be_corrected_and_a_try_where_something_was_tried(right: Right) -> None:
    for outcome, state, lifted in product((Outcome.WITHDRAWN, Outcome.REFUSED), STATES, (None, AT)):
        tasks = (
            report("billing", DOES[right], state),
            report("billing", Operation.LIFT, "failed" if lifted else "by hand"),
        )
        said = {"scope": SCOPES.get(right), "outcome": outcome, "lift_told_at": lifted}
        for text in told(a_request(State.CLOSED, right=right, tasks=tasks, **said)):
            assert right is Right.RECTIFICATION or "No value was corrected" not in text
            assert "failed" in state or "What was tried" not in text


@given(request_=requests())
def test_where_proof_lacks_no_text_says_that_nothing_leads_there(request_: Request) -> None:
    lacks = any(task.not_searched == Unsearched.NOT_PROVED for task in request_.tasks or ())
    for text in told(request_):
        assert not (lacks and ("by what we know of you" in text or "leads there" in text))


@given(request_=requests())
def test_where_a_request_ends_one_letter_says_everything(request_: Request) -> None:
    assert request_.state is not State.CLOSED or len(closing_letter(request_)) <= 1


@pytest.mark.parametrize("lifted", [{"lift_told_at": AT, "lifted_at": AT}, {"lift_told_at": AT, "ended_by": uuid7()}])
def test_a_restriction_that_has_ended_is_told_as_what_was(lifted: dict[str, Any]) -> None:
    tasks = (report("cdr", Operation.RESTRICT, "done"),)
    closed = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=tasks)
    assert answer(closed).startswith("Your data is restricted:")
    assert answer(replace(closed, **lifted)).startswith("Your data were restricted, as you had asked")
    assert "data is restricted" not in answer(replace(closed, **lifted))


@pytest.mark.parametrize(
    ("right", "copied", "says"),
    [
        (Right.ACCESS, {}, "3 of 3 records copied (contact data: 3)"),
        (Right.PORTABILITY, {"handed_out": {"contact": 2}}, "2 of 3 records copied (contact data: 2)"),
        (Right.PORTABILITY, {"handed_out": {}}, "0 of 3 records copied (contact data: 0)"),
        (Right.ACCESS, {"by_hand": True}, "copied by hand"),
        (Right.PORTABILITY, {"by_hand": True}, "copied by hand"),
    ],
)
def test_a_copy_is_told_as_ready_where_there_is_one_with_the_records_that_are_in_it(
    right: Right, copied: dict[str, Any], says: str
) -> None:
    task = report("billing", Operation.EXPORT, "done").model_copy(update={"by_category": {"contact": 3}, **copied})
    made = not copied or bool(copied.get("handed_out"))
    said = {"outcome": Outcome.FULFILLED, "package_id": uuid7() if made else None}
    for outcome in (Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED):
        for text in told(a_request(State.CLOSED, right=right, tasks=(task,), **said | {"outcome": outcome})):
            assert ("ready for you to download" in text) is made, text
            assert ("nothing to download" in text) is (copied.get("handed_out") == {}), text
    assert says in " ".join(told(a_request(State.CLOSED, right=right, tasks=(task,), **said)))
