"""Shares one transaction among callers: what comes while one is under way waits for the next."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from shared.storage.postgres import RETRYABLE, UNAVAILABLE

T = TypeVar("T")
R = TypeVar("R")

_LARGEST = 1_000
"""Rows of one transaction: more would hold the evidence's head for longer than they save."""


class GroupCommit(Generic[T, R]):
    """Writes items in groups, each group in one transaction.

    ``write`` returns one answer for each item. ``size`` counts the rows of an item.
    ``key``: two items with the same key never share a transaction.
    If a group cannot be written, each of its items is written on its own.
    A cancelled caller costs no other: an item that is under way is written, and one that waits is dropped.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        size: Callable[[T], int],
        key: Callable[[T], Hashable] = lambda _: None,
    ) -> None:
        self._write, self._size, self._key = write, size, key
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def commit(self, item: T) -> R:
        """Returns the answer for the item once it is committed; raises why it was not."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while group := self._next_group():
            await self._settle(group)

    def _next_group(self) -> list[tuple[T, asyncio.Future[R]]]:
        """Takes what the next transaction writes, in the order in which it came."""
        now: list[tuple[T, asyncio.Future[R]]] = []
        later: list[tuple[T, asyncio.Future[R]]] = []
        keys: set[Hashable] = set()
        size = 0
        for item, answer in self._waiting:
            if answer.done():
                continue
            key, rows = self._key(item), self._size(item)
            if key in keys or (now and size + rows > _LARGEST):
                later.append((item, answer))
            else:
                now.append((item, answer))
                size += rows
            if key is not None:
                keys.add(key)
        self._waiting = later
        return now

    async def _settle(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._write([item for item, _ in group])
        except Exception as error:  # noqa: BLE001  # each caller decides whether it tries again
            if len(group) > 1 and not isinstance(error, (*UNAVAILABLE, *RETRYABLE)):
                for each in group:
                    await self._settle([each])
                return
            answers = [error] * len(group)
        for (_, waits), answer in zip(group, answers, strict=True):
            if waits.done():
                continue
            if isinstance(answer, Exception):
                waits.set_exception(answer)
            else:
                waits.set_result(answer)
