"""A worker is killed in the middle of a subject of 20,000 calls: what it had removed counts once, the rest follows."""

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest

from deploy.local import postgres_databases as databases
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from tests.fixtures.outage import gained
from tests.fixtures.stack import Stack, once_each
from tests.fixtures.stores import Subject

log = logging.getLogger(__name__)
pytestmark = pytest.mark.asyncio(loop_scope="package")

CALLS = 20_000
_MORE_CALLS = """
INSERT INTO call (caller, callee, started_at, seconds)
SELECT $1, '+498940000000', now() - n * interval '1 minute', 60 FROM generate_series(1, $2 - (SELECT count(*) FROM call
WHERE caller = $1)) AS n
"""
_LEDGER = """
CREATE TABLE removed (rows bigint NOT NULL);
CREATE TABLE pace AS SELECT 0.01::float8 AS seconds;
CREATE FUNCTION take_a_while() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(seconds) FROM pace WHERE old.id % 10 = 0; RETURN old; END';
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO removed SELECT count(*) FROM gone; RETURN NULL; END';
CREATE TRIGGER slowly BEFORE DELETE ON call FOR EACH ROW EXECUTE FUNCTION take_a_while();
CREATE TRIGGER noted AFTER DELETE ON call REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note()
"""
_ATTEMPT = """
SELECT attempt FROM erasure.task JOIN erasure.fulfilment USING (fulfilment_id)
WHERE request_id::text = $1 AND system = 'calls' AND task.operation = 'erase'
"""


async def removed(running: Stack) -> int:
    """Rows whose removal the store itself has on record."""
    rows = await databases.fetch(running.stores.dsns["calls"], "SELECT coalesce(sum(rows), 0) FROM removed")
    return int(rows[0][0])


async def removed_more_than(running: Stack, rows: int) -> int:
    """Waits until the store has more removals on record; how many it has then."""
    async with asyncio.timeout(60):
        while (now := await removed(running)) <= rows:  # noqa: ASYNC110  # the store has no way to tell us
            await asyncio.sleep(0.02)
    return now


async def claimed_again(running: Stack, request_id: str) -> float:
    """Waits until another attempt at the calls is under way; when that was, on the monotonic clock."""
    async with asyncio.timeout(60):
        while await running.pool.fetchval(_ATTEMPT, request_id) < 2:  # noqa: ASYNC110  # nor has the queue
            await asyncio.sleep(0.02)
    return time.monotonic()


async def test_a_worker_killed_in_a_big_subject_is_followed_by_another_that_does_no_row_again(
    running: Stack, people: Iterator[int]
) -> None:
    subject, calls = Subject(next(people)), running.stores.dsns["calls"]
    await databases.fetch(calls, _MORE_CALLS, subject.phone, CALLS)
    async with connected(calls) as connection:
        await connection.execute(_LEDGER)
    closed, before_all = await running.closed(), await running.effects()
    erasure = running.services.children[ServiceName.ERASURE]
    request_id = await running.client.submit(subject.submission())
    await removed_more_than(running, 0)
    await asyncio.to_thread(erasure.kill)
    killed, before = time.monotonic(), await removed(running)
    await databases.fetch(calls, "UPDATE pace SET seconds = 0.001")
    assert 0 < before < CALLS
    await asyncio.to_thread(erasure.start)
    log.info("resumed %.1f s after the kill", await claimed_again(running, request_id) - killed)
    await running.all_closed(closed + 1, within=90)
    assert await removed(running) == CALLS
    assert gained(before_all, await running.effects()) == {**once_each(1), "erased calls": CALLS}
    await databases.fetch(calls, "DROP TRIGGER slowly ON call")
