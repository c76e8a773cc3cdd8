"""Whether a consumer keeps abreast of the bus: until when everything that was said there has been heard."""

from collections.abc import Mapping

from aiokafka.structs import TopicPartition


class Watermark:
    """Notes where the partitions ended at one look; once those ends are reached, all that was said until then is heard.

    So it knows how far it is also while there is always something new to hear.
    """

    def __init__(self) -> None:
        self._since = 0.0
        self._ends: Mapping[TopicPartition, int] = {}

    def consumed_until(
        self, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int], now: float
    ) -> float | None:
        """Until when all was heard, if later than at the look before; what is before ``positions`` was handled."""
        if ends and all(positions[place] >= end for place, end in ends.items()):
            self._since, self._ends = now, ends
            return now
        if self._ends.keys() != ends.keys():  # what another instance has heard so far is not known here
            self._since, self._ends = now, ends
            return None
        if not ends or any(positions[place] < end for place, end in self._ends.items()):
            return None
        reached, self._since, self._ends = self._since, now, ends
        return reached
