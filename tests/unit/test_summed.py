"""What the last letter says of a request is all that it has done since it was received."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request
from services.intake.request.coverage import coverage
from services.intake.request.lifecycle import State
from services.intake.request.summed import kept_from, summed
from shared.domain.events import FulfilmentBlocked, FulfilmentCompleted, FulfilmentReported
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from tests.fixtures.events import a
from tests.fixtures.requests import AT, POLICY, a_request, open_question
from tests.fixtures.words import answer, done, read


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
    assert kind == "completion"
    assert fields["done"].splitlines() == [
        "- cdr: searched (support tickets), nothing of yours found.",
        "- ticketing: 14 of 14 records erased (support tickets: 14).",
    ]
    assert [(c.result, c.found) for c in coverage(ended.request.tasks) if c.system == "ticketing"] == [("erased", 14)]
    assert answer(ended.request).startswith("Your personal data was erased")


@pytest.mark.parametrize("operation", ["rectify", "restrict", "suppress"])
def test_what_was_changed_in_place_is_found_again_and_counted_once(operation: str) -> None:
    first = erased(3, operation=operation, outcome="amended")
    again = erased(3, operation=operation, outcome="amended", changed=0)
    assert done((first, again)).startswith("- ticketing: 3 of 3 records")


def test_a_line_of_kinds_counts_what_was_erased_and_not_what_was_found_and_kept() -> None:
    left = [{"category": name, "rule": "calls_us_18m", "count": rows} for name, rows in (("call", 2), ("billing", 2))]
    found = {"found": 5, "changed": 1, "by_category": {"ticket": 1, "call": 2, "billing": 2}}
    kept = erased(5, outcome="retained", kept=left, **found)
    line = "- ticketing: {} records erased (billing: 0, calls: {}, support tickets: 1)."
    assert done((kept,)) == line.format("1 of 5", 0)
    released = erased(2, by_category={"call": 2}, categories=["ticket", "call", "billing"])
    assert done((kept, released)) == line.format("3 of 3", 2), "what was kept and then goes is one record, not two"
    [before] = kept_from((kept,), (released,))
    assert (before.found, before.by_category, before.kept) == (1, {"ticket": 1}, None)
    assert done((before, released)) == line.format("3 of 3", 2), "so when it is asked for once more"


def test_where_it_is_not_known_of_which_kind_those_were_that_went_no_kinds_are_named() -> None:
    broken = erased(5, changed=2, by_category={"ticket": 2, "call": 3})
    assert done((broken,)) == "- ticketing: 2 of 5 records erased."


ROUNDS = st.lists(st.lists(st.integers(0, 5), min_size=2, max_size=2), min_size=1, max_size=4)


@given(rounds=ROUNDS, ends=st.sampled_from(["complete", "report"]))
def test_the_counts_of_the_end_are_those_of_all_rounds_however_it_ends(rounds: list[list[int]], ends: str) -> None:
    request = a_request(State.IN_PROGRESS)
    for number, rows in enumerate(rounds):
        tasks = tuple(erased(count, system=system) for count, system in zip(rows, ("cdr", "crm"), strict=True))
        if number < len(rounds) - 1:
            left = erased(0, system="shop", outcome=None, failure="residue_found")
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
        line = f"- {system}: {total} of {total} record{'s' * (total != 1)} erased" if total else f"- {system}: searched"
        assert line in done(request.tasks)


def test_no_system_stands_twice_for_one_thing() -> None:
    for operation, first, second in product(("erase", "rectify", "restrict", "suppress"), range(3), range(3)):
        outcomes = ["amended" if rows and operation != "erase" else None for rows in (first, second)]
        tasks = [
            erased(rows, operation=operation, **({"outcome": outcome} if outcome else {}))
            for rows, outcome in zip((first, second), outcomes, strict=True)
        ]
        assert len(summed(tasks)) == 1
