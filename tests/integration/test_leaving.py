"""A service that is told to stop leaves politely: its door stays open for a while, and who is inside is answered."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.ports import HOST
from deploy.local.process import Child
from services.intake import auth
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from tests.fixtures.intake import FREELY
from tests.fixtures.process import running
from tests.fixtures.stores import Subject

TIMEOUT_SECONDS = 60


@dataclass
class Door:
    """Intake as a process that lingers for as long as the test needs, and is told to leave when the test says so."""

    child: Child
    port: int
    key: str

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=f"http://{HOST}:{self.port}", headers=headers, timeout=TIMEOUT_SECONDS)

    async def leaving(self) -> None:
        """Tells it to stop, and returns when its readiness says so."""
        self.child.signal(signal.SIGTERM)
        async with self.client() as client, asyncio.timeout(TIMEOUT_SECONDS):
            while (await client.get("/readyz")).status_code != httpx.codes.SERVICE_UNAVAILABLE:
                pass

    async def left(self) -> int | None:
        return await asyncio.to_thread(self.child.wait, TIMEOUT_SECONDS)


@pytest.fixture
async def door(database: str, broker: Kafka, tmp_path: Path) -> AsyncIterator[Door]:
    lingers = {"DSR_HTTP_LINGER_SECONDS": "10", "DSR_PROCESS_DRAIN_SECONDS": "3"}
    async with running(ServiceName.INTAKE, database, broker, tmp_path, **lingers) as (child, port):
        yield Door(child, port, await auth.create(database, "channel", "portal", SystemClock().now(), FREELY))


@asynccontextmanager
async def kept_waiting(client: httpx.AsyncClient, database: str) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """A submission that is under way and cannot be stored until the block ends."""
    somebody = await asyncpg.connect(database)
    async with somebody.transaction():
        await somebody.execute("LOCK TABLE intake.request IN ACCESS EXCLUSIVE MODE")
        under_way = asyncio.create_task(client.post("/v1/requests", json=Subject(0).submission()))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await somebody.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not under_way.done(), under_way.result().text
        yield under_way
    await somebody.close()


async def test_who_is_inside_is_answered_and_the_process_ends_in_order(
    door: Door, database: str, subtests: pytest.Subtests
) -> None:
    reader, writer = await asyncio.open_connection(HOST, door.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: intake\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}")
    async with door.client() as client:
        async with kept_waiting(client, database) as under_way:
            await door.leaving()
        answered = await under_way
        late = await client.post("/v1/requests", json=Subject(1).submission())
        async with kept_waiting(client, database) as too_long:
            status = await door.left()
            given_up = await too_long
    ((there, waiting),) = await databases.fetch(
        database, "SELECT (SELECT count(*) FROM intake.request), (SELECT count(*) FROM intake.outbox)"
    )
    with subtests.test("what was under way is answered, and what comes soon after"):
        answers = [(each.status_code, each.headers.get("connection")) for each in (answered, late)]
        assert answers == [(201, "close"), (201, "close")]
    with subtests.test("what takes too long is given up"):
        assert (given_up.status_code, given_up.headers["connection"]) == (503, "close")
        assert "given up after" in door.child.log.read_text()
    with subtests.test("a connection on which nobody speaks is closed and not reset"):
        assert await reader.read() == b""
        assert b"connection: close" not in head
    writer.close()
    assert (there, waiting, status) == (2, 0, 0)
