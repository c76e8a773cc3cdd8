"""What a customer is told of an instruction: what was done in its data, and every system that could not be asked."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from services.intake.request.aggregate import Request
from services.intake.request.closing import closing_letter, later_letter
from services.intake.request.lifecycle import State
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome, Right
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import CUSTOMER, answer, standing, written


def report(system: str, **said: Any) -> TaskReport:
    known = {"task_id": UUID(int=1), "system": system, "operation": "erase", "outcome": "erased", "found": 2}
    return TaskReport.model_validate({**known, "changed": 2, **said})


ERASED, NOTHING = report("cdr"), report("cdr", outcome="no_match", found=0, changed=0)
UNSEEN = report("crm", outcome=None, found=0, changed=0, failure="not_supported", not_asked=True)
SEEN = report("crm", found=1, changed=1, by_hand=True, not_asked=True)
FAILED = report("tickets", outcome=None, found=0, changed=0, failure="residue_found")


def instruction(outcome: Outcome, *tasks: TaskReport, **said: Any) -> Request:
    ids = {"tenant": "acme", "instruction_id": "INS-7"}
    return a_request(State.CLOSED, outcome=outcome, tasks=tasks, **ids, **said)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (instruction(Outcome.ASSISTED, ERASED), "your instruction INS-7, in your data and in nobody else’s."),
        (instruction(Outcome.ASSISTED, NOTHING), "We found nothing of the person."),
        (
            instruction(Outcome.ASSISTED, report("cdr", unattributed=1200)),
            "In cdr there are 1,200 records of yours with numbers of which nobody can tell whose they are.",
        ),
        (
            instruction(Outcome.ASSISTED, report("cdr", searched_by=("phone",))),
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
def test_a_customer_is_told_what_came_of_an_instruction_in_words_for_a_customer(request_: Request, told: str) -> None:
    ((kind, fields),) = closing_letter(request_)
    letter = written(kind, fields, CUSTOMER)
    assert told in answer(request_)
    assert answer(request_) in letter.body
    assert (kind, "your instruction INS-7" in letter.body) == ("assisted", True)
    assert "of yours" not in letter.body.partition("What was done in each of our systems:")[2]
    assert ("The reason for what is missing" in letter.body) == (request_.outcome is not Outcome.ASSISTED)
    assert ("As far as can be told, that is all" in letter.body) == (request_.outcome is Outcome.ASSISTED)


def test_what_was_owed_and_is_done_later_is_told_the_customer_too() -> None:
    ((kind, fields),) = later_letter(instruction(Outcome.PARTIALLY_FULFILLED, ERASED, SEEN))
    letter = written(kind, fields, CUSTOMER)
    assert (kind, "The reason" in letter.body) == ("assisted", False)


@pytest.mark.parametrize("found", [Outcome.FULFILLED, Outcome.NO_DATA])
def test_an_instruction_is_assisted_and_fulfils_nothing_of_ours(found: Outcome) -> None:
    at_work = a_request(State.IN_PROGRESS, tenant="acme", instruction_id="INS-7")
    done = at_work.complete(a(FulfilmentCompleted, operation="erase", outcome=found, tasks=(ERASED,)), AT)
    assert (done.request.outcome, [kind for kind, _ in done.letters]) == (Outcome.ASSISTED, ["assisted"])
    withdrawn = at_work.withdraw(AT)
    assert (withdrawn.request.outcome, [kind for kind, _ in withdrawn.letters]) == (Outcome.WITHDRAWN, ["withdrawal"])


def test_a_restriction_that_a_customer_instructed_is_in_force_and_can_be_lifted() -> None:
    restricted = instruction(Outcome.ASSISTED, report("cdr", operation="restrict"), right=Right.RESTRICTION)
    assert restricted.lift(AT).letters == (("lifting", {"lifted_on": AT, "cause": "decided"}),)


def test_while_it_is_worked_on_a_customer_is_told_when_to_expect_an_answer() -> None:
    open_still = a_request(State.IN_PROGRESS, tenant="acme", due_on=date(2026, 4, 4))
    assert standing(open_still, date(2026, 3, 5)).endswith("by 4 April 2026.")
