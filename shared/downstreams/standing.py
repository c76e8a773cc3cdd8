"""Which requests of a batch still stand, asked between two steps: one that was withdrawn meanwhile goes no further."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from uuid import UUID

from shared.domain.errors import Withdrawn
from shared.downstreams.contract import Checkpoint

LOOK_SECONDS = 0.5
"""So often the engine is asked while steps are taken, however many they are."""


class Standing:
    """The tasks of one call, worked in steps of which ``at_once`` are taken side by side."""

    def __init__(self, tasks: Iterable[UUID], save_progress: Checkpoint, at_once: int = 1) -> None:
        self._standing = set(tasks)
        self._withdrawn: dict[UUID, Withdrawn] = {}
        self._save_progress = save_progress
        self._gate = asyncio.Semaphore(at_once)
        self._look_at = 0.0

    @asynccontextmanager
    async def step(self, *tasks: UUID) -> AsyncIterator[None]:
        """The time for one step that is taken for these tasks; for none: one that must be taken.

        Raises:
            Withdrawn: none of them stands any more; the step must not be taken.
        """
        async with self._gate:
            if time.monotonic() >= self._look_at:
                await self.withdrawn()
            if tasks and self._standing.isdisjoint(tasks):
                raise Withdrawn("the request was withdrawn before this step")
            yield

    async def withdrawn(self) -> dict[UUID, Withdrawn]:
        """Asks now; the tasks whose requests were withdrawn by now."""
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            await self._save_progress({task: {} for task in self._standing})
        except Withdrawn:
            for task in sorted(self._standing):  # one of them; it does not say which
                await self._ask(task)
        return self._withdrawn

    async def _ask(self, task: UUID) -> None:
        try:
            await self._save_progress({task: {}})
        except Withdrawn as withdrawn:
            self._standing.discard(task)
            self._withdrawn[task] = withdrawn
