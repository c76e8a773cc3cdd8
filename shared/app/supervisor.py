"""Runs the loops of a process side by side until it is told to stop; if one ends before, all end."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping

from shared.domain.errors import DsrError

log = logging.getLogger(__name__)


class LoopEnded(DsrError):
    """A loop came to its end while the service was to go on; the process ends, and whoever runs it starts it anew."""


async def supervise(loops: Mapping[str, Awaitable[None]], stopping: asyncio.Event, seconds: float) -> None:
    """Runs loops by name; once told to stop they have so many seconds, then they are cancelled.

    A loop ends too early however it ends: by returning, by an error, or cancelled by whomever. Whether "somebody asked
    for it" cannot be told from the task: in Python 3.11 a TaskGroup leaves ``Task.cancelling`` above zero for good.

    Raises:
        ExceptionGroup: what a loop raised, or ``LoopEnded`` if one came to its end too early.
    """
    running = {asyncio.ensure_future(loop): name for name, loop in loops.items()}
    told = asyncio.ensure_future(stopping.wait())
    ended: set[asyncio.Future[None]] = set()
    try:
        await asyncio.wait((told, *running), return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            _, late = await asyncio.wait(running, timeout=seconds)
            if late:
                names = sorted(name for loop, name in running.items() if loop in late)
                log.warning("given up after %g s, others will do it: %s", seconds, ", ".join(names))
        else:
            ended = {loop for loop in running if loop.done()}
    finally:
        for task in (told, *running):
            task.cancel()
        await asyncio.wait((told, *running))
    if errors := [error for loop, name in running.items() if (error := _error(loop, name, early=loop in ended))]:
        raise ExceptionGroup("the process ends", errors)


def _error(loop: asyncio.Future[None], name: str, *, early: bool) -> Exception | None:
    """What a loop raised, or that it has ended too early."""
    error = None if loop.cancelled() else loop.exception()
    if early and error is None:
        log.critical("%s has ended though nobody told it to stop: the process ends too", name)
        return LoopEnded(name)
    if error is not None and not isinstance(error, Exception):
        raise error
    return error
