"""The final answer: everything done since the receipt of the request, and corrections made nowhere."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.letters.old_contacts import made_correction, old_points
from services.intake.request import closing, deferrals
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.messages.retained import retained_sentences
from services.intake.request.reports import coverage, past_changes, summed
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, FulfilmentReported
from shared.domain.holds import LEGAL_HOLD
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Kept, Operation, TaskOutcome, TaskReport, missing_corrections
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Fact, FactList, Sentence, named_system
from shared.fulfilment.store import outcome_of
from shared.storage.subject_data import SubjectData
from shared.systems.contract import correction_receipt
from tests.fixtures.downstream import email, task
from tests.fixtures.events import a
from tests.fixtures.requests import AT, POLICY, a_request, open_question
from tests.fixtures.words import answer, closing_letter, done, read, written


def erased(rows: int, **said: Any) -> TaskReport:
    outcome = TaskOutcome.ERASED if rows else TaskOutcome.NO_MATCH
    known = {"task_id": uuid7(), "system": "ticketing", "operation": Operation.ERASE, "outcome": outcome}
    counts = {"found": rows, "changed": rows, "by_category": {"ticket": rows} if rows else {}, "categories": ["ticket"]}
    return TaskReport.model_validate({**known, **counts, **said})


def reopened(*before: TaskReport) -> Request:
    """An erasure that was answered in part after the last notice, and goes on with what it waited for."""
    said = {"outcome": Outcome.PARTIALLY_FULFILLED, "resumable": True, "question": open_question(last_notice_at=AT)}
    unproved = erased(0, system="cdr", outcome=TaskOutcome.NOT_SEARCHED, not_searched="not_proved", level="L2")
    closed = a_request(State.CLOSED, tasks=(*before, unproved), **said)
    return closed.verify({}, AT, POLICY).request


def test_what_was_erased_before_a_resumption_stands_in_the_final_answer_view_and_letter() -> None:
    later = (erased(0), erased(0, system="cdr"))
    ended = reopened(erased(14)).complete(a(FulfilmentCompleted, outcome=Outcome.NO_DATA, tasks=later), AT)
    assert ended.request.outcome is Outcome.FULFILLED
    ((kind, fields),) = read(ended.letters)
    assert (kind, fields["about"]) == ("answer", "fulfilled")
    assert fields["done"].splitlines() == [
        "- cdr: searched (support tickets), nothing of yours found.",
        "- ticketing: 14 records erased (support tickets: 14).",
    ]
    assert [(c.result, c.found) for c in coverage(ended.request.tasks) if c.system == "ticketing"] == [("erased", 14)]
    assert answer(ended.request).startswith("We have erased your personal data")


@pytest.mark.parametrize("operation", ["rectify", "restrict", "suppress"])
def test_what_was_changed_in_place_is_found_again_and_counted_once(operation: str) -> None:
    first = erased(3, operation=operation, outcome="amended")
    again = erased(3, operation=operation, outcome="amended", changed=0)
    assert done((first, again)).startswith("- ticketing: 3 records")


def test_a_line_of_kinds_counts_what_was_erased_and_not_what_was_found_and_kept() -> None:
    left = [{"category": name, "rule": "calls_us_18m", "count": rows} for name, rows in (("call", 2), ("billing", 2))]
    found = {"found": 5, "changed": 1, "by_category": {"ticket": 1, "call": 2, "billing": 2}}
    kept = erased(5, outcome="retained", kept=left, **found)
    line = "- ticketing: {} erased ({}support tickets: 1)."
    assert done((kept,)) == line.format("1 record", "")
    released = erased(2, by_category={"call": 2}, categories=["ticket", "call", "billing"])
    assert done((kept, released)) == line.format("3 records", "calls: 2, "), (
        "what was kept and then goes is one record, not two"
    )
    [before] = past_changes((kept,), (released,))
    assert (before.found, before.by_category, before.kept) == (1, {"ticket": 1}, None)
    assert done((before, released)) == line.format("3 records", "calls: 2, "), "so when it is asked for once more"


def test_where_it_is_not_known_of_which_kind_those_were_that_went_no_kinds_are_named() -> None:
    broken = erased(5, changed=2, by_category={"ticket": 2, "call": 3})
    assert done((broken,)) == "- ticketing: 2 records erased."


ROUNDS = st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=2), min_size=1, max_size=4)


@given(rounds=ROUNDS, ends=st.sampled_from(["complete", "report"]))
def test_the_counts_of_the_end_are_those_of_all_rounds_however_it_ends(rounds: list[list[int]], ends: str) -> None:
    request = a_request(State.IN_PROGRESS)
    for number, rows in enumerate(rounds):
        tasks = tuple(erased(count, system=system) for count, system in zip(rows, ("cdr", "crm"), strict=True))
        if number < len(rounds) - 1:
            left = erased(0, system="shop", outcome=None, failure="data_still_present")
            blocked = request.block(a(FulfilmentBlocked, operation="erase", tasks=(*tasks, left))).request
            blocked = blocked.block(a(FulfilmentBlocked, operation="erase", tasks=(*tasks, left))).request
            request = blocked.retry().request
            continue
        outcome = Outcome.FULFILLED if any(rows) else Outcome.NO_DATA
        if ends == "report":
            request = replace(request, decided=Outcome.PARTIALLY_FULFILLED)
            request = request.report(
                a(FulfilmentReported, operation="erase", outcome=outcome, tasks=tasks), {}, AT
            ).request
        else:
            request = request.complete(
                a(FulfilmentCompleted, operation="erase", outcome=outcome, tasks=tasks), AT
            ).request
    counts = {task.system: task.changed for task in summed(request.tasks)}
    assert counts == {system: sum(rows[n] for rows in rounds) for n, system in enumerate(("cdr", "crm"))}
    assert (request.outcome is Outcome.NO_DATA) == (sum(map(sum, rounds)) == 0)
    for system, total in counts.items():
        line = f"- {system}: {total} record{'s' * (total != 1)} erased" if total else f"- {system}: searched"
        assert line in done(request.tasks)


def test_no_system_stands_twice_for_one_thing() -> None:
    for operation, first, second in product(("erase", "rectify", "restrict", "suppress"), range(3), range(3)):
        outcomes = ["amended" if rows and operation != "erase" else None for rows in (first, second)]
        tasks = [
            erased(rows, operation=operation, **({"outcome": outcome} if outcome else {}))
            for rows, outcome in zip((first, second), outcomes, strict=True)
        ]
        assert len(summed(tasks)) == 1


# What a letter says of an erasure follows from the receipts of all its looks, whatever went when.
LOOKS = 3
WORDS = {"call": "call", "invoice": "invoice", "ticket": "support ticket"}
"""Category names in the singular."""
LAST = date(2028, 3, 30)
# Of each row its category, and with which look it goes; with none of them: it stays.
rows = st.lists(st.tuples(st.sampled_from(sorted(WORDS)), st.integers(0, LOOKS)), min_size=1, max_size=8)


def look(left: list[tuple[str, int]], number: int) -> TaskReport:
    """The receipt of one look at the rows that are left."""
    gone, stay = (Counter(kind for kind, when in left if (when == number) is went) for went in (True, False))
    kept = tuple(
        Kept(category=kind, rule="calls_us_18m", count=count, first=LAST, last=LAST, period="P18M")
        for kind, count in sorted(stay.items())
    )
    found = len(left)
    outcome = TaskOutcome.RETAINED if kept else TaskOutcome.ERASED if found else TaskOutcome.NO_MATCH
    return TaskReport(
        task_id=uuid7(),
        system="shop",
        operation=Operation.ERASE,
        outcome=outcome,
        found=found,
        changed=gone.total(),
        remaining=stay.total(),
        ground="calls_us_18m" if kept else None,
        until=LAST if kept else None,
        kept=kept or None,
        by_category=Counter(kind for kind, _ in left),
    )


@given(rows)
def test_what_has_gone_and_what_is_kept_is_counted_over_all_looks(every: list[tuple[str, int]]) -> None:
    left, tasks = every, tuple[TaskReport, ...]()
    for number in range(LOOKS):
        report = look(left, number)
        tasks = deferrals.updated(tasks, [report]) if number else (report,)
        left = [row for row in left if row[1] != number]
        if not left:
            break
    gone = Counter(kind for kind, _ in every) - Counter(kind for kind, _ in left)
    request = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED)
    ((kind, fields),) = closing.follow_up_letter(replace(request, tasks=tasks))
    body = " ".join(written(kind, fields).body.split())
    assert f"shop: {f'{gone.total()} record' if gone else 'nothing was erased'}" in body
    listed = re.search(r"records? erased \(([^)]*)\)", body)
    counts = [each.rsplit(": ", 1) for each in listed[1].split(", ")] if listed else []
    counted = {name.rstrip("s"): int(count) for name, count in counts if count != "0"}
    assert counted == {WORDS[name]: count for name, count in gone.items()}
    [(total, kinds)] = re.findall(r"we keep (\d+) records? \(([^)]+)\) until 30 March 2028", body) or [("0", "")]
    kept = {name: int(count or total) for name, count in re.findall(r"([a-z ]+[a-z])(?:: (\d+))?", kinds)}
    assert {name.strip().rstrip("s"): count for name, count in kept.items()} == Counter(WORDS[name] for name, _ in left)
    assert fields["about"] == ("partially_fulfilled" if left else "fulfilled")


# The answer also reports erasures of another request, and work that was begun and stopped.
def report(system: str, operation: Operation, **said: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": TaskOutcome.NO_MATCH}
    return TaskReport.model_validate(known | said)


@pytest.mark.parametrize("outcome", [Outcome.WITHDRAWN, Outcome.PARTIALLY_FULFILLED])
@pytest.mark.parametrize(("reported", "said"), [(None, "3 records erased; the rest"), (True, "what it says of itself")])
def test_work_before_a_failure_is_counted_as_unverified(outcome: Outcome, reported: object, said: str) -> None:
    left = report(
        "billing", Operation.ERASE, outcome=None, failure="data_still_present", found=5, changed=3, reported=reported
    )
    ended = a_request(State.CLOSED, outcome=outcome, tasks=(left,))
    ((_, fields),) = closing_letter(ended)
    assert said in str(fields["done"])
    if outcome is Outcome.WITHDRAWN:
        assert f"3 records{' (as it says of itself)' if reported else ''} in billing" in answer(ended)
        assert "What was tried in billing was not finished." in answer(ended)
    again = report("billing", Operation.ERASE, outcome=TaskOutcome.ERASED, found=2, changed=2)
    assert ("what it says of itself" in done((*past_changes((left,), (again,)), again))) is bool(reported)
    assert "5 records erased" in done((*past_changes((left,), (again,)), again))


def test_work_finished_after_a_withdrawal_has_one_letter() -> None:
    withdrawn = a_request(State.IN_PROGRESS).withdraw(AT).request
    late = report("billing", Operation.ERASE, outcome=None, failure="withdrawn", found=4, changed=4, reported=True)
    reported = withdrawn.report(a(FulfilmentReported, tasks=(late,)), {}, AT)
    ((kind, fields),) = read(reported.letters)
    assert (kind, fields["about"]) == ("answer", "withdrawn")
    assert "4 records (as it says of itself) in billing" in fields["answer"]
    assert reported.request.report(a(FulfilmentReported, tasks=(late,)), {}, AT).letters == ()


# Kept data are reported with the policy's name of the system, and each reason with its data.
DAY, LATER = date(2030, 1, 31), date(2032, 1, 31)


def kept(**said: object) -> dict[str, object]:
    of = [Kept.model_validate({"category": "invoice", "rule": "tax", "count": 2, **said})]
    return {"outcome": TaskOutcome.RETAINED, "kept": of}


def systems(fact: Fact) -> Iterator[Fact]:
    """Yields the facts by which a sentence, or a nested one, names systems."""
    if isinstance(fact, Sentence):
        for name, each in fact.facts.items():
            yield from (each.facts if isinstance(each, FactList) else [each]) if name.startswith("system") else ()
            yield from systems(each)
    elif isinstance(fact, FactList):
        for each in fact.facts:
            yield from systems(each)
    elif isinstance(fact, tuple):
        for each in fact:
            yield from systems(each)


@pytest.mark.parametrize(
    "said",
    [
        kept(),
        kept(first=DAY, last=DAY),
        kept(first=DAY, last=LATER),
        kept(period="P72M"),
        kept(rule=LEGAL_HOLD, restricted=1),
        {"outcome": TaskOutcome.RETAINED, "ground": LEGAL_HOLD},
        {"outcome": TaskOutcome.RETAINED, "ground": "tax", "until": DAY, "found": 1},
        {"outcome": TaskOutcome.RETAINED, "ground": "tax", "found": 1},
        {"outcome": TaskOutcome.ERASED, "ground": "tax", "until": DAY},
        {"outcome": TaskOutcome.ERASED, "ground": "tax"},
    ],
    ids=str,
)
def test_every_sentence_of_what_is_kept_names_its_system_as_the_policy_does(said: dict[str, object]) -> None:
    report = TaskReport.model_validate({"task_id": uuid7(), "system": "cdr", "operation": "erase", **said})
    sentences = [*retained_sentences(report)]
    assert sentences, "there are sentences"
    assert all([*systems(each)] == [named_system("cdr")] for each in sentences)


def test_restriction_of_held_data_is_reported_with_the_hold() -> None:
    held = Kept(category="account", rule=LEGAL_HOLD, count=1, restricted=1)
    taxed = Kept(category="invoice", rule="tax", count=1, first=DAY, last=DAY, period="P72M")
    said = {"outcome": TaskOutcome.RETAINED, "kept": [held, taxed]}
    report = TaskReport.model_validate({"task_id": uuid7(), "system": "shop", "operation": "erase", **said})
    assert [each.key for each in retained_sentences(report)] == [
        *("kept.kind", "kept.all_restricted", "kept.kind_until", "kept.reduced")
    ]


# A correction made in no system is reported, and a person found in a system does not read that we hold nothing.

NAME, NOTE = ("name", None, "New Name"), ("note", None, "NN")


def report_corrected(system: str, outcome: str | None, **more: Any) -> TaskReport:
    return TaskReport(task_id=uuid7(), system=system, operation="rectify", outcome=outcome, **more)


AMENDED: dict[str, Any] = {"outcome": "amended", "found": 1, "changed": 1}


@pytest.mark.parametrize(
    ("reports", "missing", "outcome"),
    [
        ([report_corrected("hx", corrected=(1, 0), **AMENDED)], (2,), Outcome.PARTIALLY_FULFILLED),
        (
            [report_corrected("hx", corrected=(1, 0), **AMENDED), report_corrected("crm", corrected=(0, 2), **AMENDED)],
            (),
            Outcome.FULFILLED,
        ),
        ([report_corrected("hx", "unchanged", found=6, corrected=(0,))], (1,), Outcome.PARTIALLY_FULFILLED),
        (
            [report_corrected("hx", "unchanged", found=6, corrected=(0,)), report_corrected("crm", "no_match")],
            (1,),
            Outcome.PARTIALLY_FULFILLED,
        ),
        ([report_corrected("hx", "not_held"), report_corrected("crm", "no_match")], (), Outcome.NO_DATA),
        ([report_corrected("hx", by_hand=True, **AMENDED)], (), Outcome.FULFILLED),
        (
            [report_corrected("hx", corrected=(1, 0), **AMENDED), report_corrected("crm", None, failure="unavailable")],
            (),
            Outcome.FULFILLED,
        ),
    ],
)
def test_uncorrected_part_makes_partial(reports: list[TaskReport], missing: tuple[int, ...], outcome: Outcome) -> None:
    assert missing_corrections(reports) == missing
    assert outcome_of(reports) is outcome


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        (
            (report_corrected("hx", corrected=(1, 0), **AMENDED),),
            "Of the corrections that you asked for, in your order, number 2 was made in no system",
        ),
        (
            (report_corrected("hx", "unchanged", found=6, corrected=(0,)),),
            "What you asked us to correct was corrected in no system",
        ),
        (
            (report_corrected("hx", "unchanged", found=6, corrected=(0, 0)),),
            "What you asked us to correct was corrected in no system",
        ),
    ],
)
def test_correction_made_nowhere_is_reported_with_its_place(reports: tuple[TaskReport, ...], says: str) -> None:
    request = replace(
        a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=Outcome.PARTIALLY_FULFILLED, tasks=reports
    )
    said = answer(request)
    assert says in said
    assert "every system" not in said
    assert "hold no data" not in said
    assert "after your request had been closed" not in said
    assert ("corrected a part of your data" in said) is (reports[0].outcome == "amended")
    [(_, known)] = closing.closing_letter(request)
    assert (known["about"], known["cause"]) == ("partially_fulfilled", "uncorrected")


STATED: dict[str, Any] = {"outcome": "amended", "stated": True, "by_category": {"call_record": 2}}


@pytest.mark.parametrize(
    ("outcome", "corrected", "says"),
    [
        (Outcome.FULFILLED, (2,), "Your statement is now kept with it"),
        (Outcome.PARTIALLY_FULFILLED, (2, 0), "Of your statements, in your order, number 2 was added to no record"),
        (Outcome.PARTIALLY_FULFILLED, (0,), "Your statement was added to no record"),
    ],
)
def test_statement_is_reported_as_no_correction(outcome: Outcome, corrected: tuple[int, ...], says: str) -> None:
    said = {**STATED, "outcome": "amended" if any(corrected) else "unchanged"}
    reports = (report_corrected("cdr", found=2, corrected=corrected, **said), report_corrected("crm", "not_held"))
    request = replace(a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=outcome, tasks=reports)
    assert outcome_of(reports) is outcome
    assert says in answer(request)
    assert "every system" not in answer(request)
    [(_, known)] = closing.closing_letter(request)
    assert known.get("cause") == (None if outcome is Outcome.FULFILLED else "unstated")
    assert ("your statement was added to 2 records" in done(reports)) is any(corrected)


def test_whom_a_system_has_without_what_is_wrong_is_found_there() -> None:
    [covered] = coverage([report_corrected("hx", "unchanged", found=6, corrected=(0,))])
    assert (covered.result, covered.found) == ("unchanged", 6)


def test_a_receipt_says_of_each_correction_how_many_records_show_it() -> None:
    asked = task(Operation.RECTIFY, email("ada@example.org"), changes=[NAME, NOTE])
    both = correction_receipt(asked, {"contact": 1}, [1, 0], 6)
    assert (both.outcome, both.found, both.changed, both.corrected) == (TaskOutcome.AMENDED, 1, 1, (1, 0))
    none = correction_receipt(asked, {}, [0, 0], 6)
    assert (none.outcome, none.found, none.changed) == (TaskOutcome.UNCHANGED, 6, 0)
    already = correction_receipt(asked, {}, [1, 0], 6)
    assert (already.outcome, already.changed) == (TaskOutcome.AMENDED, 0)
    assert correction_receipt(asked, {}, [0, 0], 0).outcome is TaskOutcome.NO_MATCH


def test_restricted_person_never_reads_that_we_hold_no_data() -> None:
    restricted = TaskReport(task_id=uuid7(), system="desk", operation="restrict", outcome="amended", found=1, changed=1)
    reports = (report_corrected("desk", "no_match", searched_by=("email",)), restricted)
    closed = replace(a_request(State.CLOSED, right=Right.RECTIFICATION), outcome=Outcome.NO_DATA, tasks=reports)
    said = answer(closed)
    assert "hold no data" not in said
    assert "We found what you asked us to change in none of our systems." in said
    alone = answer(replace(closed, tasks=reports[:1]))
    assert "hold no data about you there" in alone


# The notice of a corrected contact point goes only to the replaced one.
NOW = datetime(2026, 3, 5, 9, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
FORMER = Identity(IdentityType.PHONE, "+4930111111", None, datetime(2025, 1, 1, tzinfo=UTC), level="L2")
PHONE = Identity(IdentityType.PHONE, "+4930222222", datetime(2025, 1, 1, tzinfo=UTC), level="L2")
CLAIMED = Identity(IdentityType.PHONE, "+4930444444")


def notified(*changes: Change) -> list[str]:
    return old_points(SubjectData((EMAIL, FORMER, PHONE, CLAIMED), changes), NOW)


def test_old_address_is_notified_and_not_the_new_one() -> None:
    assert notified(Change(field="email", asserted="Ada@Example.net")) == ["ada@example.org"]
    assert notified(Change(field="email", current="old@example.org", asserted="ada@example.org")) == ["old@example.org"]
    assert notified(Change(field="email", asserted="ADA@example.org")) == []


def test_former_or_claimed_number_is_not_notified() -> None:
    assert notified(Change(field="phone", asserted="+49 30 333333")) == ["+4930222222"]


def test_field_without_a_contact_point_is_not_notified() -> None:
    assert notified(Change(field="name", asserted="Ada Lovelace"), Change(field="address.city", asserted="Bonn")) == []


def test_failed_correction_is_not_notified() -> None:
    report_corrected = TaskReport(task_id=uuid7(), system="crm", operation="rectify", outcome="amended", changed=1)
    closed = a_request(State.CLOSED, right=Right.RECTIFICATION, tasks=(report_corrected,))
    assert made_correction(closed)
    assert not made_correction(replace(closed, tasks=(report_corrected.model_copy(update={"changed": 0}),)))
    assert not made_correction(replace(closed, right=Right.ACCESS))
    assert not made_correction(replace(closed, tasks=None))
