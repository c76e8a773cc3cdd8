"""What a key of a channel may state and do, and what it is told of what it may not."""

from collections.abc import Callable
from functools import partial

import pytest

from services.intake.errors import Forbidden
from services.intake.grant import ANYTHING, Grant, Power
from shared.domain.rights import Right

NARROW = Grant("L1", frozenset({Right.ACCESS, Right.OBJECTION}))
FETCHING = Grant.of("L0", Power.FETCH)


@pytest.mark.parametrize(
    ("must", "said"),
    [
        (lambda: NARROW.must_state("L2"), "this key may not state L2: it may state L1 at most"),
        (lambda: Grant().must_state("L1"), "this key may not state L1: it may state L0 at most"),
        (
            lambda: NARROW.must_handle(Right.ERASURE),
            "this key may not ask for erasure: it may ask for access and objection",
        ),
        (
            lambda: NARROW.must(Power.FETCH),
            "this key may not fetch packages: it may submit requests and move them on; use the channel's key for that",
        ),
        (
            lambda: FETCHING.must(Power.SUBMIT),
            "this key may not submit requests and move them on: it may fetch packages; use the channel's key for that",
        ),
    ],
)
def test_what_is_beyond_a_key_is_refused_and_told_what_the_key_may(must: Callable[[], None], said: str) -> None:
    assert refusal(must) == said


def test_what_a_key_may_it_may() -> None:
    may: list[Callable[[], None]] = [
        lambda: NARROW.must_state("L1"),
        lambda: NARROW.must_handle(Right.ACCESS),
        lambda: NARROW.must(Power.SUBMIT),
        lambda: FETCHING.must(Power.FETCH),
        *(partial(ANYTHING.must_handle, right) for right in Right),
    ]
    assert [refusal(must) for must in may] == [None] * len(may)


def refusal(must: Callable[[], None]) -> str | None:
    """What is said of it, if it is refused."""
    try:
        must()
    except Forbidden as refused:
        return str(refused)
    return None


def test_a_key_that_nobody_has_granted_anything_states_nothing_and_fetches_nothing() -> None:
    assert Grant() == Grant("L0", frozenset(Right), frozenset({Power.SUBMIT}))
