"""Answers report where the subject was searched for, also to a customer who gave an instruction."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from services.intake.request.aggregate import Request
from services.intake.request.closing import closing_letter, follow_up_letter, lifting_letter
from services.intake.request.lifecycle import State
from services.intake.request.reports import coverage
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import CUSTOMER, answer, standing, written


def report(system: str, **said: Any) -> TaskReport:
    known = {"task_id": UUID(int=1), "system": system, "operation": "export", "outcome": None}
    return TaskReport.model_validate(known | said)


COPIED = report("crm", outcome="exported", found=3, by_category={"account": 1, "contact": 2}, searched_by=["email"])
PARTLY = report("cdr", outcome="exported", found=4, by_category={"call": 4}, not_searched="number_without_period")


@pytest.mark.parametrize(
    ("task", "shown"),
    [
        (COPIED, [("account", "exported", 1, None), ("contact", "exported", 2, None)]),
        (PARTLY, [("call", "exported", 4, None), (None, "not_searched", 0, "number_without_period")]),
        (report("t", outcome="no_match", searched_by=["email"]), [(None, "no_match", 0, None)]),
        (
            COPIED.model_copy(update={"categories": ("account", "address", "contact")}),
            [("account", "exported", 1, None), ("address", "no_match", 0, None), ("contact", "exported", 2, None)],
        ),
        (
            report("t", outcome="no_match", categories=["ticket", "message"]),
            [("message", "no_match", 0, None), ("ticket", "no_match", 0, None)],
        ),
        (report("t", outcome="erased", categories=["x"], count_unknown="store_replaced"), [(None, "erased", 0, None)]),
        (report("t", outcome="not_held"), [(None, "not_held", 0, None)]),
        (
            report("t", outcome="not_searched", not_searched="nothing_to_search_by"),
            [(None, "not_searched", 0, "nothing_to_search_by")],
        ),
        (report("t", failure="not_supported"), [(None, "not_supported", 0, "not_supported")]),
        (report("t", failure="data_still_present"), [(None, "failed", 0, "data_still_present")]),
        (report("t"), [(None, "not_begun", 0, None)]),
        (
            report("t", outcome="no_match", categories=("contact",), no_account=("invoice",), searched_by=("email",)),
            [("contact", "no_match", 0, None), ("invoice", "no_match", 0, "no_account_found")],
        ),
        (
            report("t", outcome="erased", found=1, categories=("call",), by_category={"call": 1}, no_account=("call",)),
            [("call", "erased", 1, None), ("call", "no_match", 0, "no_account_found")],
        ),
        (
            report("t", outcome="no_match", categories=("invoice",), no_account=("invoice",)),
            [("invoice", "no_match", 0, "no_account_found")],
        ),
        (report("t", operation="locate", outcome="located"), []),
    ],
)
def test_each_end_of_a_task_is_shown_as_what_it_is(task: TaskReport, shown: list[tuple[object, ...]]) -> None:
    assert [(each.category, each.result, each.found, each.why) for each in coverage([task])] == shown
    assert all(each.searched_by == tuple(task.searched_by or ()) for each in coverage([task]) if each.found)


NO_MATCH, DONE = {"outcome": "no_match"}, {"operation": "erase", "outcome": "erased", "found": 2, "changed": 2}
WHEREVER = "We have erased your personal data wherever we can tell that they are yours."


@pytest.mark.parametrize(
    ("right", "outcome", "tasks", "says"),
    [
        (
            Right.ACCESS,
            Outcome.NO_DATA,
            (report("crm", **NO_MATCH), report("cdr", **NO_MATCH), report("wiki", outcome="not_held")),
            "We searched cdr and crm, and hold no data about you there.",
        ),
        (
            Right.ACCESS,
            Outcome.NO_DATA,
            (
                report("crm", **NO_MATCH, searched_by=("email",)),
                report("cdr", **NO_MATCH, searched_by=("account_id", "phone")),
            ),
            (
                "We searched cdr by your customer number and your telephone number, and hold no data about you there."
                " We searched crm by your e-mail address, and hold no data about you there."
            ),
        ),
        (
            Right.RECTIFICATION,
            Outcome.NO_DATA,
            (report("crm", outcome="not_held"),),
            (
                "We found what you asked us to change in none of our systems. If you have seen it anywhere with us,"
                " tell us where and what it says."
            ),
        ),
        (
            Right.ERASURE,
            Outcome.FULFILLED,
            (report("cdr", **DONE, unattributed=1200),),
            (
                f"{WHEREVER} In cdr there are 1,200 records with numbers of which we cannot tell whose they are;"
                " they may be yours."
            ),
        ),
        (
            Right.ERASURE,
            Outcome.FULFILLED,
            (report("tickets", **DONE, written_by_others=1),),
            (
                f"{WHEREVER} In tickets, next to yours, there is 1 message or file of other people;"
                " they are left to them, also where they speak of you."
            ),
        ),
        (
            Right.ERASURE,
            Outcome.FULFILLED,
            (report("cdr", **DONE),),
            "We have erased your personal data, and have checked that nothing is left in the systems listed.",
        ),
    ],
)
def test_no_answer_says_more_than_what_was_searched(
    right: Right, outcome: Outcome, tasks: tuple[TaskReport, ...], says: str
) -> None:
    assert answer(a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks)) == says


def test_data_outside_stated_dates_are_named() -> None:
    copied = report("cdr", outcome="exported", found=122, by_category={"call": 122}, narrowed=True)
    says = answer(a_request(State.CLOSED, right=Right.ACCESS, outcome=Outcome.FULFILLED, tasks=(copied,)))
    assert "We know it as yours for longer: what lies outside your dates is no part of this answer, in cdr." in says
    rest = [(each.category, each.result, each.why) for each in coverage((copied,))]
    assert rest == [("call", "exported", None), (None, "not_searched", "number_narrowed")]
    erased = report("cdr", operation="erase", outcome="erased", found=1, changed=1, narrowed=True)
    assert "nothing is left" not in answer(a_request(State.CLOSED, outcome=Outcome.FULFILLED, tasks=(erased,)))


@pytest.mark.parametrize("operation", ["erase", "export"])
@pytest.mark.parametrize(
    "how",
    [
        {"outcome": Outcome.FULFILLED},
        {"outcome": Outcome.NO_DATA},
        {"outcome": Outcome.PARTIALLY_FULFILLED},
        {"outcome": Outcome.PARTIALLY_FULFILLED, "owed": True},
        {"outcome": Outcome.PARTIALLY_FULFILLED, "resumable": True},
        {"outcome": Outcome.UNIDENTIFIED, "resumable": True},
    ],
    ids=["whole", "nothing", "late", "owed", "resumable", "unidentified"],
)
def test_ambiguous_rows_are_reported_in_every_answer(operation: str, how: dict[str, Any]) -> None:
    right = Right.ERASURE if operation == "erase" else Right.ACCESS
    nothing = how["outcome"] in {Outcome.NO_DATA, Outcome.UNIDENTIFIED}
    outcome = "no_match" if nothing else {"erase": "erased", "export": "exported"}[operation]
    by_hand = report("billing", operation=operation, outcome=outcome, found=1, changed=1, by_hand=True)
    counted = report("cdr", operation=operation, outcome=outcome, found=2, changed=2, unattributed=3)
    says = answer(a_request(State.CLOSED, right=right, tasks=(by_hand, counted), **how))
    assert "In cdr there are 3 records" in says
    assert "nothing is left" not in says
    assert ("copied by hand" in says) == (outcome == "exported")


def test_what_is_filed_by_an_account_alone_is_shown_as_searched_by_it_where_none_was_found() -> None:
    task = report("t", outcome="no_match", categories=("contact",), no_account=("invoice",), searched_by=("email",))
    assert [(each.category, each.searched_by) for each in coverage([task])] == [
        ("contact", ("email",)),
        ("invoice", ("account_id",)),
    ]


# Answers to a customer's instruction: what was done in its data, and each system that could not be asked.


def report_instructed(system: str, **said: Any) -> TaskReport:
    known = {"task_id": UUID(int=1), "system": system, "operation": "erase", "outcome": "erased", "found": 2}
    return TaskReport.model_validate({**known, "changed": 2, **said})


ERASED, NOTHING = report_instructed("cdr"), report_instructed("cdr", outcome="no_match", found=0, changed=0)
UNSEEN = report_instructed("crm", outcome=None, found=0, changed=0, failure="not_supported", not_asked=True)
SEEN = report_instructed("crm", found=1, changed=1, by_hand=True, not_asked=True)
FAILED = report_instructed("tickets", outcome=None, found=0, changed=0, failure="data_still_present")


def instruction(outcome: Outcome, *tasks: TaskReport, **said: Any) -> Request:
    ids = {"tenant": "acme", "instruction_id": "INS-7"}
    return a_request(State.CLOSED, outcome=outcome, tasks=tasks, **ids, **said)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (instruction(Outcome.ASSISTED, ERASED), "your instruction INS-7, in your data and in no other customer’s."),
        (instruction(Outcome.ASSISTED, NOTHING), "We found nothing of the person."),
        (
            instruction(Outcome.ASSISTED, report_instructed("cdr", unattributed=1200)),
            "In cdr there are 1,200 records of yours with numbers of which we cannot tell whose they are.",
        ),
        (
            instruction(Outcome.ASSISTED, report_instructed("cdr", searched_by=("phone",))),
            "By a number we have searched within the dates that your instruction names, and in no other time.",
        ),
        (instruction(Outcome.ASSISTED, ERASED, SEEN), "but looked through by hand: crm."),
        (
            instruction(Outcome.PARTIALLY_FULFILLED, ERASED, UNSEEN),
            "Not asked, since nothing tells our customers apart",
        ),
        (instruction(Outcome.PARTIALLY_FULFILLED, ERASED, FAILED), "Not, or not completely, done: tickets."),
        (instruction(Outcome.PARTIALLY_FULFILLED, ERASED, FAILED, owed=True), "We still owe you what is missing in:"),
        (instruction(Outcome.UNIDENTIFIED, NOTHING, resumable=True), "Our question to you is still open"),
        (
            instruction(Outcome.ASSISTED, ERASED, right=Right.ACCESS, package_id=UUID(int=2)),
            "The copy is ready for you to download.",
        ),
    ],
)
def test_customer_gets_the_result_of_an_instruction(request_: Request, says: str) -> None:
    ((kind, fields),) = closing_letter(request_)
    letter = written(kind, fields, CUSTOMER)
    assert says in answer(request_)
    assert answer(request_) in letter.body
    assert (fields["about"], "your instruction INS-7" in letter.body) == ("assisted", True)
    assert "of yours" not in letter.body.partition("What was done in each of our systems:")[2]
    assert ("The reason for what is missing" in letter.body) == (request_.outcome is not Outcome.ASSISTED)
    assert ("As far as we can tell, that is all" in letter.body) == (request_.outcome is Outcome.ASSISTED)


def test_customer_is_notified_of_work_done_later() -> None:
    ((kind, fields),) = follow_up_letter(instruction(Outcome.PARTIALLY_FULFILLED, ERASED, SEEN))
    letter = written(kind, fields, CUSTOMER)
    assert (fields["about"], "The reason" in letter.body) == ("assisted", False)


@pytest.mark.parametrize("found", [Outcome.FULFILLED, Outcome.NO_DATA])
def test_instruction_is_assisted_and_never_fulfilled(found: Outcome) -> None:
    at_work = a_request(State.IN_PROGRESS, tenant="acme", instruction_id="INS-7")
    done = at_work.complete(a(FulfilmentCompleted, operation="erase", outcome=found, tasks=(ERASED,)), AT)
    assert (done.request.outcome, [fields["about"] for _, fields in done.letters]) == (Outcome.ASSISTED, ["assisted"])
    withdrawn = at_work.withdraw(AT)
    assert (withdrawn.request.outcome, [fields["about"] for _, fields in withdrawn.letters]) == (
        Outcome.WITHDRAWN,
        ["withdrawn"],
    )


def test_a_restriction_that_a_customer_instructed_is_in_force_and_can_be_lifted() -> None:
    restricted = instruction(Outcome.ASSISTED, report_instructed("cdr", operation="restrict"), right=Right.RESTRICTION)
    assert restricted.lift(AT).letters == (lifting_letter(restricted, "decided", lifted_on=AT),)


def test_customer_sees_when_to_expect_an_answer() -> None:
    open_still = a_request(State.IN_PROGRESS, tenant="acme", due_on=date(2026, 4, 4))
    assert standing(open_still, date(2026, 3, 5)).endswith("by 4 April 2026.")
