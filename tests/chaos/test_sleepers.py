"""A process that sleeps in the middle of a restriction, and wakes when it was lifted: nothing is restricted again."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from tests.fixtures import stores
from tests.fixtures.live import eventually, move
from tests.fixtures.roundup import PASSWORD_ENV, Ticketing
from tests.fixtures.stack import Stack, stack
from tests.fixtures.stores import Subject

_RESTRICTED = "SELECT count(*) FROM times"
_LEDGER = """
CREATE TABLE times (at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO times VALUES (now()); RETURN NULL; END';
CREATE TRIGGER noted AFTER UPDATE ON customer FOR EACH ROW WHEN (new.restricted) EXECUTE FUNCTION note()
"""
TICKETING = """
[ticketing]
adapter = "roundup"
needs = ["email"]
url = "{url}"
password_env = "{env}"
"""


@dataclass
class Road:
    """The way to a server on which the first message that begins so stays, once it is whole, until it may go on."""

    host: str
    port: int
    begins: bytes
    ends: bytes = b""
    own_port: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    """What came back on the held connection afterwards."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[tuple[Self, int]]:
        """Listens until the block ends; on which port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.own_port = server.sockets[0].getsockname()[1]
        async with server:
            yield self, self.own_port

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, onward = await asyncio.open_connection(self.host, self.port)
        mine = asyncio.Event()
        ways = [asyncio.create_task(self._there(near, onward, mine)), asyncio.create_task(self._back(far, back, mine))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for writer in (onward, back):
            writer.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mine: asyncio.Event) -> None:
        while content := await reader.read(65_536):
            if self.begins in content and not self.held.is_set():
                if self.ends not in content:  # who sleeps before it has sent a body leaves the server waiting for it
                    content += await reader.readuntil(self.ends)
                self.held.set()
                mine.set()
                await self.goes_on.wait()
            # A tracker asks whether it was meant: every name of this way is one of its own.
            writer.write(content.replace(b":%d" % self.own_port, b":%d" % self.port))

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mine: asyncio.Event) -> None:
        while content := await reader.read(65_536):
            if mine.is_set():
                self.answers.put_nowait(content)
            writer.write(content)


async def lift(running: Stack, request: str) -> None:
    """Returns when all systems have lifted the restriction."""
    key = await asyncio.to_thread(running.services.key, "privacy")
    async with DsrClient(running.services.url, key) as officer:
        await move(officer, request, "lift")
    lifted = "SELECT count(*) FROM evidence.entry WHERE action = 'restriction.lifted'"
    await eventually(partial(running.pool.fetchval, lifted))


async def test_a_worker_stopped_in_the_middle_of_a_restriction_restricts_nothing_again_after_the_lift(
    platform: Platform, ticketing: Ticketing, run_folder: Path
) -> None:
    folder, subject, roundup = run_folder / "sleepers", Subject(0), ticketing.roundup
    seeded = await stores.seed(platform, f"sleep_{secrets.token_hex(4)}", 1, folder / "stores")
    user = ticketing.person("Subject 0", subject.email)
    async with connected(seeded.dsns["customers"]) as connection:
        await connection.execute(_LEDGER)
    store, tracker = urlsplit(seeded.dsns["customers"]), httpx.URL(roundup.url)
    to_store = Road(str(store.hostname), store.port or 5432, b"BEGIN")
    to_tracker = Road(tracker.host, tracker.port or 80, b"PATCH /rest/data/user/", b"}")
    async with to_store.open() as (_, store_port), to_tracker.open() as (_, tracker_port):
        with seeded.downstreams.open("a") as file:
            url = str(tracker.copy_with(port=tracker_port))
            file.write(TICKETING.format(url=url, env=PASSWORD_ENV))
        user_part = f"{store.netloc.rpartition('@')[0]}@" if "@" in store.netloc else ""
        env = {
            PASSWORD_ENV: roundup.password,
            "STORE_CUSTOMERS_DSN": store._replace(netloc=f"{user_part}127.0.0.1:{store_port}").geturl(),
        }
        async with stack(platform, seeded, folder, env) as running:
            sleeper = running.services.children[ServiceName.AMENDMENT]
            request = await running.client.submit(subject.submission("restriction", ground="accuracy_contested"))
            async with asyncio.timeout(60):
                await to_store.held.wait()
                await to_tracker.held.wait()
            os.kill(sleeper.pid, signal.SIGSTOP)
            heir, _ = running.services.instance(ServiceName.AMENDMENT, "heir")
            await asyncio.to_thread(heir.start)
            try:
                await running.client.follow(request, "closed", within=90)
                assert ticketing.get("user", user)["restricted"]
                await lift(running, request)
                to_tracker.goes_on.set()
                to_store.goes_on.set()
                async with asyncio.timeout(30):
                    late = await to_tracker.answers.get()
                assert late.startswith(b"HTTP/1.1 412"), "too late, by its version"
                os.kill(sleeper.pid, signal.SIGCONT)
                await asyncio.to_thread(sleeper.stop)  # in order, so whatever it had in hand is done
                rows = await databases.fetch(seeded.dsns["customers"], _RESTRICTED)
                assert rows[0][0] == 1, "by the heir alone"
                assert await seeded.count("customers", "restricted") == 0
                assert not ticketing.get("user", user)["restricted"]
            finally:
                await asyncio.to_thread(heir.stop)
    await stores.drop(platform, seeded)
