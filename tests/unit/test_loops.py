"""What is done periodically costs a bounded share of the time and outlives an outage; pauses grow and have a limit."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import backoff, gather, run_periodically
from shared.runtime.settings import WorkSettings
from tests.fixtures.virtual_time import SkippingLoop

SETTINGS = WorkSettings(downstreams=Path("none"), backoff_seconds=1, backoff_max_seconds=60)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        monkeypatch.setattr("time.monotonic", runner.get_loop().time)
        yield runner


@pytest.mark.parametrize(("takes", "times", "share"), [(0.5, 10, 20), (0.0, 100, 1), (1.5, 10, 1), (1.5, 10, 0)])
def test_after_a_run_that_took_long_the_pause_is_so_many_times_as_long_and_no_standstill(
    runner: asyncio.Runner, takes: float, times: int, share: int
) -> None:
    stopping, heartbeats, begun = asyncio.Event(), Heartbeats(limit_seconds=2), list[float]()

    async def do() -> None:
        assert heartbeats.stalled() == []
        begun.append(asyncio.get_running_loop().time())
        if len(begun) == times:
            stopping.set()
        await asyncio.sleep(takes)

    runner.run(run_periodically(do, "test", 1.0, stopping, heartbeats, share=share))
    pauses = {round(after - before - takes, 3) for before, after in pairwise(begun)}
    assert pauses == {max(1.0, share * takes)}


@pytest.mark.parametrize(("took", "pause"), [(0.0, 0.0), (0.01, 0.0), (0.04, 0.06), (7.0, 0.1)])
def test_work_gathers_the_longer_the_longer_a_small_batch_took_and_at_most_a_moment(
    runner: asyncio.Runner, took: float, pause: float
) -> None:
    runner.run(gather(took, asyncio.Event()))
    assert round(runner.get_loop().time(), 6) == pause


def test_nothing_gathers_for_whoever_is_told_to_stop(runner: asyncio.Runner) -> None:
    stopping = asyncio.Event()
    stopping.set()
    runner.run(gather(7.0, stopping))
    assert runner.get_loop().time() == 0


def test_an_outage_is_waited_out_and_what_is_periodic_comes_again(runner: asyncio.Runner) -> None:
    stopping, times = asyncio.Event(), 0

    async def do() -> None:
        nonlocal times
        times += 1
        if times == 3:
            stopping.set()
        raise ConnectionResetError

    runner.run(run_periodically(do, "test", 0.001, stopping, Heartbeats()))
    assert times == 3


def pauses(attempt: int) -> list[timedelta]:
    return [backoff(attempt, SETTINGS) for _ in range(300)]


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60), (10_000, 60)])
def test_the_pause_doubles_up_to_its_limit(attempt: int, longest: float) -> None:
    assert max(pauses(attempt)) <= timedelta(seconds=longest)
    assert max(pauses(attempt)) > timedelta(seconds=longest * 0.8)


@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_a_pause_is_never_shorter_than_half_the_first(attempt: int) -> None:
    assert min(pauses(attempt)) >= timedelta(seconds=0.5)


def test_many_tasks_do_not_come_back_at_the_same_moment() -> None:
    assert len(set(pauses(5))) > 250
