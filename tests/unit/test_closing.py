"""The letter that closes a request follows from its outcome and from what each system reported."""

from dataclasses import replace
from datetime import date

import pytest
from uuid_utils.compat import uuid7

from services.intake.api.views import view
from services.intake.request import closing
from services.intake.request.closing import later_letter
from services.intake.request.lifecycle import State
from services.intake.retention import retention
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Uncounted, Unsearched
from shared.domain.rights import Outcome, Right
from shared.downstreams.contract import Receipt, Task
from shared.fulfilment.store import outcome_of
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import LETTERS, answer, closing_letter, done, read, standing, written


def a_task(system: str, outcome: TaskOutcome | None, **said: object) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(known | said)


ERASED = a_task("crm", TaskOutcome.ERASED, found=3, changed=3, by_category={"party": 1, "contact_mechanism": 2})
UNPROVED = "for what it may hold we must be surer that your request comes from you."
NOTHING = a_task("billing", TaskOutcome.NO_MATCH)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.FULFILLED, "completion"),
        (Outcome.NO_DATA, "no_data"),
        (Outcome.UNIDENTIFIED, "unidentified"),
        (Outcome.WITHDRAWN, "withdrawal"),
        (Outcome.PARTIALLY_FULFILLED, "partial"),
    ],
)
def test_a_request_that_closes_has_the_letter_of_its_outcome(outcome: Outcome, kind: str) -> None:
    closed = a_request(State.CLOSED, outcome=outcome, tasks=(ERASED, NOTHING))
    ((found, fields),) = closing.closing_letter(closed)
    letter = written(found, fields)
    assert found == kind
    assert "- billing: searched, nothing of yours found.\n- crm: 3 of 3 records erased" in letter.body
    assert "Bundesbeauftragte" in letter.body


def test_a_letter_that_the_transition_writes_itself_is_not_written_twice() -> None:
    assert closing_letter(a_request(State.CLOSED, outcome=Outcome.FORWARDED)) == ()


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (ERASED, "- crm: 3 of 3 records erased (contact mechanism: 2, party: 1)."),
        (a_task("cdr", TaskOutcome.RETAINED, found=9, changed=4), "- cdr: 4 of 9 records erased."),
        (a_task("cdr", None, failure="residue_found"), "- cdr: not erased."),
        (a_task("cdr", None), "- cdr: not erased."),
        (
            a_task("cdr", None, failure="residue_found", found=5, changed=3, remaining=2),
            "- cdr: 3 of 5 records erased; the rest was not finished.",
        ),
        (
            a_task("cdr", None, failure="residue_found", found=5, changed=3, remaining=2, reported=True),
            "- cdr: 3 of 5 records erased; that is what it says of itself; nobody has verified it.",
        ),
        (a_task("cdr", TaskOutcome.NOT_HELD), "- cdr: has nothing that could be erased."),
        (a_task("cdr", TaskOutcome.ERASED, found=2, changed=2, by_hand=True), "- cdr: 2 of 2 records erased by hand."),
        (
            a_task("cdr", TaskOutcome.NOT_SEARCHED, not_searched="nothing_to_search_by"),
            "- cdr: not searched: nothing that we know of you leads there.",
        ),
        (
            a_task("cdr", TaskOutcome.NOT_SEARCHED, not_searched="not_proved", level="L2"),
            f"- cdr: not searched: {UNPROVED}",
        ),
        (
            a_task("cdr", TaskOutcome.ERASED, found=2, changed=2, not_searched="not_proved"),
            f"- cdr: 2 of 2 records erased. A part was not searched: {UNPROVED}",
        ),
        (
            a_task("cdr", TaskOutcome.NO_MATCH, by_hand=True, not_asked=True),
            "- cdr: looked through by hand, nothing found.",
        ),
        (
            a_task("cdr", TaskOutcome.ERASED, uncounted=Uncounted.STORE_REPLACED),
            "- cdr: erased; how many records it was cannot be counted.",
        ),
        (a_task("cdr", TaskOutcome.EXPORTED, operation=Operation.EXPORT, found=2), "- cdr: 2 of 2 records copied."),
        (a_task("crm", TaskOutcome.LOCATED, operation=Operation.LOCATE), "- in no system was anything done."),
    ],
)
def test_what_a_system_did_is_told_in_counts(task: TaskReport, line: str) -> None:
    assert done([task]) == line


def test_every_way_to_the_end_writes_one_closing_letter() -> None:
    at_work = a_request(State.IN_PROGRESS, right=Right.ACCESS)
    completed = at_work.complete(a(FulfilmentCompleted), AT)
    withdrawn = replace(at_work, tasks=(ERASED,)).withdraw(AT)
    assert [kind for kind, _ in completed.letters] == ["completion"]
    assert [kind for kind, _ in withdrawn.letters] == ["withdrawal"]
    assert "3 of 3 records erased" in read(withdrawn.letters)[0][1]["done"]


def test_the_letter_of_a_lift_says_on_which_day_it_was_decided() -> None:
    restricted = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED)
    lifted = restricted.lift(AT)
    assert lifted.letters == (("lifting", {"lifted_on": AT, "cause": "decided"}),)
    assert lifted.evidence == (("restriction.lift_decided", {"informed_at": AT.isoformat()}),)


CUSTOMER = (
    a_task("crm", TaskOutcome.AMENDED, operation=Operation.SUPPRESS, found=5, changed=5, by_category={"contact": 5}),
    a_task("billing", None, operation=Operation.SUPPRESS, failure="foreign_hit"),
)
NOBODY = tuple(a_task(name, TaskOutcome.NO_MATCH, operation=Operation.SUPPRESS) for name in ("crm", "billing"))
MARKETING = {"right": Right.OBJECTION, "scope": "direct_marketing", "anonymous": True}


@pytest.mark.parametrize(
    ("theirs", "nobodys"),
    [
        ((State.CLOSED, Outcome.FULFILLED), (State.CLOSED, Outcome.FULFILLED)),
        ((State.CLOSED, Outcome.PARTIALLY_FULFILLED), (State.CLOSED, Outcome.NO_DATA)),
        ((State.CLOSED, Outcome.WITHDRAWN), (State.CLOSED, Outcome.WITHDRAWN)),
        ((State.AWAITING_DECISION, None), (State.IN_PROGRESS, None)),
    ],
)
def test_who_has_not_shown_who_they_are_cannot_tell_a_customer_from_an_invented_address(
    theirs: tuple[State, Outcome | None], nobodys: tuple[State, Outcome | None]
) -> None:
    known = MARKETING | {"request_id": uuid7(), "subject_ref": uuid7()}
    customer = a_request(theirs[0], outcome=theirs[1], tasks=CUSTOMER, owed=True, **known)
    nobody = a_request(nobodys[0], outcome=nobodys[1], tasks=NOBODY, **known)
    day = AT.date()
    assert view(customer, day, LETTERS, officer=False) == view(nobody, day, LETTERS, officer=False)
    assert view(customer, day, LETTERS, officer=False).tasks == []
    assert view(customer, day, LETTERS, officer=True) != view(nobody, day, LETTERS, officer=True)
    assert closing_letter(customer) == closing_letter(nobody)
    assert later_letter(customer) == ()


def test_nobody_is_asked_a_question_that_would_tell_them_who_is_a_customer() -> None:
    lacks = {"operation": Operation.SUPPRESS, "not_searched": Unsearched.NOTHING_TO_SEARCH_BY}
    reports = [a_task("cdr", TaskOutcome.NOT_SEARCHED, **lacks)]
    asked = a_request(State.IN_PROGRESS, **MARKETING)
    assert replace(asked, anonymous=False).may_be_asked(reports)
    assert asked.may_be_asked(reports) is None


def test_what_went_with_its_key_is_made_unreadable_and_never_called_anonymised() -> None:
    closed = a_request(State.CLOSED, outcome=Outcome.FULFILLED, tasks=(ERASED,))
    ((kind, fields),) = closing.closing_letter(closed)
    body = written(kind, {**fields, "remains": LETTERS.remains(closed, AT)}).body
    assert "is made permanently unreadable" in body
    months = retention().correspondence_months
    assert f"Our letters about it, to you and to others, are kept for {months} months, encrypted" in body
    assert "anonymi" not in body
    assert LETTERS.remains(replace(closed, right=Right.ACCESS), AT) == ()


@pytest.mark.parametrize("outcome", [TaskOutcome.ERASED, TaskOutcome.NO_MATCH])
def test_once_nothing_is_left_anywhere_no_system_is_named_as_one_in_which_something_was_not_done(
    outcome: TaskOutcome,
) -> None:
    """A hold was lifted: what it covered has gone since, or was never there."""
    gone = {"found": 5, "changed": 5} if outcome is TaskOutcome.ERASED else {}
    after = a_task("forum", outcome, ground="legal_hold", **gone)
    ((kind, fields),) = closing.later_letter(
        a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(ERASED, after))
    )
    body = " ".join(written(kind, fields).body.split())
    assert kind == "completion"
    assert "fulfilled in part" not in body
    assert "not completely" not in body
    assert "A part of it was done after your request had been closed." in body
    assert ("What was kept in forum because" in body) is bool(gone)


# What the subject is told when a request ended with a question open.
RUNNING = a_request(State.IN_PROGRESS)
RESUMABLE = replace(RUNNING, state=State.CLOSED, closed_at=AT, resumable=True)


@pytest.mark.parametrize(
    ("outcome", "done"),
    [(Outcome.UNIDENTIFIED, "have done nothing"), (Outcome.PARTIALLY_FULFILLED, "what was clear in your request.")],
)
def test_who_may_resume_reads_what_was_done_and_that_the_question_is_still_open(outcome: Outcome, done: str) -> None:
    told = answer(replace(RESUMABLE, outcome=outcome))
    assert done in told
    assert "answer it at any time" in told


def test_what_a_system_kept_is_named_also_where_a_question_is_still_open() -> None:
    known = {"task_id": RUNNING.request_id, "operation": "erase", "changed": 1}
    tasks = (
        TaskReport.model_validate({**known, "outcome": "retained", "system": "billing", "ground": "tax_law"}),
        TaskReport.model_validate({**known, "outcome": "erased", "system": "crm"}),
    )
    told = answer(replace(RESUMABLE, outcome=Outcome.PARTIALLY_FULFILLED, tasks=tasks))
    assert "Kept in billing because" in told
    assert "crm" not in told


def test_what_was_done_and_cannot_be_counted_is_not_told_as_nothing_done() -> None:
    task = Task(RUNNING.request_id, RUNNING.request_id, RUNNING.subject_ref, "crm", Operation.ERASE)
    done = Receipt(task.task_id, TaskOutcome.ERASED, uncounted=Uncounted.STORE_REPLACED).report("crm", Operation.ERASE)
    assert (done.outcome, done.changed, done.uncounted) == ("erased", 0, "store_replaced")
    kept = TaskReport(task_id=task.task_id, system="billing", operation="erase", outcome="retained", ground="tax")
    open_one = TaskReport(task_id=task.task_id, system="cdr", operation="erase", outcome=None, failure="residue_found")
    told = answer(replace(RESUMABLE, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(done, kept, open_one)))
    assert "Nothing of what you asked for could be done" not in told
    assert "in: cdr." in told


@pytest.mark.parametrize("outcome", [Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED])
def test_what_was_made_anonymous_is_not_told_as_erased(outcome: Outcome) -> None:
    said = {"task_id": RUNNING.request_id, "operation": "erase", "outcome": "erased", "found": 3, "changed": 3}
    emptied = {"by_category": {"analytics_event": 3}, "anonymised": ["analytics_event"]}
    tasks = (TaskReport.model_validate({**said, "system": "site", **emptied}),)
    ended = replace(RUNNING, state=State.CLOSED, closed_at=AT, right=Right.ERASURE, outcome=outcome, tasks=tasks)
    told = answer(ended)
    assert "data was erased or made anonymous" in told
    assert "In site, 3 records (use of our website) were not deleted but made anonymous" in told


def test_a_request_that_was_resumed_is_in_progress_and_due_on_its_new_day() -> None:
    resumed = replace(RUNNING, due_on=date(2026, 5, 19))
    assert (
        standing(resumed, date(2026, 5, 19)) == "We are working on your request. You will hear from us by 19 May 2026."
    )


def test_no_day_is_promised_that_is_over() -> None:
    told = standing(replace(RESUMABLE, outcome=None, resumable=False, state=State.IN_PROGRESS), date(2027, 1, 1))
    assert "will hear" not in told
    assert told.endswith("and we are late: we do it now, without further delay.")


# What the receipts of all systems amount to.
ERASED_ALL, NO_MATCH, RETAINED = TaskOutcome.ERASED, TaskOutcome.NO_MATCH, TaskOutcome.RETAINED


def report(outcome: TaskOutcome, operation: Operation = Operation.ERASE) -> TaskReport:
    return TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=outcome)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([ERASED_ALL, ERASED_ALL], Outcome.FULFILLED),
        ([ERASED_ALL, NO_MATCH], Outcome.FULFILLED),
        ([NO_MATCH, NO_MATCH], Outcome.NO_DATA),
        ([ERASED_ALL, RETAINED], Outcome.PARTIALLY_FULFILLED),
        ([NO_MATCH, RETAINED], Outcome.PARTIALLY_FULFILLED),
        ([TaskOutcome.EXPORTED, NO_MATCH], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED, TaskOutcome.NOT_HELD], Outcome.FULFILLED),
    ],
)
def test_something_kept_makes_it_partial_and_nothing_anywhere_makes_it_no_data(
    outcomes: list[TaskOutcome], expected: Outcome
) -> None:
    assert outcome_of(map(report, outcomes)) is expected


def test_that_somebody_was_located_is_nothing_that_was_done_for_them() -> None:
    assert outcome_of([report(TaskOutcome.LOCATED, Operation.LOCATE), report(NO_MATCH)]) is Outcome.NO_DATA
