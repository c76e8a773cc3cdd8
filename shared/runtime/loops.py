"""Loops: wait for an event or a time, do something again and again, outlive an outage of the database."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

from shared.domain.errors import Unavailable
from shared.runtime.liveness import Heartbeats
from shared.runtime.settings import WorkSettings
from shared.storage.postgres import RETRYABLE, UNAVAILABLE

log = logging.getLogger(__name__)

FIGURES = 20
"""Pause of a loop that only counts, as a multiple of its run: it takes a twentieth of the time."""
_BEAT_SECONDS = 0.5
_LONG_BEAT_SECONDS = 5.0
_GATHER_SECONDS = 0.1
_QUICK_SECONDS = 0.01
"""Seconds of a batch on an idle machine, about."""

T = TypeVar("T")


class Wakeup:
    """Wakes a loop of the same process when there is something to do; polling is only the safety net."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wakes the loop, now or at its next wait."""
        self._event.set()

    async def wait(self, seconds: float, stopping: asyncio.Event | None = None) -> bool:
        """Waits for a wake-up, a stop or so many seconds; returns whether it was woken."""
        woken = await wait(self._event, seconds, stopping)
        self._event.clear()
        return woken


async def wait(event: asyncio.Event, seconds: float, other: asyncio.Event | None = None) -> bool:
    """Waits for the event, or the other, for at most so many seconds; returns whether the first is set.

    Not by ``asyncio.timeout``: that of Python 3.11.2 lets its own cancellation out of a task that counts an older one.
    """
    waiting = {asyncio.create_task(each.wait()) for each in (event, other) if each}
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
    return event.is_set()


async def gather(took: float, stopping: asyncio.Event) -> None:
    """Pauses after a batch that was not full, so that more work gathers: the longer, the busier the machine is.

    Each batch has a fixed cost. On an idle machine a batch is quick and nothing waits. On a busy one, loops would
    otherwise work a few items at a time and keep the others from the processor.
    """
    if took > _QUICK_SECONDS:
        await wait(stopping, min(2 * (took - _QUICK_SECONDS), _GATHER_SECONDS))


async def run_periodically(
    do: Callable[[], Awaitable[None]],
    name: str,
    every_seconds: float,
    stopping: asyncio.Event,
    heartbeats: Heartbeats,
    *,
    share: int = 1,
    wakeup: Wakeup | None = None,
) -> None:
    """Repeats it until ``stopping`` is set, and waits out a database that is away; ``wakeup`` ends a pause.

    After a long run the pause is ``share`` times as long as the run, so that others get their part of the machine.
    A loop that only counts has ``FIGURES``; one that people wait for has 0.
    """
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        heartbeats.beat(name)
        began = loop.time()
        try:
            await do()
        except (*UNAVAILABLE, *RETRYABLE) as error:
            log.info("%s waits for the database: %s", name, type(error).__name__)
        pause = max(every_seconds, share * (loop.time() - began))
        await sleep_until_stopped(pause, name, stopping, heartbeats, wakeup)


async def sleep_until_stopped(
    seconds: float, name: str, stopping: asyncio.Event, heartbeats: Heartbeats, wakeup: Wakeup | None = None
) -> None:
    """Sleeps until the time is over, a stop or a wake-up; the loop ``name`` counts as alive."""
    heartbeats.beat(name, seconds)
    await (wakeup.wait(seconds, stopping) if wakeup else wait(stopping, seconds))
    heartbeats.beat(name)


@asynccontextmanager
async def alive(name: str, heartbeats: Heartbeats) -> AsyncIterator[None]:
    """Keeps a loop alive in the heartbeats during a long call."""

    async def beat() -> None:
        while True:
            heartbeats.beat(name)
            await asyncio.sleep(_LONG_BEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])


async def retry_while_unavailable(do: Callable[[], Awaitable[T]], name: str, heartbeats: Heartbeats) -> T:
    """Repeats it while the database is away; the loop ``name`` counts as alive."""
    warned = False
    while True:
        heartbeats.beat(name)
        try:
            return await do()
        except (*UNAVAILABLE, Unavailable) as error:
            if not warned:
                log.warning("%s waits for the database: %s", name, type(error).__name__)
            warned = True
            await asyncio.sleep(_BEAT_SECONDS)  # an outage gives no event to await
        except RETRYABLE:
            log.info("%s met another transaction", name)


def backoff(attempt: int, settings: WorkSettings) -> timedelta:
    """Exponential backoff with full jitter after the attempt that just failed (first = 1), bounded above and below.

    There is no last attempt: the deadline brings a request that waits too long to an officer.
    Source: "Exponential Backoff And Jitter", M. Brooker, 2015.
    """
    ceiling = min(settings.backoff_max_seconds, settings.backoff_seconds * 2 ** min(attempt - 1, 30))
    return timedelta(seconds=max(settings.backoff_seconds / 2, random.uniform(0, ceiling)))  # noqa: S311  # no secret
