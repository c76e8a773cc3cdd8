"""Copies that are handed over while they are read, so that nobody holds all that a system has of people at once."""

from collections import Counter, defaultdict
from uuid import UUID

import orjson

from shared.domain.operations import TaskOutcome
from shared.systems.contract import Receipt, Record
from shared.systems.protocols import HandOver

HELD = 4 * 2**20
"""Bytes of records, as JSON, that are held before they are handed over."""


class InParts:
    """The copies of one call; ``hand_over``: to whom they go meanwhile, else all of them is kept."""

    def __init__(self, hand_over: HandOver | None) -> None:
        self._hand_over = hand_over
        self._held: defaultdict[UUID, list[Record]] = defaultdict(list)
        self._counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
        self._parts: Counter[UUID] = Counter()
        self._size = 0

    async def add(self, task_id: UUID, record: Record) -> None:
        """Takes a record of whoever that task is about; hands over what is held once that is much."""
        self._held[task_id].append(record)
        self._counts[task_id][record.category] += 1
        if self._hand_over:
            self._size += len(orjson.dumps(record.data))
            if self._size > HELD:
                await self._give(self._hand_over)

    async def _give(self, hand_over: HandOver) -> None:
        for task_id, records in self._held.items():
            await hand_over(task_id, records)
            self._parts[task_id] += 1
        self._held.clear()
        self._size = 0

    def receipt(self, task_id: UUID, written_by_others: int | None, remaining: int = 0) -> Receipt:
        """What was found of one, with what was not handed over yet."""
        return Receipt(
            *(task_id, TaskOutcome.EXPORTED),
            found=self._counts[task_id].total(),
            remaining=remaining,
            by_category=Counter(dict(sorted(self._counts[task_id].items()))),
            records=tuple(self._held[task_id]),
            parts=self._parts[task_id],
            written_by_others=written_by_others,
        )
