"""The naive twin of the product: the same rows in the same database, one transaction per step and no batching."""

import asyncio
import hashlib
import time
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


class NaiveTwin:
    """Closes erasure requests one after another in each of eight workers, as straightforward code does."""

    def __init__(self, own: asyncpg.Pool, stores: dict[str, asyncpg.Pool]) -> None:
        self._own = own
        self._stores = stores

    async def close_all(self, subjects: int) -> None:
        """Takes requests of so many subjects to their closure."""
        left = iter([Subject(number) for number in range(subjects)])

        async def worker() -> None:
            for subject in left:
                await self._close(subject)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))

    async def _close(self, subject: Subject) -> None:
        request_id = uuid4()
        identity = {"customers": subject.account_id, "calls": subject.phone, "tickets": subject.email}
        await self._step("INSERT INTO request VALUES ($1, $2, 'in_progress')", request_id, subject.account_id)
        await self._record(request_id, "request.received")
        for store, value in identity.items():
            task_id = uuid4()
            await self._step("INSERT INTO task VALUES ($1, $2, $3, 'ready')", task_id, request_id, store)
            status = await self._stores[store].execute(_DELETE[store], value)
            left = await self._stores[store].fetchval(_LEFT[store], value)
            assert left == 0
            changed = int(status.split()[-1])
            await self._step("UPDATE task SET state = 'done', changed = $2 WHERE task_id = $1", task_id, changed)
            await self._record(request_id, "task.concluded")
        await self._step(
            "UPDATE request SET state = 'closed', outcome = 'fulfilled', account_id = NULL WHERE request_id = $1",
            request_id,
        )
        await self._record(request_id, "request.closed")

    async def _record(self, request_id: UUID, action: str) -> None:
        digest = hashlib.sha256(f"{request_id} {action}".encode()).digest()
        entry = "INSERT INTO evidence (request_id, action, hash) VALUES ($1, $2, $3)"
        await self._step(entry, request_id, action, digest)

    async def _step(self, statement: str, *arguments: object) -> None:
        await self._own.execute(statement, *arguments)


async def close_all(own_dsn: str, stores: Stores, subjects: int) -> float:
    """Seconds in which the twin closes so many requests, on a fresh database of its own and copies of the stores."""
    own = await _pool(own_dsn)
    pools = {store: await _pool(dsn) for store, dsn in stores.dsns.items()}
    try:
        await own.execute(_SCHEMA)
        started = time.monotonic()
        await NaiveTwin(own, pools).close_all(subjects)
        return time.monotonic() - started
    finally:
        for pool in (own, *pools.values()):
            await pool.close()


async def _pool(dsn: str) -> asyncpg.Pool:
    return await asyncpg.create_pool(dsn, min_size=WORKERS, max_size=WORKERS)
