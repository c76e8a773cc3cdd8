"""Of what is kept people read the name that the policy gives a system, and each reason beside what it is of."""

from collections.abc import Iterator
from datetime import date

import pytest
from uuid_utils.compat import uuid7

from services.intake.request.told.kept import of_kept
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, TaskOutcome, TaskReport
from shared.domain.sentences import Fact, Listed, Sentence, named_system

DAY, LATER = date(2030, 1, 31), date(2032, 1, 31)


def kept(**said: object) -> dict[str, object]:
    of = [Kept.model_validate({"category": "invoice", "rule": "tax", "count": 2, **said})]
    return {"outcome": TaskOutcome.RETAINED, "kept": of}


def systems(fact: Fact) -> Iterator[Fact]:
    """Every fact by which a sentence, or one in it, names systems."""
    if isinstance(fact, Sentence):
        for name, each in fact.facts.items():
            yield from (each.facts if isinstance(each, Listed) else [each]) if name.startswith("system") else ()
            yield from systems(each)
    elif isinstance(fact, Listed):
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
    told = [*of_kept(report)]
    assert told, "something is told"
    assert all([*systems(each)] == [named_system("cdr")] for each in told)


def test_that_what_a_hold_keeps_is_restricted_is_told_beside_the_hold_and_not_beside_another_day() -> None:
    held = Kept(category="account", rule=LEGAL_HOLD, count=1, restricted=1)
    taxed = Kept(category="invoice", rule="tax", count=1, first=DAY, last=DAY, period="P72M")
    said = {"outcome": TaskOutcome.RETAINED, "kept": [held, taxed]}
    report = TaskReport.model_validate({"task_id": uuid7(), "system": "shop", "operation": "erase", **said})
    assert [each.key for each in of_kept(report)] == [
        *("answer.kind_kept", "answer.kept_restricted", "answer.kind_kept_until", "answer.kept_reduced"),
    ]
