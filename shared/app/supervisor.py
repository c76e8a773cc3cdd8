"""Runs the loops of a process until a stop; if one ends early or stalls, all end."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping

from shared.domain.errors import DsrError, Misconfigured
from shared.domain.topics import ServiceName
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import wait
from shared.runtime.metrics import LOOP_STALLED

log = logging.getLogger(__name__)


class LoopEnded(DsrError):
    """A loop ended early or stalled; the process ends, to be restarted."""


_LOOK_EVERY_SECONDS = 2.0


async def watch(service: ServiceName, heartbeats: Heartbeats, limit_seconds: float, stopping: asyncio.Event) -> None:
    """Shows for how long each loop has not gone round.

    Raises:
        LoopEnded: one has not for longer than the limit.
    """
    while not await wait(stopping, _LOOK_EVERY_SECONDS):
        LOOP_STALLED.clear()  # a loop that ended in order is no longer shown
        for loop, seconds in heartbeats.stalled_seconds().items():
            LOOP_STALLED.labels(service, loop).set(seconds)
            if seconds > limit_seconds:
                log.critical("%s has stood still for %.0f s: the process ends", loop, seconds)
                raise LoopEnded(loop)


async def supervise(loops: Mapping[str, Awaitable[None]], stopping: asyncio.Event, seconds: float) -> None:
    """Runs loops by name; after a stop they have so many seconds, then they are cancelled.

    A loop that returns, raises or is cancelled before a stop has ended too early.
    ``Task.cancelling`` cannot tell a wanted cancellation: in Python 3.11 a TaskGroup leaves it above zero.

    Raises:
        ExceptionGroup: what a loop raised, or ``LoopEnded`` if one came to its end too early.
    """
    running = {asyncio.ensure_future(loop): name for name, loop in loops.items()}
    stop = asyncio.ensure_future(stopping.wait())
    ended: set[asyncio.Future[None]] = set()
    try:
        await asyncio.wait((stop, *running), return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            _, late = await asyncio.wait(running, timeout=seconds)
            if late:
                names = sorted(name for loop, name in running.items() if loop in late)
                log.warning("given up after %g s, others will do it: %s", seconds, ", ".join(names))
        else:
            ended = {loop for loop in running if loop.done()}
    finally:
        for task in (stop, *running):
            task.cancel()
        await asyncio.wait((stop, *running))
    if errors := [error for loop, name in running.items() if (error := _error(loop, name, early=loop in ended))]:
        raise ExceptionGroup("the process ends", errors)


def _error(loop: asyncio.Future[None], name: str, *, early: bool) -> Exception | None:
    """Returns what a loop raised, or that it ended too early."""
    error = None if loop.cancelled() else loop.exception()
    if early and error is None:
        log.critical("%s has ended before a stop: the process ends too", name)
        return LoopEnded(name)
    if error is not None and not isinstance(error, Exception):
        raise error
    return error


def misconfigured(error: BaseException) -> Misconfigured | None:
    """Returns the error of configuration among those of several loops."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Misconfigured) else None
