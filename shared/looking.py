"""Looking again and again at what cannot tell by itself, without ever costing more than a twentieth of the time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.postgres import AGAIN, AWAY
from shared.telemetry import Pulse

log = logging.getLogger(__name__)

_SHARE = 20
_BEAT_SECONDS = 0.5


async def keep_looking(
    look: Callable[[], Awaitable[None]], name: str, every_seconds: float, stopping: asyncio.Event, pulse: Pulse
) -> None:
    """Calls ``look`` until told to stop; after a look that took long the pause is twenty times as long."""
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        pulse.beat(name)
        began = loop.time()
        try:
            await look()
        except (*AWAY, *AGAIN) as error:
            log.info("%s waits for the database: %s", name, type(error).__name__)
        await rest(max(every_seconds, _SHARE * (loop.time() - began)), name, stopping, pulse)


async def rest(seconds: float, name: str, stopping: asyncio.Event, pulse: Pulse) -> None:
    """Lets the time pass, unless told to stop; a loop that rests is alive, however long it rests."""
    ends = asyncio.get_running_loop().time() + seconds
    while not stopping.is_set() and (left := ends - asyncio.get_running_loop().time()) > 0:
        pulse.beat(name)
        try:
            async with asyncio.timeout(min(left, _BEAT_SECONDS)):
                await stopping.wait()
        except TimeoutError:
            pass
