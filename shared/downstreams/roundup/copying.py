"""Which of the records that are read is shown to the subject of which task."""

from collections import defaultdict
from collections.abc import Mapping
from uuid import UUID

from shared.downstreams.contract import Receipt
from shared.downstreams.in_parts import InParts
from shared.downstreams.protocols import HandOver
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.export import Holdings


class Copies:
    """What is ``shown`` of the tracker, by task; handed over while it is read, where somebody takes it."""

    def __init__(self, shown: Mapping[UUID, Records], hand_over: HandOver | None) -> None:
        self._whose: defaultdict[tuple[str, str], list[UUID]] = defaultdict(list)
        for task_id, records in shown.items():
            for classname, ids in records.items():
                for one in ids:
                    self._whose[classname, one].append(task_id)
        self._copies = InParts(hand_over)

    async def take(self, portion: Holdings) -> None:
        """Takes what was read; what two people share is both's."""
        for key, record in portion.items():
            for task_id in self._whose[key]:
                await self._copies.add(task_id, record)

    def receipt(self, task_id: UUID, left_out: Records) -> Receipt:
        """What was found of one, with what was not handed over yet; ``left_out``: what others wrote beside it."""
        return self._copies.receipt(task_id, counted(left_out))


def counted(records: Records) -> int | None:
    """How many these are, if there are any."""
    return sum(map(len, records.values())) or None
