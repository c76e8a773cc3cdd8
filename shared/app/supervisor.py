"""Runs the loops of a process side by side until it is told to stop; if one ends before, all end."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping

from shared.domain.errors import DsrError
from shared.runtime.loops import cancelled_from_within

log = logging.getLogger(__name__)


class LoopEnded(DsrError):
    """A loop came to its end while the service was to go on; the process ends, and whoever runs it starts it anew."""


async def supervise(loops: Mapping[str, Awaitable[None]], stopping: asyncio.Event, seconds: float) -> None:
    """Runs loops by name; once told to stop they have so many seconds, then they are cancelled.

    Raises:
        ExceptionGroup: what a loop raised, or ``LoopEnded`` if one came to its end too early.
    """
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_to_the_end(name, each, stopping), name=name) for name, each in loops.items()]
        await stopping.wait()
        _, late = await asyncio.wait(running, timeout=seconds)
        if late:
            names = sorted({task.get_name() for task in late})
            log.warning("given up after %g s, others will do it: %s", seconds, ", ".join(names))
        for task in late:
            task.cancel()


async def _to_the_end(name: str, loop: Awaitable[None], stopping: asyncio.Event) -> None:
    """Runs a loop; one that returns, or that a library cancels, has ended too early unless it was told to stop."""
    try:
        await loop
    except asyncio.CancelledError:
        if not cancelled_from_within():
            raise
    if not stopping.is_set():
        log.critical("%s has ended though nobody told it to stop: the process ends too", name)
        raise LoopEnded(name)
