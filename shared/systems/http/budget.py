"""How many calls may be made by now: each limit of a system is a window that lets so many through, and then waits."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.domain.clock import Clock
from shared.systems.engine.stepwise import Later
from shared.systems.http.requests import Rate

PATIENCE = timedelta(seconds=5)
"""A wait that is longer is not slept through: the task is given back with the time."""


class Budget:
    """The limits that a declaration names, and what the system itself has said of a pause; for one process."""

    def __init__(self, system: str, rates: Sequence[Rate], clock: Clock) -> None:
        self._system = system
        self._clock = clock
        self._windows = [(rate, deque[datetime](maxlen=rate.calls)) for rate in rates]
        self._paused_until = clock.now()

    def pause(self, after: timedelta) -> None:
        """Nothing is asked for so long: the system has said so."""
        self._paused_until = max(self._paused_until, self._clock.now() + after)

    async def take(self, method: str, path: str) -> None:
        """Waits until one more call may be made.

        Raises:
            Later: that would be too long.
        """
        now = self._clock.now()
        matching = [(rate, calls) for rate, calls in self._windows if _matches(rate, method, path)]
        turns = (calls[0] + rate.per for rate, calls in matching if len(calls) == rate.calls)
        turn = max(now, self._paused_until, *turns)
        if turn - now > PATIENCE:
            wait = turn - now
            said = self._paused_until - now > PATIENCE
            raise Later(f"{self._system} may be asked again in {wait.total_seconds():.0f} s", wait, busy=said)
        for _, calls in matching:
            calls.append(turn)
        if turn > now:
            await asyncio.sleep((turn - now).total_seconds())  # the rate is the system's


def _matches(rate: Rate, method: str, path: str) -> bool:
    return f"{method} {path}".startswith(rate.match) or path.startswith(rate.match)
