"""A correction that was made in no system is told, and nobody whom a system has is told that we hold nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from services.intake.letters.old_contacts import corrects, old_points
from services.intake.request.closing import closing_letter
from services.intake.request.coverage import coverage
from services.intake.request.lifecycle import State
from shared.domain import corrections
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.downstreams.results import of_corrections
from shared.fulfilment.store import outcome_of
from shared.storage.subject_data import SubjectData
from tests.fixtures.downstream import email, task
from tests.fixtures.requests import a_request
from tests.fixtures.words import answer, done

NAME, NOTE = ("name", None, "New Name"), ("note", None, "NN")


def report(system: str, outcome: str | None, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation="rectify", outcome=outcome, **more)


AMENDED: dict[str, Any] = {"outcome": "amended", "found": 1, "changed": 1}


@pytest.mark.parametrize(
    ("reports", "missing", "outcome"),
    [
        ([report("hx", corrected=(1, 0), **AMENDED)], (2,), Outcome.PARTIALLY_FULFILLED),
        (
            [report("hx", corrected=(1, 0), **AMENDED), report("crm", corrected=(0, 2), **AMENDED)],
            (),
            Outcome.FULFILLED,
        ),
        ([report("hx", "unchanged", found=6, corrected=(0,))], (1,), Outcome.PARTIALLY_FULFILLED),
        (
            [report("hx", "unchanged", found=6, corrected=(0,)), report("crm", "no_match")],
            (1,),
            Outcome.PARTIALLY_FULFILLED,
        ),
        ([report("hx", "not_held"), report("crm", "no_match")], (), Outcome.NO_DATA),
        ([report("hx", by_hand=True, **AMENDED)], (), Outcome.FULFILLED),
        (
            [report("hx", corrected=(1, 0), **AMENDED), report("crm", None, failure="unavailable")],
            (),
            Outcome.FULFILLED,
        ),
    ],
)
def test_uncorrected_part_makes_partial(reports: list[TaskReport], missing: tuple[int, ...], outcome: Outcome) -> None:
    assert corrections.missing(reports) == missing
    assert outcome_of(reports) is outcome


@pytest.mark.parametrize(
    ("reports", "told"),
    [
        (
            (report("hx", corrected=(1, 0), **AMENDED),),
            "Of the corrections that you asked for, in your order, number 2 was made in no system",
        ),
        (
            (report("hx", "unchanged", found=6, corrected=(0,)),),
            "What you asked us to correct was corrected in no system",
        ),
        (
            (report("hx", "unchanged", found=6, corrected=(0, 0)),),
            "What you asked us to correct was corrected in no system",
        ),
    ],
)
def test_correction_made_nowhere_is_reported_with_its_place(reports: tuple[TaskReport, ...], told: str) -> None:
    request = replace(
        a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=Outcome.PARTIALLY_FULFILLED, tasks=reports
    )
    said = answer(request)
    assert told in said
    assert "every system" not in said
    assert "hold no data" not in said
    assert "after your request had been closed" not in said
    assert ("fulfilled in part" in said) is (reports[0].outcome == "amended")
    [(kind, known)] = closing_letter(request)
    assert (kind, known["cause"]) == ("partial", "uncorrected")


STATED: dict[str, Any] = {"outcome": "amended", "stated": True, "by_category": {"call_record": 2}}


@pytest.mark.parametrize(
    ("outcome", "corrected", "told"),
    [
        (Outcome.FULFILLED, (2,), "Your statement now stands beside it"),
        (
            Outcome.PARTIALLY_FULFILLED,
            (2, 0),
            "Of your statements, in your order, number 2 stands beside no record",
        ),
        (Outcome.PARTIALLY_FULFILLED, (0,), "What you stated stands beside no record"),
    ],
)
def test_statement_is_reported_as_no_correction(outcome: Outcome, corrected: tuple[int, ...], told: str) -> None:
    said = {**STATED, "outcome": "amended" if any(corrected) else "unchanged"}
    reports = (report("cdr", found=2, corrected=corrected, **said), report("crm", "not_held"))
    request = replace(a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=outcome, tasks=reports)
    assert outcome_of(reports) is outcome
    assert told in answer(request)
    assert "every system" not in answer(request)
    [(kind, known)] = closing_letter(request)
    assert (kind, known.get("cause")) in {("completion", None), ("completion", "unanswered"), ("partial", "unstated")}
    assert ("your statement stands beside 2 records" in done(reports)) is any(corrected)


def test_whom_a_system_has_without_what_is_wrong_is_found_there() -> None:
    [covered] = coverage([report("hx", "unchanged", found=6, corrected=(0,))])
    assert (covered.result, covered.found) == ("unchanged", 6)


def test_a_receipt_says_of_each_correction_how_many_records_show_it() -> None:
    asked = task(Operation.RECTIFY, email("ada@example.org"), changes=[NAME, NOTE])
    both = of_corrections(asked, {"contact": 1}, [1, 0], 6)
    assert (both.outcome, both.found, both.changed, both.corrected) == (TaskOutcome.AMENDED, 1, 1, (1, 0))
    none = of_corrections(asked, {}, [0, 0], 6)
    assert (none.outcome, none.found, none.changed) == (TaskOutcome.UNCHANGED, 6, 0)
    already = of_corrections(asked, {}, [1, 0], 6)
    assert (already.outcome, already.changed) == (TaskOutcome.AMENDED, 0)
    assert of_corrections(asked, {}, [0, 0], 0).outcome is TaskOutcome.NO_MATCH


def test_of_whom_something_was_restricted_meanwhile_nobody_reads_that_we_hold_no_data_there() -> None:
    restricted = TaskReport(task_id=uuid7(), system="desk", operation="restrict", outcome="amended", found=1, changed=1)
    reports = (report("desk", "no_match", searched_by=("email",)), restricted)
    closed = replace(a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=Outcome.NO_DATA, tasks=reports)
    said = answer(closed)
    assert "hold no data" not in said
    assert "We found what you asked us to change in none of our systems." in said
    alone = answer(replace(closed, tasks=reports[:1]))
    assert "hold no data about you there" in alone


# Who is told that a contact point was corrected: the one in whose place another came, and nobody else.
NOW = datetime(2026, 3, 5, 9, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
FORMER = Identity(IdentityType.PHONE, "+4930111111", None, datetime(2025, 1, 1, tzinfo=UTC), level="L2")
PHONE = Identity(IdentityType.PHONE, "+4930222222", datetime(2025, 1, 1, tzinfo=UTC), level="L2")
CLAIMED = Identity(IdentityType.PHONE, "+4930444444")


def told(*changes: Change) -> list[str]:
    return old_points(SubjectData((EMAIL, FORMER, PHONE, CLAIMED), changes), NOW)


def test_the_old_address_is_told_and_not_the_new_one() -> None:
    assert told(Change(field="email", asserted="Ada@Example.net")) == ["ada@example.org"]
    assert told(Change(field="email", current="old@example.org", asserted="ada@example.org")) == ["old@example.org"]
    assert told(Change(field="email", asserted="ADA@example.org")) == []


def test_a_number_that_was_the_subject_s_once_or_that_they_only_claim_is_not_told() -> None:
    assert told(Change(field="phone", asserted="+49 30 333333")) == ["+4930222222"]


def test_what_reaches_nobody_has_no_old_contact() -> None:
    assert told(Change(field="name", asserted="Ada Lovelace"), Change(field="address.city", asserted="Bonn")) == []


def test_nobody_is_told_of_what_was_not_corrected() -> None:
    report = TaskReport(task_id=uuid7(), system="crm", operation="rectify", outcome="amended", changed=1)
    closed = a_request(State.CLOSED, right=Right.RECTIFICATION, tasks=(report,))
    assert corrects(closed)
    assert not corrects(replace(closed, tasks=(report.model_copy(update={"changed": 0}),)))
    assert not corrects(replace(closed, right=Right.ACCESS))
    assert not corrects(replace(closed, tasks=None))
