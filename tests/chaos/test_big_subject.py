"""A worker is killed in the middle of a subject of 20,000 calls: what it had removed counts once, the rest follows."""

import asyncio
import logging
import secrets
import time
from pathlib import Path

from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from tests.fixtures import stores
from tests.fixtures.stack import Stack, once_each, stack

log = logging.getLogger(__name__)

CALLS = 20_000
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


async def claimed_again(running: Stack) -> float:
    """Waits until another attempt at the calls is under way; when that was, on the monotonic clock."""
    attempt = "SELECT attempt FROM erasure.task WHERE system = 'calls' AND operation = 'erase'"
    async with asyncio.timeout(60):
        while await running.pool.fetchval(attempt) < 2:  # noqa: ASYNC110  # nor has the queue
            await asyncio.sleep(0.02)
    return time.monotonic()


async def test_a_worker_killed_in_a_big_subject_is_followed_by_another_that_does_no_row_again(
    platform: Platform, run_folder: Path
) -> None:
    folder = run_folder / "big-subject"
    seeded = await stores.seed(platform, f"big_{secrets.token_hex(4)}", 1, folder / "stores", calls_each=CALLS)
    async with connected(seeded.dsns["calls"]) as connection:
        await connection.execute(_LEDGER)
    try:
        async with stack(platform, seeded, folder) as running:
            erasure = running.services.children[ServiceName.ERASURE]
            await running.submit(range(1))
            await removed_more_than(running, 0)
            heir, _ = running.services.instance(ServiceName.ERASURE, "heir")
            with heir:
                await asyncio.to_thread(erasure.kill)
                killed, before = time.monotonic(), await removed(running)
                await databases.fetch(running.stores.dsns["calls"], "UPDATE pace SET seconds = 0.001")
                assert 0 < before < CALLS
                log.info("resumed %.1f s after the kill", await claimed_again(running) - killed)
                await running.all_closed(1, within=90)
                assert await removed(running) == CALLS
                assert await running.effects() == {**once_each(1), "erased calls": CALLS}
    finally:
        await stores.drop(platform, seeded)
