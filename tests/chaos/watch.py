"""Looks five times a second at how far everybody is, past all proxies: from that follows when who was at work again."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg

from shared.domain.topics import ServiceName
from tests.chaos import ledger
from tests.chaos.arena import Arena
from tests.chaos.crowd import Crowd

_EVERY_SECONDS = 0.2
_ANSWER_SECONDS = 1.0
_STORES = "ledger"
_CLOSED = "SELECT request_id::text, outcome, closed_at FROM intake.request WHERE closed_at > $1"
_WAITING = "SELECT request_id::text FROM intake.request WHERE state = 'awaiting_decision' AND tenant IS NOT NULL"
_LATE = timedelta(seconds=30)
"""Longest delay between a noted closure and its observation."""
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


@dataclass(frozen=True)
class Look:
    """An observation."""

    at: float
    closed: int
    work: Mapping[str, int]
    """Entries on record, by service and for all stores together."""


@dataclass
class Watch:
    """The observations so far.

    Informs the crowd of restrictions in force, of copies that are ready, and of requests that wait for a person.
    """

    arena: Arena
    crowd: Crowd
    looks: list[Look] = field(default_factory=list)
    closed: dict[str, str] = field(default_factory=dict)
    """The outcome of each request that is closed."""
    _until: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """When the last was closed that is known."""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def keep_looking(self) -> None:
        """Observes for ever; waits for an unavailable database."""
        while True:
            try:
                async with AsyncExitStack() as stack:
                    ours = await self._connect(stack, self.arena.dsn)
                    theirs = {name: await self._connect(stack, dsn) for name, dsn in self.arena.stores.dsns.items()}
                    while True:
                        await self._look(ours, theirs)
                        await asyncio.sleep(_EVERY_SECONDS)  # a table signals nothing
            except AWAY:
                await asyncio.sleep(_EVERY_SECONDS)  # nor does a database that is back

    async def _connect(self, stack: AsyncExitStack, dsn: str) -> asyncpg.Connection:
        connection = await asyncpg.connect(dsn, timeout=_ANSWER_SECONDS, command_timeout=_ANSWER_SECONDS)
        stack.callback(connection.terminate)
        return connection

    async def _look(self, ours: asyncpg.Connection, theirs: Mapping[str, asyncpg.Connection]) -> None:
        new = await ours.fetch(_CLOSED, self._until - _LATE)  # what is known is not read again: it is much in the end
        self._until = max([self._until, *(row["closed_at"] for row in new)])
        work = dict(map(tuple, await ours.fetch("SELECT chain, seq FROM evidence.head")))
        work[_STORES] = await ledger.length(theirs)
        self.closed |= {row["request_id"]: row["outcome"] for row in new}
        for request_id in self.crowd.to_be_lifted & self.closed.keys():
            self.crowd.lift(request_id)
        self.crowd.to_be_entered -= self.closed.keys()
        waiting = await ours.fetch(_WAITING) if self.crowd.to_be_entered else ()
        for request_id in self.crowd.to_be_entered & {row["request_id"] for row in waiting}:
            self.crowd.enter(request_id)
        for request_id in self.crowd.to_be_fetched & self.closed.keys():
            self.crowd.fetch(request_id)
        async with self._more:
            self.looks.append(Look(time.monotonic(), len(self.closed), work))
            self._more.notify_all()

    async def until(self, seen: Callable[[Look], bool], within: float) -> bool:
        """Whether that is so at one look or another from now on, in that time."""
        ends = time.monotonic() + within
        known = len(self.looks)
        async with self._more:
            while (left := ends - time.monotonic()) > 0:
                try:
                    await asyncio.wait_for(self._more.wait(), left)
                except TimeoutError:
                    break
                if any(seen(look) for look in self.looks[known:]):
                    return True
                known = len(self.looks)
        return False

    async def at_work(self, part: str, since: float, within: float) -> float:
        """Seconds from then until the first work of a service, or of everybody where a server was away; or infinite."""
        base = next((look for look in reversed(self.looks) if look.at <= since), self.looks[0])
        missing = {part} if part in list(ServiceName) else {*ServiceName, _STORES}
        last = math.inf

        def seen(look: Look) -> bool:
            nonlocal last
            if look.at >= since and missing:
                last = look.at
                missing.difference_update([who for who in missing if look.work.get(who, 0) > base.work.get(who, 0)])
            return not missing

        if any(seen(look) for look in self.looks if look.at >= since) or await self.until(seen, within):
            return last - since
        return math.inf

    def closures(self, since: float, until: float) -> int:
        """Counts the requests closed in that time."""
        looks = [look for look in self.looks if since <= look.at <= until]
        return looks[-1].closed - looks[0].closed if looks else 0
