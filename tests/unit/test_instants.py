"""What is believed of a stated time: a channel's clock may be wrong by a little, and nothing is years old."""

from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest

from services.intake.errors import BadRequest
from services.intake.instants import Instants

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
INSTANTS = Instants(timedelta(minutes=5), timedelta(days=731))
YEAR_ONE = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
LAST = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=14)))


def test_what_arrived_within_two_years_is_believed_and_so_is_a_clock_that_is_a_little_fast() -> None:
    assert INSTANTS.arrived(None, NOW) == NOW
    for stated in (NOW, NOW + timedelta(minutes=5), NOW - timedelta(days=731)):
        assert INSTANTS.arrived(stated, NOW) == stated


@pytest.mark.parametrize(
    "stated", [NOW + timedelta(minutes=5, seconds=1), NOW - timedelta(days=731, seconds=1), YEAR_ONE, LAST]
)
def test_what_lies_in_the_future_or_years_ago_is_refused_by_its_field(stated: datetime) -> None:
    for refused in (
        partial(INSTANTS.arrived, stated, NOW),
        partial(INSTANTS.replied, stated, None, NOW),
        partial(INSTANTS.replied, stated, NOW, NOW),
        partial(INSTANTS.entered, stated, NOW, NOW),
    ):
        with pytest.raises(BadRequest) as refusal:
            refused()
        assert refusal.value.field == "received_at"


def test_an_answer_never_comes_before_its_question() -> None:
    asked_at = NOW - timedelta(days=3)
    assert INSTANTS.replied(asked_at + timedelta(hours=1), asked_at, NOW) == asked_at + timedelta(hours=1)
    assert INSTANTS.replied(asked_at - timedelta(minutes=5), asked_at, NOW) == asked_at
    with pytest.raises(BadRequest, match="before the question"):
        INSTANTS.replied(asked_at - timedelta(minutes=6), asked_at, NOW)


def test_a_proof_to_come_is_refused_by_its_place() -> None:
    assert INSTANTS.proved(None, NOW, "proofs.1.proved_at") == NOW
    with pytest.raises(BadRequest) as refusal:
        INSTANTS.proved(NOW + timedelta(days=1), NOW, "proofs.1.proved_at")
    assert refusal.value.field == "proofs.1.proved_at"
