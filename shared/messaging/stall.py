"""Notices a consumer that stands still though there are records for it: aiokafka can stall without an error."""

from collections.abc import Mapping

from aiokafka.structs import TopicPartition


class StallWatch:
    """Remembers since when each partition is behind at the same place."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._behind: dict[TopicPartition, tuple[int, float]] = {}

    def stalled(self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], now: float) -> bool:
        """Whether a partition has stood at one place for too long while its end (the next record's offset) is ahead.

        ``now``: seconds of a monotonic clock.
        """
        before, self._behind = self._behind, {}
        for place, position in positions.items():
            if position < ends.get(place, 0):
                known = before.get(place)
                self._behind[place] = known if known and known[0] == position else (position, now)
        return any(now - since >= self._seconds for _, since in self._behind.values())
