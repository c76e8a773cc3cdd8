"""Who is restricted by what another right brings with it is told so, and of its end, whichever end that is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request, Transition
from services.intake.request.coverage import coverage
from services.intake.request.lifecycle import State
from services.intake.request.waiting import waits_for
from shared.domain.errors import IllegalTransition
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentCompleted,
    FulfilmentReported,
    LiftDecided,
    RequestClosed,
    RetryDecided,
    TaskRecorded,
)
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import answer, read

WORDS = {"reason": "It is accurate.", "article": "16", "explanation": "See the contract."}


def report(system: str, operation: Operation, **said: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": TaskOutcome.AMENDED}
    return TaskReport.model_validate(known | said)


RESTRICTED = (
    report("cdr", Operation.RESTRICT, found=222, changed=222, categories=("call",), by_category={"call": 222}),
    report("crm", Operation.RESTRICT, found=1, changed=1),
)
FAILED = report("crm", Operation.RECTIFY, outcome=None, failure="system_refused")
CORRECTED = report("crm", Operation.RECTIFY, found=1, changed=1)


def contested(*blocked: TaskReport) -> Request:
    """A contested rectification whose data every system has restricted, and that one system cannot correct."""
    request = a_request(State.IN_PROGRESS, right=Right.RECTIFICATION, scope="accuracy_contested")
    said: dict[str, Any] = {"operation": Operation.RESTRICT, "tasks": RESTRICTED, "right": Right.RECTIFICATION}
    request = request.complete(a(FulfilmentCompleted, **said), AT).request
    if not blocked:
        return request
    return request.block(a(FulfilmentBlocked, operation=Operation.RECTIFY, tasks=blocked)).request


def unchangeable(*restricted: TaskReport) -> Request:
    """A rectification that one system cannot do at once, so that its data are restricted by themselves."""
    request = a_request(State.IN_PROGRESS, right=Right.RECTIFICATION)
    request = request.block(a(FulfilmentBlocked, operation=Operation.RECTIFY, tasks=(FAILED,))).request
    if not restricted:
        return request
    return request.complete(a(FulfilmentCompleted, operation=Operation.RESTRICT, tasks=restricted), AT).request


def objection() -> Request:
    """An objection whose data are restricted, and that nobody has weighed."""
    request = a_request(State.IN_PROGRESS, right=Right.OBJECTION, scope="legitimate_interests")
    return request.restricted(a(FulfilmentCompleted, operation=Operation.RESTRICT, tasks=RESTRICTED)).request


def refused() -> Transition:
    request = contested(FAILED)
    decided = request.decide("refuse", "ACCURATE", "16", "key", AT, owed=False).request
    return decided.report(a(FulfilmentReported, tasks=(FAILED,)), WORDS, AT)


def corrected() -> Transition:
    return contested(FAILED).complete(a(FulfilmentCompleted, operation=Operation.RECTIFY, tasks=(CORRECTED,)), AT)


ENDS: dict[str, Callable[[], Transition]] = {
    "corrected": corrected,
    "refused": refused,
    "corrected after all": lambda: unchangeable(*RESTRICTED).complete(
        a(FulfilmentCompleted, operation=Operation.RECTIFY, tasks=(CORRECTED,)), AT
    ),
    "withdrawn": lambda: contested(FAILED).withdraw(AT),
    "withdrawn before it was corrected": lambda: unchangeable(*RESTRICTED).withdraw(AT),
    "objection withdrawn": lambda: objection().withdraw(AT),
    "objection overridden": lambda: objection().weigh("overridden", "Why.", "key", AT),
    "restriction withdrawn": lambda: replace(contested(), right=Right.RESTRICTION).withdraw(AT),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_lifts_what_was_restricted_and_tells_of_it_before_any_system_is_changed(end: str) -> None:
    transition = ENDS[end]()
    kinds = [type(event) for event in transition.published]
    assert kinds[-2:] == [LiftDecided, RequestClosed]
    assert ("restriction.lift_decided", {"informed_at": AT.isoformat()}) in transition.evidence
    told = answer(transition.request)
    assert "On 5 March 2026 we decided to lift that restriction, and tell you so before we do." in told
    assert "lifted on" not in told
    assert "on another request of yours, stays in force" in told
    assert "Nothing was changed in any system" not in told
    assert transition.letters
    for kind, fields in read(transition.letters):
        said = " ".join(str(value) for value in fields.values())
        assert kind in {"lifting", "objection_weighed"} or "we decided to lift that restriction" in said


def test_a_restriction_is_told_as_lifted_only_while_systems_have_lifted_it_and_with_the_day_on_which_they_had() -> None:
    kept = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=RESTRICTED)
    decided = replace(kept, lift_told_at=AT)
    lifted = replace(decided, lifted_at=AT + timedelta(days=3))
    told = {name: answer(each) for name, each in (("decided", decided), ("lifted", lifted))}
    assert told["decided"].startswith("Your data are restricted for your request")
    assert "lifted on" not in told["decided"]
    assert "as you had asked (Art. 18(1) GDPR). That restriction was lifted on 8 March 2026." in told["lifted"]
    assert answer(lifted.restrict_again().request) == told["decided"]


def test_what_a_person_has_yet_to_lift_by_hand_is_not_told_as_lifted() -> None:
    by_hand = report("crm", Operation.LIFT, outcome=None, failure="not_supported")
    kept = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=(*RESTRICTED, by_hand))
    told = answer(replace(kept, lift_told_at=AT, lifted_at=AT))
    assert "Not lifted so far, since a person does that by hand: crm." in told


@pytest.mark.parametrize("end", ENDS)
def test_a_lift_is_told_as_done_once_systems_have_reported_it_and_what_is_not_lifted_is_a_persons(end: str) -> None:
    stopped = report("cdr", Operation.LIFT, outcome=None, failure="blast_radius")
    done = report("crm", Operation.LIFT, found=1, changed=1)
    blocked = ENDS[end]().request.block(a(FulfilmentBlocked, operation=Operation.LIFT, tasks=(stopped, done))).request
    assert "Not lifted so far, since a person does that by hand: cdr." in answer(blocked)
    assert (waits_for(blocked) or "").startswith("In cdr what was restricted is not lifted")
    again = blocked.retry()
    assert (again.request.state, [*map(type, again.published)]) == (State.CLOSED, [RetryDecided])
    by_hand = blocked.record("cdr", found=222, changed=222)
    assert ([*map(type, by_hand.published)], waits_for(by_hand.request)) == ([TaskRecorded], None)
    at_last = (report("cdr", Operation.LIFT, found=222, changed=222), done)
    lifted = again.request.complete(a(FulfilmentCompleted, operation=Operation.LIFT, tasks=at_last), AT).request
    assert "restriction was lifted on 5 March 2026." in answer(lifted)
    assert "Not lifted" not in answer(lifted)
    assert waits_for(lifted) is None
    with pytest.raises(IllegalTransition):
        lifted.retry()


def test_a_refusal_says_that_nothing_was_corrected_and_that_data_were_restricted() -> None:
    ((kind, fields),) = read(refused().letters)
    assert kind == "refusal"
    assert str(fields["changed"]).startswith("No value was corrected. What was tried in crm was not finished.")
    assert "Your data are restricted for your request (Art. 18(1)(a) GDPR)." in str(fields["changed"])


def test_a_restriction_that_the_right_brings_with_it_does_not_keep_anybody_from_refusing() -> None:
    contested(FAILED).must_allow_to("refuse")
    with pytest.raises(IllegalTransition, match="done in part, in billing"):
        contested(FAILED, report("billing", Operation.RECTIFY, found=1, changed=1)).must_allow_to("refuse")


def test_what_is_answered_in_part_stays_restricted_and_says_so() -> None:
    decided = contested(FAILED).decide("answer_in_part", "SYSTEM_FAILED", "12(4)", "key", AT, owed=True).request
    answered = decided.report(a(FulfilmentReported, tasks=(FAILED,)), WORDS, AT)
    assert LiftDecided not in map(type, answered.published)
    assert "stays restricted: it is kept, and not used for anything else. We tell you" in answer(answered.request)


def test_while_it_is_worked_on_the_person_reads_that_their_data_are_restricted_and_where() -> None:
    waiting = contested(FAILED)
    assert "Until that is settled your data is restricted (Art. 18(1)(a) GDPR)" in answer(waiting)
    covered = {(each.system, each.operation, each.category): each.result for each in coverage(waiting.tasks)}
    assert covered["cdr", "restrict", "call"] == "amended"
    assert covered["crm", "rectify", None] == "failed"


def test_what_each_system_did_is_told_by_what_it_was_asked_to_do() -> None:
    ((_, fields),) = read(objection().withdraw(AT).letters)
    assert fields["done"] == "- cdr: 222 of 222 records restricted (calls: 222).\n- crm: 1 of 1 record restricted."


@pytest.mark.parametrize("found", [0, 1])
def test_nobody_of_whom_nothing_was_found_is_told_that_their_data_is_restricted(found: int) -> None:
    tasks = (report("cdr", Operation.RESTRICT, found=found, changed=0),)
    told = answer(a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=tasks))
    assert told.startswith("Your data is restricted:" if found else "No system of ours holds data of yours now")


def test_a_part_of_an_objection_that_is_done_later_is_not_told_as_upheld() -> None:
    late = a_request(
        State.CLOSED,
        right=Right.OBJECTION,
        scope="legitimate_interests",
        outcome=Outcome.PARTIALLY_FULFILLED,
        owed=True,
        tasks=RESTRICTED,
    )
    assert "follow your objection" not in answer(late)
    assert "marketing" not in answer(late)


def test_the_reports_of_a_correction_stay_beside_those_of_the_restriction_that_came_after_it() -> None:
    request = unchangeable(*RESTRICTED)
    assert request.state is State.AWAITING_DECISION
    assert request.tasks == (FAILED, *RESTRICTED)
    blocked = report("cdr", Operation.RESTRICT, outcome=None, failure="not_supported")
    by_hand = unchangeable().block(a(FulfilmentBlocked, operation=Operation.RESTRICT, tasks=(blocked,)))
    assert (by_hand.request.tasks, by_hand.published) == ((FAILED, blocked), ())


def test_a_restriction_that_has_not_taken_effect_yet_is_lifted_too_where_nothing_is_left_to_be_corrected() -> None:
    nothing = FAILED.model_copy(update={"failure": None, "outcome": TaskOutcome.NO_MATCH})
    event = a(FulfilmentCompleted, operation=Operation.RECTIFY, tasks=(nothing,), outcome=Outcome.NO_DATA)
    ended = unchangeable().complete(event, AT)
    assert [type(event) for event in ended.published] == [LiftDecided, RequestClosed]
    assert "Where your data are restricted for it" in answer(ended.request)


def test_what_a_customer_has_instructed_us_to_correct_is_not_restricted_without_their_word() -> None:
    request = replace(a_request(State.IN_PROGRESS, right=Right.RECTIFICATION), tenant="acme", instruction_id="INS-1")
    blocked = request.block(a(FulfilmentBlocked, operation=Operation.RECTIFY, tasks=(FAILED,)))
    assert (blocked.published, blocked.request.restricts) == ((), False)
