"""Where a subject was searched for is shown as it was: what was not searched, not held or failed is never "nothing"."""

from typing import Any
from uuid import UUID

import pytest

from services.intake.request.coverage import coverage
from services.intake.request.lifecycle import State
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.requests import a_request
from tests.fixtures.words import answer


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
        (report("t", outcome="erased", categories=["x"], uncounted="store_replaced"), [(None, "erased", 0, None)]),
        (report("t", outcome="not_held"), [(None, "not_held", 0, None)]),
        (
            report("t", outcome="not_searched", not_searched="nothing_to_search_by"),
            [(None, "not_searched", 0, "nothing_to_search_by")],
        ),
        (report("t", failure="not_supported"), [(None, "not_supported", 0, "not_supported")]),
        (report("t", failure="residue_found"), [(None, "failed", 0, "residue_found")]),
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


@pytest.mark.parametrize(
    ("right", "outcome", "tasks", "told"),
    [
        (
            Right.ACCESS,
            Outcome.NO_DATA,
            (report("crm", outcome="no_match"), report("cdr", outcome="no_match"), report("wiki", outcome="not_held")),
            "We searched cdr and crm, and hold no data about you there.",
        ),
        (
            Right.ACCESS,
            Outcome.NO_DATA,
            (
                report("crm", outcome="no_match", searched_by=("email",)),
                report("cdr", outcome="no_match", searched_by=("account_id", "phone")),
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
            (report("cdr", operation="erase", outcome="erased", found=2, changed=2, unattributed=1200),),
            (
                "Your personal data was erased wherever it can be told that it is yours."
                " In cdr there are 1,200 records with numbers of which we cannot tell whose they are;"
                " they may be yours."
            ),
        ),
        (
            Right.ERASURE,
            Outcome.FULFILLED,
            (report("tickets", operation="erase", outcome="erased", found=2, changed=2, written_by_others=1),),
            (
                "Your personal data was erased wherever it can be told that it is yours."
                " In tickets, beside yours, there is 1 message or file of other people;"
                " they are left to them, also where they speak of you."
            ),
        ),
        (
            Right.ERASURE,
            Outcome.FULFILLED,
            (report("cdr", operation="erase", outcome="erased", found=2, changed=2),),
            "Your personal data was erased, and we have checked that nothing is left in the systems listed.",
        ),
    ],
    ids=[
        "nothing found",
        "nothing found by each",
        "no such field",
        "numbers that may be anybody's",
        "a third person's words",
        "erased",
    ],
)
def test_no_answer_says_more_than_what_was_searched(
    right: Right, outcome: Outcome, tasks: tuple[TaskReport, ...], told: str
) -> None:
    assert answer(a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks)) == told


def test_what_their_own_dates_leave_out_is_named_and_nothing_is_said_to_be_all() -> None:
    copied = report("cdr", outcome="exported", found=122, by_category={"call": 122}, narrowed=True)
    told = answer(a_request(State.CLOSED, right=Right.ACCESS, outcome=Outcome.FULFILLED, tasks=(copied,)))
    assert "We know it as yours for longer: what lies outside your dates is no part of this answer, in cdr." in told
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
    told = answer(a_request(State.CLOSED, right=right, tasks=(by_hand, counted), **how))
    assert "In cdr there are 3 records" in told
    assert "nothing is left" not in told
    assert ("copied by hand" in told) == (outcome == "exported")


def test_what_is_filed_by_an_account_alone_is_shown_as_searched_by_it_where_none_was_found() -> None:
    task = report("t", outcome="no_match", categories=("contact",), no_account=("invoice",), searched_by=("email",))
    assert [(each.category, each.searched_by) for each in coverage([task])] == [
        ("contact", ("email",)),
        ("invoice", ("account_id",)),
    ]
