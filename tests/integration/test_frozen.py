"""A process that freezes holds up nobody: another says what is to be said, and what it held is free again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from deploy.local.ports import HOST
from shared.domain.events import RequestWithdrawn
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging import outbox
from shared.storage import evidence
from shared.storage.postgres import AWAY, HALF_OPEN, connected, end_frozen, may_stand_still
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import OpenHarness
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.process import running

DOWNSTREAMS = """
[billing]
adapter = "bus"
needs = ["email"]
"""


async def said_and_sent(dsn: str) -> list[str]:
    """The ids of five events that erasure has said, once all of them are sent."""
    events = [a(RequestWithdrawn, about=uuid7(), right=Right.ACCESS) for _ in range(5)]
    async with connected(dsn) as connection:
        await connection.execute("SET search_path = erasure")
        await outbox.insert(connection, [outbox.message(event, ServiceName.ERASURE, None) for event in events])
        await eventually(partial(connection.fetchval, "SELECT NOT EXISTS (SELECT FROM outbox)"))
    return [str(event.event_id) for event in events]


async def test_a_relay_that_is_stopped_is_followed_by_the_one_that_stands_by_and_wakes_without_effect(
    database: str, broker: Kafka, tmp_path: Path
) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    async with (
        running(ServiceName.ERASURE, database, broker, folders[0], DOWNSTREAMS) as (first, port),
        running(ServiceName.ERASURE, database, broker, folders[1], DOWNSTREAMS),
    ):
        ids = await said_and_sent(database)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            ids += await said_and_sent(database)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30) as client:
            assert (await client.get("/healthz")).status_code == 200
        ids += await said_and_sent(database)
    records = await read_topic(broker.bootstrap, "dsr.requests", len(ids))
    assert {record.headers["ce_id"] for record in records} == {*ids}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction may stand still for a fifth of a second."""
    monkeypatch.setenv("DSR_POSTGRES_IDLE_SECONDS", "0.2")


@pytest.mark.usefixtures("brief")
async def test_a_transaction_that_stands_still_frees_the_chain_of_evidence_and_never_commits(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness()
    frozen, wakes = asyncio.Event(), asyncio.Event()

    async def freeze() -> None:
        async with harness.unit_of_work.begin() as tx:
            await evidence.append(tx.connection, "erasure", tx.now, [evidence.Entry(uuid7(), "x", "frozen", {})])
            frozen.set()
            await wakes.wait()

    sleeper = asyncio.create_task(freeze())
    await frozen.wait()
    request = uuid7()
    async with asyncio.timeout(20), harness.unit_of_work.begin() as tx:
        tx.log_evidence(request, "noted", {})
    wakes.set()
    with pytest.raises(AWAY):
        await sleeper
    rows = await harness.pool.fetch("SELECT seq, request_id FROM evidence.entry")
    assert [tuple(row) for row in rows] == [(1, request)]


async def test_a_copy_that_waits_for_its_rows_is_ended_with_what_its_transaction_holds(
    open_harness: OpenHarness,
) -> None:
    harness = await open_harness()
    frozen, wakes = asyncio.Event(), asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        frozen.set()
        await wakes.wait()
        yield b""

    async def freeze() -> None:
        async with harness.unit_of_work.begin() as tx:
            await evidence.append(tx.connection, "erasure", tx.now, [evidence.Entry(uuid7(), "x", "frozen", {})])
            await tx.connection.copy_to_table("outbox", source=rows(), columns=["topic"])

    async def note() -> None:
        async with harness.unit_of_work.begin() as tx:
            tx.log_evidence(request, "noted", {})

    request = uuid7()
    sleeper = asyncio.create_task(freeze())
    await frozen.wait()
    other = asyncio.create_task(note())
    async with asyncio.timeout(20):
        while not other.done():
            await end_frozen(harness.pool, 0.1)
    await other
    wakes.set()
    with pytest.raises(AWAY):
        await sleeper
    rows_there = await harness.pool.fetch("SELECT seq, request_id FROM evidence.entry")
    assert [tuple(row) for row in rows_there] == [(1, request)]


async def test_who_verifies_the_evidence_and_freezes_keeps_nobody_from_writing_it(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    verifier = evidence.ChainVerifier("erasure")
    async with harness.pool.acquire() as connection, connection.transaction():
        await verifier.step(connection)  # and no more is heard of it
        async with asyncio.timeout(5), harness.unit_of_work.begin() as tx:
            tx.log_evidence(uuid7(), "noted", {})
    async with harness.pool.acquire() as connection:
        while verifier.rounds < 2:
            await verifier.step(connection)
    assert verifier.broken_at is None


async def test_the_server_knows_soon_that_nobody_is_at_the_other_end_of_a_session(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    wanted = dict(HALF_OPEN)
    rows = await harness.pool.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(wanted))
    assert {row[0]: row[1] for row in rows} == wanted
    idle, interval, count = (int(wanted[f"tcp_keepalives_{each}"]) for each in ("idle", "interval", "count"))
    assert idle + interval * count <= 4, "the lost node is found before anybody has waited for five seconds"


@pytest.mark.usefixtures("brief")
async def test_who_computes_long_within_a_transaction_may_stand_still(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    async with harness.unit_of_work.begin() as tx:
        async with may_stand_still(tx.connection):
            await harness.pool.execute("SELECT pg_sleep(0.4)")
        assert await tx.connection.fetchval("SHOW idle_in_transaction_session_timeout") == "200ms"
