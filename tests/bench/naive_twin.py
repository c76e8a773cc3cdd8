"""The naive twin of the product: the same rows in the same database, one transaction per step and no batching."""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg

from tests.fixtures.stores import Stores, Subject

WORKERS = 8

_SCHEMA = """
CREATE TABLE request (request_id uuid PRIMARY KEY, account_id text, state text NOT NULL, outcome text);
CREATE TABLE task (
    task_id uuid PRIMARY KEY, request_id uuid NOT NULL, system text NOT NULL, state text NOT NULL, changed int
);
CREATE TABLE evidence (seq bigserial PRIMARY KEY, request_id uuid NOT NULL, action text NOT NULL, hash bytea NOT NULL);
"""

_DELETE = {
    "customers": "DELETE FROM customer WHERE account_id = $1",
    "calls": "DELETE FROM call WHERE caller = $1",
    "tickets": "DELETE FROM ticket WHERE requester = $1",
}
_LEFT = {store: sql.replace("DELETE", "SELECT count(*)") for store, sql in _DELETE.items()}


async def close_all(own_dsn: str, stores: Stores, subjects: int) -> float:
    """Seconds in which the twin closes so many requests, on a fresh database of its own and copies of the stores."""
    left = iter([Subject(number) for number in range(subjects)])
    async with AsyncExitStack() as stack:
        own, *others = [await stack.enter_async_context(_pool(dsn)) for dsn in (own_dsn, *stores.dsns.values())]
        pools = dict(zip(stores.dsns, others, strict=True))
        await own.execute(_SCHEMA)

        async def worker() -> None:
            for subject in left:
                await _close(own, pools, subject)

        started = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(WORKERS)))
        return time.monotonic() - started


async def _close(own: asyncpg.Pool, stores: Mapping[str, asyncpg.Pool], subject: Subject) -> None:
    """One request from its arrival to its closure, one statement after the other, as straightforward code does it."""
    request_id = uuid4()
    identity = {"customers": subject.account_id, "calls": subject.phone, "tickets": subject.email}
    await own.execute("INSERT INTO request VALUES ($1, $2, 'in_progress')", request_id, subject.account_id)
    await _record(own, request_id, "request.received")
    for store, value in identity.items():
        task_id = uuid4()
        await own.execute("INSERT INTO task VALUES ($1, $2, $3, 'ready')", task_id, request_id, store)
        status = await stores[store].execute(_DELETE[store], value)
        left = await stores[store].fetchval(_LEFT[store], value)
        assert left == 0
        changed = int(status.split()[-1])
        await own.execute("UPDATE task SET state = 'done', changed = $2 WHERE task_id = $1", task_id, changed)
        await _record(own, request_id, "task.concluded")
    await own.execute(
        "UPDATE request SET state = 'closed', outcome = 'fulfilled', account_id = NULL WHERE request_id = $1",
        request_id,
    )
    await _record(own, request_id, "request.closed")


async def _record(own: asyncpg.Pool, request_id: UUID, action: str) -> None:
    digest = hashlib.sha256(f"{request_id} {action}".encode()).digest()
    await own.execute("INSERT INTO evidence (request_id, action, hash) VALUES ($1, $2, $3)", request_id, action, digest)


def _pool(dsn: str) -> asyncpg.Pool:
    return asyncpg.create_pool(dsn, min_size=WORKERS, max_size=WORKERS)
