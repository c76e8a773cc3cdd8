"""The whole platform for one run of a bench: fresh databases, all five services, a client that submits and waits."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.platform import Platform
from deploy.local.services import Servers, Services


@dataclass
class Stack:
    """Services on a database of their own, and a channel's key."""

    services: Services
    client: httpx.AsyncClient
    connection: asyncpg.Connection

    async def submit(self, submissions: Sequence[dict[str, object]], batch: int = 500) -> None:
        """Submits all in batches, four at a time."""
        gate = asyncio.Semaphore(4)

        async def one(part: Sequence[dict[str, object]]) -> None:
            async with gate:
                answer = await self.client.post(
                    "/v1/requests/batch", json={"requests": part}, headers={"Idempotency-Key": secrets.token_hex(8)}
                )
                answer.raise_for_status()

        await asyncio.gather(*(one(submissions[i : i + batch]) for i in range(0, len(submissions), batch)))

    async def closed(self, outcome: str = "fulfilled") -> int:
        """How many requests are closed with that outcome."""
        return int(
            await self.connection.fetchval(
                "SELECT count(*) FROM intake.request WHERE state = 'closed' AND outcome = $1", outcome
            )
        )

    async def all_closed(self, count: int, within: float = 600) -> float:
        """Waits until that many are closed; returns when, on the monotonic clock."""
        deadline = time.monotonic() + within
        while await self.closed() < count:
            if time.monotonic() > deadline:
                states = await self.connection.fetch("SELECT state, outcome, count(*) FROM intake.request GROUP BY 1, 2")
                message = f"not all {count} closed within {within} s: {[tuple(s) for s in states]}"
                raise TimeoutError(message)
            await asyncio.sleep(0.05)
        return time.monotonic()


@asynccontextmanager
async def stack(platform: Platform, downstreams: Path, env: dict[str, str], directory: Path) -> AsyncIterator[Stack]:
    """All five services on a fresh database and a fresh broker."""
    name = f"bench_{secrets.token_hex(4)}"
    dsn = await databases.create(platform.postgres_dsn, name)
    kafka = Kafka(directory / name / "kafka")
    services = Services(directory / name, Servers(dsn, kafka.bootstrap), downstreams, env)
    await asyncio.to_thread(kafka.start)
    try:
        await asyncio.to_thread(services.start)
        key = await asyncio.to_thread(services.key, "channel")
        headers = {"Authorization": f"Bearer {key}"}
        connection = await asyncpg.connect(dsn)
        async with httpx.AsyncClient(base_url=services.url, headers=headers, timeout=120) as client:
            yield Stack(services, client, connection)
        await connection.close()
    finally:
        await asyncio.to_thread(services.stop)
        await asyncio.to_thread(kafka.stop)
        await databases.drop(platform.postgres_dsn, name)
