"""Whether the loops of this process still run."""

import math
import time


class Heartbeats:
    """When each loop of the service last went round; a loop that stands still is not alive."""

    def __init__(self, limit_seconds: float = 60.0) -> None:
        self._limit = limit_seconds
        self._beats: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """The loop has just gone round."""
        self._beats[loop] = time.monotonic()

    def heard(self, loop: str, since: float) -> None:
        """A consumer has heard everything that was on the bus at that time of the monotonic clock."""
        self._heard[loop] = since

    def unheard_seconds(self, loop: str) -> float:
        """For how long something may have been on the bus that this consumer has not heard; for ever if never told."""
        since = self._heard.get(loop)
        return math.inf if since is None else time.monotonic() - since

    def ended(self, loop: str) -> None:
        """The loop has come to its end in order, and nobody waits for it to go round again."""
        self._beats.pop(loop, None)

    def still(self) -> list[str]:
        """The loops that have not gone round within the limit."""
        now = time.monotonic()
        return [loop for loop, beat in self._beats.items() if now - beat > self._limit]
