"""Looking again and again at what cannot tell by itself, without ever costing more than a twentieth of the time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from shared.postgres import AGAIN, AWAY
from shared.telemetry import Pulse

log = logging.getLogger(__name__)

_SHARE = 20


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
        pause = max(every_seconds, _SHARE * (loop.time() - began))
        while pause > 0 and not stopping.is_set():
            pulse.beat(name)
            part = min(pause, every_seconds)
            pause -= part
            try:
                async with asyncio.timeout(part):
                    await stopping.wait()
            except TimeoutError:
                pass
