"""The sentence of a failure: what its adapter says, unless somebody's data could be in it."""

from dataclasses import replace

import pytest

from shared.domain.errors import BlastRadius, DoneBefore, ForeignHit, Refused, TableMissing
from shared.domain.operations import Exceeded, Limit, Operation, Unsearched
from shared.downstreams.settings import LimitedSettings
from shared.fulfilment.failures import sentence_of, why_of
from tests.fixtures.downstream import task

GENERAL = "The system's search returned people who are not the subject; nothing was done to anybody."


def test_a_failure_says_which_limit_has_stopped_it_and_how_much_was_found() -> None:
    stopped = LimitedSettings(max_rows=1_000).excess(task(Operation.ERASE), rows=12_345_678)
    assert stopped is not None
    assert why_of(stopped) == {
        "sentence": "12,345,678 are found, and max_rows = 1,000; nothing was done",
        "exceeded": {"limit": "max_rows", "found": 12_345_678, "allowed": 1_000},
    }


def test_what_was_done_before_a_failure_is_told_in_counts_and_whether_anybody_has_verified_them() -> None:
    left = Refused("two are left")
    left.done_before = DoneBefore(found=5, changed=3, remaining=2, reported=True)
    counts = {"found": 5, "changed": 3, "remaining": 2}
    assert why_of(left) == {"sentence": "two are left", **counts, "reported": True}
    left.done_before = DoneBefore(found=5, changed=3, remaining=2)
    assert why_of(left) == {"sentence": "two are left", **counts}


def test_a_limit_without_a_number_cannot_be_confirmed() -> None:
    assert why_of(BlastRadius("too many")) == {"sentence": "too many"}


@pytest.mark.parametrize(
    "said", ["held by ada@example.org", "found +49 30 901820", "found 49309018200", "a\u202eb", ""]
)
def test_what_could_hold_somebodys_data_is_said_in_general(said: str) -> None:
    assert sentence_of(ForeignHit(said)) == GENERAL


def test_a_sentence_is_one_line_and_not_long() -> None:
    assert sentence_of(TableMissing("no\n\ttable")) == "no table"
    assert len(sentence_of(Refused("x" * 5_000))) == 300


def test_what_could_not_be_searched_has_a_sentence_too() -> None:
    assert all(reason.sentence for reason in Unsearched)


def test_a_limit_that_was_confirmed_is_the_number_that_was_confirmed() -> None:
    settings = LimitedSettings(max_rows=1_000)
    confirmed = replace(task(Operation.ERASE), confirmed={Limit.MAX_ROWS: 1_500})
    assert settings.excess(confirmed, rows=1_500) is None
    more = settings.excess(confirmed, rows=1_501)
    assert more is not None
    assert more.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=1_501, allowed=1_500)
