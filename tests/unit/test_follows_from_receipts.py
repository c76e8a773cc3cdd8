"""What a letter says of an erasure follows from the receipts of all its looks, whatever went when."""

import re
from collections import Counter
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.request import deferrals
from services.intake.request.closing import later_letter
from services.intake.request.lifecycle import State
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome
from tests.fixtures.requests import a_request
from tests.fixtures.words import written

LOOKS = 3
WORDS = {"call": "call", "invoice": "invoice", "ticket": "support ticket"}
"""In one."""
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
    ((kind, fields),) = later_letter(replace(request, tasks=tasks))
    body = " ".join(written(kind, fields).body.split())
    assert f"shop: {gone.total()} of {len(every)} record" in body
    listed = re.search(r"erased \(([^)]*)\)", body)
    told = [each.rsplit(": ", 1) for each in listed[1].split(", ")] if listed else []
    counted = {name.rstrip("s"): int(count) for name, count in told if count != "0"}
    assert counted == {WORDS[name]: count for name, count in gone.items()}
    kept = re.findall(r"(\d+) records? \(([\w ]+)\) (?:is|are) kept until 30 March 2028", body)
    assert {name.rstrip("s"): int(count) for count, name in kept} == Counter(WORDS[name] for name, _ in left)
    assert kind == ("partial" if left else "completion")
