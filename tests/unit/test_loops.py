"""What is done periodically costs a bounded share of the time and outlives an outage; pauses grow and have a limit."""

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from shared.app.service import Service
from shared.app.supervisor import LoopEnded, supervise, watch
from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName
from shared.messaging.outbox import Relay
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup, backoff, gather, run_periodically
from shared.runtime.settings import WorkSettings
from tests.fixtures.told import comes_to
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


# A process ends with a line that says why: a loop that ends unasked, or a policy that cannot be used.
async def returns() -> None:
    """A loop that simply comes to its end."""


async def is_cancelled_from_within() -> None:
    """A loop through which a library lets the cancellation of a task of its own pass."""
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


async def is_cancelled_as_if_asked() -> None:
    """A loop whose task counts a request to cancel it, as a TaskGroup of Python 3.11 leaves one behind."""
    loop = asyncio.current_task()
    assert loop is not None
    loop.cancel()
    await asyncio.sleep(60)


async def waits(event: asyncio.Event) -> None:
    """A loop that goes on until it is told to stop."""
    await event.wait()


@pytest.mark.parametrize("ends", [returns, is_cancelled_from_within, is_cancelled_as_if_asked])
async def test_a_loop_that_ends_while_nobody_is_stopping_ends_the_others_and_is_named(
    ends: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    never = asyncio.Event()
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(10):
            await supervise({"consume:intake": ends(), "relay": waits(never)}, never, 1)
    assert [type(error) for error in raised.value.exceptions] == [LoopEnded]
    assert [
        record.getMessage().partition(" ")[0] for record in caplog.records if record.levelno == logging.CRITICAL
    ] == ["consume:intake"]


@pytest.mark.parametrize("ends", [returns, is_cancelled_from_within, is_cancelled_as_if_asked])
async def test_a_loop_may_end_once_the_service_is_stopping(
    ends: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    stopping = asyncio.Event()
    stopping.set()
    await supervise({"consume:intake": ends()}, stopping, 10)
    assert caplog.records == []


async def test_for_how_long_a_loop_stands_still_is_told_and_beyond_the_limit_its_process_ends_and_names_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats, stood, never = Heartbeats(), {"consume:intake": 180.0, "relay": 0.0}, asyncio.Event()
    monkeypatch.setattr(heartbeats, "still_seconds", lambda: stood)
    monkeypatch.setattr("shared.app.supervisor._LOOK_EVERY_SECONDS", 0.001)
    watching = asyncio.create_task(watch(ServiceName.INTAKE, heartbeats, 180, never))
    still = partial(comes_to, name="dsr_loop_still_seconds", service="intake")
    assert await still(180, loop="consume:intake")
    assert await still(0, loop="relay")
    assert not watching.done()
    stood["consume:intake"] = 181.0
    with pytest.raises(LoopEnded, match="consume:intake"):
        await watching
    assert "consume:intake has stood still for 181 s" in caplog.text


class HungPool:
    """A pool that has no connection for anybody, ever."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Waits for ever."""
        await asyncio.Event().wait()
        yield


async def test_a_relay_that_hangs_before_it_has_gone_round_once_is_seen() -> None:
    heartbeats = Heartbeats()
    relay = Relay(cast("Any", HungPool()), ServiceName.ERASURE, AsyncMock(), Wakeup())
    hanging = asyncio.create_task(relay.run(asyncio.Event(), heartbeats))
    await asyncio.sleep(0)
    assert heartbeats.still_seconds().keys() == {"relay"}
    hanging.cancel()


@pytest.mark.parametrize(
    ("name", "read"), [("intake", "intake.handlers.Letters"), ("deadline", "deadline.__main__.Deadlines")]
)
def test_a_policy_that_cannot_be_used_ends_the_service_with_one_line(
    name: str, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = importlib.import_module(f"services.{name}.__main__")

    def cannot_be_used(*_: object) -> None:
        raise Misconfigured("the policy cannot be used:\n  days\n    is not a number")

    monkeypatch.setattr(f"services.{read}", cannot_be_used)
    with pytest.raises(SystemExit) as ended:
        main.service.run(main.configure)
    assert ended.value.code == f"dsr-{name} cannot start; the policy cannot be used: days is not a number"


@pytest.mark.parametrize(
    ("name", "variable", "may_hold"),
    [
        ("deadline", "DSR_DEADLINE_DIGEST_HOUR", "a whole number from 0 up to 23"),
        ("intake", "DSR_INTAKE_WAITING", "a whole number from 2000 up to 1000000"),
    ],
)
def test_a_setting_of_a_service_of_its_own_ends_it_with_one_line_too(
    name: str, variable: str, may_hold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = importlib.import_module(f"services.{name}.__main__")
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(SystemExit) as ended:
        main.service.run(main.configure)
    assert str(ended.value.code).startswith(f"dsr-{name} cannot start; {variable} holds '-1': set it to {may_hold} (")


def test_the_old_name_of_a_setting_is_read_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DSR_DEADLINE_POLICY", "time_limits.toml")
    monkeypatch.setattr("shared.app.service.Settings", lambda: SimpleNamespace(telemetry=None))
    monkeypatch.setattr("shared.runtime.telemetry.start_logging", lambda _: None)
    monkeypatch.setattr("uvloop.run", lambda loops: loops.close())
    Service("erasure").run()
    assert "DSR_DEADLINE_POLICY is the old name of DSR_POLICY_TIME_LIMITS" in caplog.text
