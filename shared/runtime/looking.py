"""Looking again and again at what cannot tell by itself, without ever costing more than a twentieth of the time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.runtime.liveness import Heartbeats
from shared.storage.postgres import AGAIN, AWAY

log = logging.getLogger(__name__)

_SHARE = 20
_BEAT_SECONDS = 0.5


async def run_periodically(
    look: Callable[[], Awaitable[None]],
    name: str,
    every_seconds: float,
    stopping: asyncio.Event,
    heartbeats: Heartbeats,
) -> None:
    """Calls ``look`` until told to stop; after a look that took long the pause is twenty times as long."""
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        heartbeats.beat(name)
        began = loop.time()
        try:
            await look()
        except (*AWAY, *AGAIN) as error:
            log.info("%s waits for the database: %s", name, type(error).__name__)
        await sleep_until_stopped(max(every_seconds, _SHARE * (loop.time() - began)), name, stopping, heartbeats)


def cancelled_from_within() -> bool:
    """Whether a ``CancelledError`` at hand is a library's own: nobody has asked this task to end."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


async def sleep_until_stopped(seconds: float, name: str, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
    """Lets the time pass, unless told to stop; a loop that rests is alive, however long it rests."""
    ends = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set() and (left := ends - asyncio.get_running_loop().time()) > 0:
        heartbeats.beat(name)
        try:
            async with asyncio.timeout(min(left, _BEAT_SECONDS)):
                await stopping.wait()
        except TimeoutError:
            pass
