"""The naive twin of the product: the same observable work in straightforward code, without bus, batches or encryption.

Each of its workers closes one request after the other: it erases and looks again in three stores.
It keeps the facts of as many letters and notices as the product, and commits after each step.
Neither renders a letter while it closes: the product renders a letter of these requests when it is first read.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg
import orjson

from tests.fixtures.stores import Stores, Subject

WORKERS = 8
RECIPIENTS = ("carrier", "collector")
"""The recipients that the policy of the bench names: each is notified of an erasure."""

_SCHEMA = """
CREATE TABLE request (
    request_id uuid PRIMARY KEY, account_id text, email text, phone text, state text NOT NULL, outcome text
);
CREATE TABLE task (
    task_id uuid PRIMARY KEY, request_id uuid NOT NULL, system text NOT NULL, state text NOT NULL, changed int
);
CREATE TABLE letter (letter_id uuid PRIMARY KEY, request_id uuid NOT NULL, kind text NOT NULL, facts text NOT NULL);
CREATE TABLE evidence (seq bigserial PRIMARY KEY, request_id uuid NOT NULL, action text NOT NULL, hash bytea NOT NULL);
"""

_DELETE = {
    "customers": "DELETE FROM customer WHERE account_id = $1",
    "calls": "DELETE FROM call WHERE caller = $1",
    "tickets": "DELETE FROM ticket WHERE requester = $1",
}
_LEFT = {store: sql.replace("DELETE", "SELECT count(*)") for store, sql in _DELETE.items()}


async def close_all(own_dsn: str, stores: Stores, subjects: int) -> float:
    """Returns the seconds in which it closes so many requests, on a fresh database and copies of the stores."""
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
        seconds = time.monotonic() - started
        letters = await own.fetchval("SELECT count(*) FROM letter")
    assert letters == subjects * (2 + len(RECIPIENTS)), letters
    return seconds


async def _close(own: asyncpg.Pool, stores: Mapping[str, asyncpg.Pool], subject: Subject) -> None:
    """Takes one request from its arrival to its closure, one statement after the other."""
    request_id = uuid4()
    identity = {"customers": subject.account_id, "calls": subject.phone, "tickets": subject.email}
    await own.execute(
        "INSERT INTO request VALUES ($1, $2, $3, $4, 'in_progress')",
        *(request_id, subject.account_id, subject.email, subject.phone),
    )
    await _record(own, request_id, "request.received")
    await _write(own, request_id, "acknowledgement", reference=request_id, article="17")
    erased: dict[str, int] = {}
    for store, value in identity.items():
        task_id = uuid4()
        await own.execute("INSERT INTO task VALUES ($1, $2, $3, 'ready')", task_id, request_id, store)
        status = await stores[store].execute(_DELETE[store], value)
        left = await stores[store].fetchval(_LEFT[store], value)
        assert left == 0
        erased[store] = int(status.split()[-1])
        await own.execute("UPDATE task SET state = 'done', changed = $2 WHERE task_id = $1", task_id, erased[store])
        await _record(own, request_id, "task.concluded")
    for recipient in RECIPIENTS:
        await _write(own, request_id, "notice", recipient=recipient, email=subject.email, phone=subject.phone)
    await _write(own, request_id, "answer", reference=request_id, erased=erased, recipients=RECIPIENTS)
    await own.execute(
        "UPDATE request SET state = 'closed', outcome = 'fulfilled', account_id = NULL, email = NULL, phone = NULL"
        " WHERE request_id = $1",
        request_id,
    )
    await _record(own, request_id, "request.closed")


async def _write(own: asyncpg.Pool, request_id: UUID, kind: str, **facts: object) -> None:
    content = orjson.dumps(facts).decode()
    await own.execute("INSERT INTO letter VALUES ($1, $2, $3, $4)", uuid4(), request_id, kind, content)


async def _record(own: asyncpg.Pool, request_id: UUID, action: str) -> None:
    digest = hashlib.sha256(f"{request_id} {action}".encode()).digest()
    await own.execute("INSERT INTO evidence (request_id, action, hash) VALUES ($1, $2, $3)", request_id, action, digest)


def _pool(dsn: str) -> asyncpg.Pool:
    return asyncpg.create_pool(dsn, min_size=WORKERS, max_size=WORKERS)
