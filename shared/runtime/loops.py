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
from shared.storage.postgres import AGAIN, AWAY

log = logging.getLogger(__name__)

FIGURES = 20
"""What is counted for figures alone pauses for so many times as long as it took: it costs a twentieth of the time."""
_BEAT_SECONDS = 0.5
_LONG_BEAT_SECONDS = 5.0
_GATHER_SECONDS = 0.1
_QUICK_SECONDS = 0.01
"""A batch takes about as long where nobody else is at work."""

T = TypeVar("T")


class Wakeup:
    """Wakes a loop of the same process when there is something to do; polling is only the safety net."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Wakes whoever waits, now or next; twice before anybody has waited is the same as once."""
        self._event.set()

    async def wait(self, seconds: float, stopping: asyncio.Event | None = None) -> bool:
        """Returns when woken or told to stop, or after so many seconds; whether it was woken."""
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
    """Lets work gather after a batch that was not full and took so many seconds: the longer, the busier the machine is.

    Every batch has a price of its own, which its work shares. On a machine at rest a batch is soon done, and nothing
    waits; on a busy one each loop would otherwise go round for a few at a time, and keep the others from the processor.
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
    """Does it until told to stop, and waits out a database that is away; ``wakeup`` ends a pause.

    After a long run the pause is ``share`` times as long as the run, so that others get their part of the machine. What
    only counts has ``FIGURES``; what people wait for, and works through all there is, has none (0).
    """
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        heartbeats.beat(name)
        began = loop.time()
        try:
            await do()
        except (*AWAY, *AGAIN) as error:
            log.info("%s waits for the database: %s", name, type(error).__name__)
        pause = max(every_seconds, share * (loop.time() - began))
        await sleep_until_stopped(pause, name, stopping, heartbeats, wakeup)


async def sleep_until_stopped(
    seconds: float, name: str, stopping: asyncio.Event, heartbeats: Heartbeats, wakeup: Wakeup | None = None
) -> None:
    """Lets the time pass, unless told to stop or woken; the loop ``name`` counts as alive meanwhile."""
    heartbeats.beat(name, seconds)
    await (wakeup.wait(seconds, stopping) if wakeup else wait(stopping, seconds))
    heartbeats.beat(name)


@asynccontextmanager
async def alive(name: str, heartbeats: Heartbeats) -> AsyncIterator[None]:
    """While something long is done the loop does not go round, and is alive all the same."""

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
    """Does it again and again while the database is away; the loop ``name`` counts as alive meanwhile."""
    warned = False
    while True:
        heartbeats.beat(name)
        try:
            return await do()
        except (*AWAY, Unavailable) as error:
            if not warned:
                log.warning("%s waits for the database: %s", name, type(error).__name__)
            warned = True
            await asyncio.sleep(_BEAT_SECONDS)  # an outage gives no event to await
        except AGAIN:
            log.info("%s met another transaction", name)


def backoff(attempt: int, settings: WorkSettings) -> timedelta:
    """Exponential backoff with full jitter after the attempt that just failed (first = 1), bounded above and below.

    There is no last attempt: a request that waits too long is brought before a person by its deadline.
    Source: "Exponential Backoff And Jitter", M. Brooker, 2015.
    """
    ceiling = min(settings.backoff_max_seconds, settings.backoff_seconds * 2 ** min(attempt - 1, 30))
    return timedelta(seconds=max(settings.backoff_seconds / 2, random.uniform(0, ceiling)))  # noqa: S311  # no secret
