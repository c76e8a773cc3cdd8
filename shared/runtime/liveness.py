"""Tracks whether the loops of this process run, and until when its consumers have consumed everything."""

import math
import time


class Heartbeats:
    """Keeps when each loop last went round, in monotonic seconds; beyond the limit it has stalled."""

    def __init__(self, limit_seconds: float = 60.0) -> None:
        self._limit = limit_seconds
        self._beats: dict[str, float] = {}
        self._consumed: dict[str, float] = {}

    def beat(self, loop: str, rests: float = 0.0) -> None:
        """Records that the loop went round, and rests for so many seconds."""
        self._beats[loop] = time.monotonic() + rests

    def ended(self, loop: str) -> None:
        """Forgets a loop that ended in order."""
        self._beats.pop(loop, None)

    def stalled(self) -> list[str]:
        """The loops that have not gone round within the limit."""
        return [loop for loop, seconds in self.stalled_seconds().items() if seconds > self._limit]

    async def all_running(self) -> bool:
        """Returns whether no loop has stalled, for the readiness probe."""
        return not self.stalled()

    def stalled_seconds(self) -> dict[str, float]:
        """For how long each loop has not gone round."""
        now = time.monotonic()
        return {loop: max(0.0, now - beat) for loop, beat in self._beats.items()}

    def consumed(self, loop: str, until: float) -> None:
        """A consumer has handled everything that was on the bus at that time."""
        self._consumed[loop] = until

    def behind_seconds(self, loop: str) -> float:
        """For how long something may have been on the bus that this consumer has not handled; infinite if unknown."""
        until = self._consumed.get(loop)
        return math.inf if until is None else time.monotonic() - until
