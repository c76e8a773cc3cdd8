"""A new version takes over from the old one under load: nothing is lost, nothing is doubled, everybody is answered."""

import asyncio
import itertools
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from deploy.local import postgres_databases as databases
from deploy.local.process import Child
from shared.domain.topics import ServiceName
from tests.fixtures.live import eventually
from tests.fixtures.outage import gained
from tests.fixtures.stack import Stack, once_each
from tests.fixtures.stores import Subject

CLIENTS = 2
AT_LEAST = 4
"""Requests that are closed by both versions side by side before the first of the old ones has to go."""
RIGHTS = ("erasure", "erasure", "access", "objection")
TIMEOUT_SECONDS = 90

EXPAND = """
SELECT format('ALTER TABLE %I.%I ADD COLUMN of_the_next_version text NOT NULL DEFAULT ''''', schemaname, tablename)
FROM pg_tables WHERE schemaname = ANY($1) ORDER BY 1
"""
"""The worst that a new version's migration does to the old one: a further column in every table."""
pytestmark = pytest.mark.asyncio(loop_scope="package")


@dataclass
class Door:
    """A load balancer before all instances of intake: sends to those that report ready.

    A refused connection is tried at the next instance. A connection that breaks later is an unanswered request.
    """

    headers: dict[str, str]
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    turn: "itertools.count[int]" = field(default_factory=itertools.count)

    def let_in(self, url: str) -> httpx.AsyncClient:
        """Adds an instance."""
        limits = httpx.Limits(keepalive_expiry=TIMEOUT_SECONDS)
        self.clients[url] = httpx.AsyncClient(
            base_url=url, headers=self.headers, timeout=TIMEOUT_SECONDS, limits=limits
        )
        return self.clients[url]

    async def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        """The answer of one instance or another."""
        while True:
            instances = list(self.clients.values())
            chosen = instances[next(self.turn) % len(instances)]
            try:
                answer = await chosen.request(method, path, **more)  # type: ignore[arg-type]
            except httpx.ConnectError:
                continue
            except httpx.TransportError as error:
                self.broken.append(f"{method}: {error!r}")
                continue
            self.answers[answer.status_code] += 1
            return answer

    async def forget_when_leaving(self, url: str) -> None:
        """Asks for readiness until the answer is no; who asked there meanwhile gets their answer."""
        leaving = self.clients[url]
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as probe:

            async def leaves() -> bool:
                return not (await probe.get("/readyz")).is_success

            await eventually(leaves, TIMEOUT_SECONDS)
        del self.clients[url]
        self.retired.append(leaving)

    retired: list[httpx.AsyncClient] = field(default_factory=list)


@dataclass
class Crowd:
    """People who submit, follow their request until it is closed, and return as another person."""

    door: Door
    numbers: Iterator[int]
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    closed: Counter[str] = field(default_factory=Counter)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def come_and_go(self) -> None:
        """One after the other, until it is enough."""
        while not self.enough.is_set():
            number = next(self.numbers)
            right = RIGHTS[number % len(RIGHTS)]
            scope = {"scope": "direct_marketing"} if right == "objection" else {}
            submission = Subject(number).submission(right, **scope)
            key = {"Idempotency-Key": secrets.token_hex(8)}
            accepted = await self.door.ask("POST", "/v1/requests", json=submission, headers=key)
            request_id = accepted.raise_for_status().json()["request_id"]
            view = await eventually(partial(self._closed_view, request_id), TIMEOUT_SECONDS)
            assert view["outcome"] == "fulfilled"
            async with self.more:
                self.closed[right] += 1
                self.more.notify_all()

    async def _closed_view(self, request_id: str) -> dict[str, Any] | None:
        view: dict[str, Any] = (await self.door.ask("GET", f"/v1/requests/{request_id}")).json()
        return view if view["state"] == "closed" else None

    async def have_closed(self, count: int) -> None:
        """Returns when so many more are closed."""
        wanted = self.closed.total() + count
        async with self.more, asyncio.timeout(TIMEOUT_SECONDS):
            await self.more.wait_for(lambda: self.closed.total() >= wanted)


@asynccontextmanager
async def crowd(door: Door, numbers: Iterator[int]) -> AsyncIterator[Crowd]:
    """People at the door, until the block ends and the last of them is answered."""
    people = Crowd(door, numbers)
    async with asyncio.TaskGroup() as group:  # noqa: TID251  # the test ends with it
        for _ in range(CLIENTS):
            group.create_task(people.come_and_go())
        yield people
        people.enough.set()


async def expand(dsn: str) -> None:
    """Migrates the database for the new version, one table at a time, while the old one is at work."""
    for (statement,) in await databases.fetch(dsn, EXPAND, [*ServiceName, "vault", "evidence"]):
        await databases.fetch(dsn, statement)


async def roll(running: Stack, door: Door, people: Crowd, new: Sequence[tuple[ServiceName, Child, str]]) -> list[int]:
    """Takes the old instances away one by one, each while there is work; the status with which each ended."""
    ends = []
    for name, _, _ in new:
        old = running.services.children[name]
        await people.have_closed(3)
        await asyncio.to_thread(old.signal, signal.SIGTERM)
        if name is ServiceName.INTAKE:
            await door.forget_when_leaving(running.services.url)
        status = await asyncio.to_thread(old.wait, TIMEOUT_SECONDS)
        ends.append(-1 if status is None else status)
    return ends


async def test_a_roll_of_all_five_under_load_loses_nothing_doubles_nothing_and_answers_everybody(
    running: Stack, people: Iterator[int]
) -> None:
    before = await running.effects()
    door = Door({"Authorization": running.client.headers["Authorization"]})
    door.let_in(running.services.url)
    new = [(name, *running.services.instance(name, "next")) for name in ServiceName]
    try:
        async with crowd(door, people) as callers:
            await callers.have_closed(AT_LEAST)
            await expand(running.dsn)
            for _, child, _ in new:
                await asyncio.to_thread(child.spawn)
            for _, child, _ in new:
                await asyncio.to_thread(child.wait_ready)
            door.let_in(next(url for name, _, url in new if name is ServiceName.INTAKE))
            await callers.have_closed(AT_LEAST)
            ends = await roll(running, door, callers, new)
            await callers.have_closed(AT_LEAST)
    finally:
        for _, child, _ in new:
            await asyncio.to_thread(child.stop)
        for client in [*door.clients.values(), *door.retired]:
            await client.aclose()

    total, erased = callers.closed.total(), callers.closed["erasure"]
    assert ends == [0] * len(ServiceName)
    assert door.broken == []
    assert set(door.answers) == {200, 201}
    assert gained(before, await running.effects()) == once_each(total, erased)
    assert await running.broken_chains() == []
