"""The pause before an unavailable system is asked again: it grows, has a limit, and is never the same for all."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.runtime import retry
from shared.runtime.settings import WorkSettings

SETTINGS = WorkSettings(downstreams=Path("none"), backoff_seconds=1, backoff_max_seconds=60)


def pauses(attempt: int) -> list[timedelta]:
    return [retry.pause(attempt, SETTINGS) for _ in range(300)]


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60), (10_000, 60)])
def test_the_pause_doubles_up_to_its_limit(attempt: int, longest: float) -> None:
    assert max(pauses(attempt)) <= timedelta(seconds=longest)
    assert max(pauses(attempt)) > timedelta(seconds=longest * 0.8)


@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_a_pause_is_never_shorter_than_half_the_first(attempt: int) -> None:
    assert min(pauses(attempt)) >= timedelta(seconds=0.5)


def test_many_tasks_do_not_come_back_at_the_same_moment() -> None:
    assert len(set(pauses(5))) > 250
