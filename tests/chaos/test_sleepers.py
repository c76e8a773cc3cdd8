"""A process that sleeps in the middle of a restriction, and wakes when it was lifted: nothing is restricted again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import pytest

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from tests.fixtures.live import eventually, move
from tests.fixtures.stack import Stack
from tests.fixtures.stores import Subject

pytestmark = pytest.mark.asyncio(loop_scope="package")

_RESTRICTED = "SELECT count(*) FROM times"
_LEDGER = """
CREATE TABLE times (at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO times VALUES (now()); RETURN NULL; END';
CREATE TRIGGER noted AFTER UPDATE ON customer FOR EACH ROW WHEN (new.restricted) EXECUTE FUNCTION note()
"""


@dataclass
class Road:
    """The way to a server on which the first message that begins so stays until it may go on."""

    host: str
    port: int
    begins: bytes
    held: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Listens until the block ends; on which port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection(self.host, self.port)
        ways = [asyncio.create_task(self._pass_on(near, onward)), asyncio.create_task(self._pass_on(far, back))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for writer in (onward, back):
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65_536):
            if self.begins in content and not self.held.is_set():
                self.held.set()
                await self.goes_on.wait()
            writer.write(content)


async def lift(running: Stack, request: str) -> None:
    """Returns when all systems have lifted the restriction."""
    key = await asyncio.to_thread(running.services.key, "privacy")
    async with DsrClient(running.services.url, key) as officer:
        await move(officer, request, "lift")
    lifted = "SELECT count(*) FROM evidence.entry WHERE action = 'restriction.lifted'"
    await eventually(partial(running.pool.fetchval, lifted))


async def test_a_worker_stopped_in_the_middle_of_a_restriction_restricts_nothing_again_after_the_lift(
    running: Stack, people: Iterator[int]
) -> None:
    """For a system without transactions, see `test_withdrawn_midway`."""
    subject, customers = Subject(next(people)), running.stores.dsns["customers"]
    async with connected(customers) as connection:
        await connection.execute(_LEDGER)
    store = urlsplit(customers)
    road = Road(str(store.hostname), store.port or 5432, b"BEGIN")
    heir = running.services.children[ServiceName.AMENDMENT]
    await asyncio.to_thread(heir.stop)
    sleeper, _ = running.services.instance(ServiceName.AMENDMENT, "sleeper")
    async with road.open() as port:
        netloc = f"{store.netloc.rpartition(':')[0]}:{port}"
        sleeper.env = {**sleeper.env, "STORE_CUSTOMERS_DSN": store._replace(netloc=netloc).geturl()}
        await asyncio.to_thread(sleeper.start)
        try:
            request = await running.client.submit(subject.submission("restriction", ground="accuracy_contested"))
            async with asyncio.timeout(60):
                await road.held.wait()
            os.kill(sleeper.pid, signal.SIGSTOP)
            await asyncio.to_thread(heir.start)
            await running.client.follow(request, "closed", within=90)
            await lift(running, request)
            road.goes_on.set()
            os.kill(sleeper.pid, signal.SIGCONT)
        finally:
            await asyncio.to_thread(sleeper.stop)  # in order, so whatever it had in hand is done
        rows = await databases.fetch(customers, _RESTRICTED)
        assert rows[0][0] == 1, "by the heir alone"
        assert await running.stores.count("customers", "restricted") == 0
