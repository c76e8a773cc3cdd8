"""Waiting out a database that is away: what was to be done is done again once it answers, and nothing is given up."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.domain.errors import Unavailable
from shared.runtime.liveness import Heartbeats
from shared.storage.postgres import AGAIN, AWAY

log = logging.getLogger(__name__)

T = TypeVar("T")


async def retry_while_unavailable(do: Callable[[], Awaitable[T]], loop: str, heartbeats: Heartbeats) -> T:
    """Does it, again and again while the database is away; ``loop``, which is alive meanwhile, is told by name."""
    told = False
    while True:
        heartbeats.beat(loop)
        try:
            return await do()
        except (*AWAY, Unavailable) as error:
            if not told:
                log.warning("%s waits for the database: %s", loop, type(error).__name__)
            told = True
            await asyncio.sleep(0.5)  # an outage gives no event to await
        except AGAIN:
            log.info("%s met another transaction", loop)
