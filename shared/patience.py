"""Waiting out a database that is away: what was to be done is done again once it answers, and nothing is given up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import Unavailable
from shared.postgres import AGAIN, AWAY
from shared.telemetry import Pulse

log = logging.getLogger(__name__)

T = TypeVar("T")


async def once_the_database_answers(do: Callable[[], Awaitable[T]], loop: str, pulse: Pulse) -> T:
    """Does it, again and again while the database is away; ``loop``, which is alive meanwhile, is told by name."""
    told = False
    while True:
        pulse.beat(loop)
        try:
            return await do()
        except (*AWAY, Unavailable) as error:
            if not told:
                log.warning("%s waits for the database: %s", loop, type(error).__name__)
            told = True
            await asyncio.sleep(0.5)  # an outage gives no event to await
        except AGAIN:
            log.info("%s met another transaction", loop)
