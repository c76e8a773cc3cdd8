"""Nights that pass while everything is struck: some data of people who never ask are past their period by each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from deploy.local import postgres_databases as databases
from shared.storage.postgres import UNAVAILABLE
from tests.chaos import resolved
from tests.chaos.arena import Arena
from tests.chaos.crowd import BYSTANDER_EVERY, Crowd, Wish
from tests.fixtures.stores import Subject

PEOPLE_A_NIGHT = 3
"""People per night who never ask, the first of them with held data; and people whose restriction the sweep has read."""
_ANSWER_SECONDS = 5.0
_AGAIN_SECONDS = 0.2
_LAST = 2
"""Nights in which nothing more comes: the first of them may have counted before the last row came."""
_STATE = "SELECT state, sweep_id FROM downstreams.sweep WHERE system = $1"
_SPARED = "SELECT request_id::text FROM erasure.spared"
_NEXT = "UPDATE downstreams.sweep SET night = '2000-01-01' WHERE system = $1 AND state <> 'sweeping'"

T = TypeVar("T")


@dataclass
class Nights:
    """Lets rows come, then the night that finds them, again and again."""

    arena: Arena
    crowd: Crowd
    _restricted: set[int] = field(default_factory=set)
    """People whose rows were added."""

    async def pass_by(self, enough: asyncio.Event) -> None:
        """Until it is enough, and nothing is left to do."""
        step = BYSTANDER_EVERY * PEOPLE_A_NIGHT
        for first in range(0, self.crowd.people, step):
            if enough.is_set():
                break
            await self._let_come(range(first, first + step, BYSTANDER_EVERY))
            await self._pass()
        for _ in range(_LAST):
            await self._pass()

    async def _let_come(self, people: Sequence[int]) -> None:
        await self.crowd.hold(Subject(people[0]))
        spared = {row[0] for row in await _insist(partial(databases.fetch, self.arena.dsn, _SPARED))}
        asked = self.crowd.asked.values()
        restricted = {each.number for each in asked if each.wish is Wish.UNLIFTED and each.request_id in spared}
        stays = {number: number == people[0] for number in people}
        stays |= dict.fromkeys(restricted - self._restricted, True)
        await _insist(partial(resolved.come, self.arena.stores, stays))
        self._restricted = restricted

    async def _pass(self) -> None:
        """The last night was long ago, as often as it takes: the first one only counts, and one may fail."""
        state, next_one = (partial(databases.fetch, self.arena.dsn, each, resolved.STORE) for each in (_STATE, _NEXT))
        before = await _insist(state)
        while not ((now := await _insist(state)) and now[0]["state"] == "swept" and now != before):
            await _insist(next_one)
            await asyncio.sleep(_AGAIN_SECONDS)  # a table signals nothing


async def _insist(do: Callable[[], Awaitable[T]]) -> T:
    """Does it once the database is there."""
    while True:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await do()
        except UNAVAILABLE:
            await asyncio.sleep(_AGAIN_SECONDS)  # a return is not signalled
