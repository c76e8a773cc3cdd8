"""Whose turn it is to relay: another follows whoever stands still, and what a sleeper does on waking has no effect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest
from uuid_utils.compat import uuid7

from shared.domain.topics import ServiceName
from shared.messaging import outbox
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import lease
from shared.storage.postgres import PostgresSettings, connect_pool
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.live import eventually
from tests.fixtures.relaying import Ledger, ids_of, relaying, said

SOON = timedelta(seconds=0.5)


async def emptied(harness: Harness) -> None:
    """Returns when nothing waits in the outbox."""
    await eventually(partial(harness.pool.fetchval, "SELECT NOT EXISTS (SELECT FROM outbox)"))


async def test_a_relay_that_sleeps_in_a_send_is_followed_and_what_it_does_on_waking_is_a_repeat(
    open_harness: OpenHarness,
) -> None:
    asleep, awake = await open_harness(), await open_harness()
    sleeper, follower, wakes = Ledger(), Ledger(), asyncio.Event()

    async def sleep() -> None:
        await wakes.wait()

    sleeper.meanwhile = sleep
    ids = await said(asleep, [uuid7() for _ in range(5)])
    async with relaying(asleep, sleeper, SOON):
        await sleeper.got_some.wait()
        async with relaying(awake, follower, SOON):
            ids += await said(awake, [uuid7() for _ in range(5)])
            await emptied(awake)
            wakes.set()
    assert ids_of(sleeper.taken) == ids[:5]
    assert ids_of(follower.taken) == ids
    assert await awake.outbox() == []


async def test_who_loses_its_turn_between_send_and_delete_deletes_nothing(open_harness: OpenHarness) -> None:
    harness, broker = await open_harness(), Ledger()

    async def lose() -> None:
        broker.meanwhile = None
        async with harness.pool.acquire() as connection:
            await lease.revoke(connection, outbox.RELAY)

    broker.meanwhile = lose
    ids = await said(harness, [uuid7() for _ in range(3)])
    async with relaying(harness, broker):
        await emptied(harness)
    assert ids_of(broker.taken) == ids * 2, "not deleted by the turn that was lost, so sent again by the next"


async def test_a_turn_is_one_s_until_it_is_over_and_its_token_only_grows(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    async with harness.pool.acquire() as connection:
        first = await lease.take(connection, "sweep", timedelta(minutes=1))
        assert await lease.take(connection, "sweep", SOON) is None
        assert await lease.take(connection, "another", SOON) is not None
        assert first is not None
        await first.release(connection)
        second = await lease.take(connection, "sweep", SOON)
        assert second is not None
        await lease.revoke(connection, "sweep")
        third = await lease.take(connection, "sweep", SOON)
    assert third is not None
    assert first.token < second.token < third.token


async def test_sends_that_outlast_a_turn_become_smaller_until_they_do_not(open_harness: OpenHarness) -> None:
    harness, broker, sent = await open_harness(), Ledger(), [0]

    async def lose_unless_small() -> None:
        size, sent[0] = len(broker.taken) - sent[0], len(broker.taken)
        if size > 4:
            async with harness.pool.acquire() as connection:
                await lease.revoke(connection, outbox.RELAY)

    broker.meanwhile = lose_unless_small
    ids = await said(harness, [uuid7() for _ in range(16)])
    async with relaying(harness, broker):
        await emptied(harness)
    assert list(dict.fromkeys(ids_of(broker.taken))) == ids
    assert len(broker.taken) < 100, "halves of halves, and not one by one for ever"


class Wire:
    """A way to the database that can fall silent, both ways, without ending: nobody is told."""

    def __init__(self, dsn: str) -> None:
        self._to = urlsplit(dsn)
        self._silent = asyncio.Event()
        self.dsn = ""

    def fall_silent(self) -> None:
        """What is connected by now stays so and hears nothing more; new connections are well."""
        self._silent.set()
        self._silent = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Wire"]:
        """Listens until the block ends."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user, _, _ = self._to.netloc.rpartition("@")
        self.dsn = self._to._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()
        async with AsyncExitStack() as stack:
            stack.callback(server.close)
            yield self

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        silent = self._silent
        far, onward = await asyncio.open_connection(self._to.hostname, self._to.port)
        both = [asyncio.create_task(_carry(near, onward, silent)), asyncio.create_task(_carry(far, back, silent))]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for writer in (onward, back):
            writer.close()
        await asyncio.wait(both)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silent: asyncio.Event) -> None:
    while content := await reader.read(65_536):
        if not silent.is_set():
            writer.write(content)


async def test_a_relay_whose_connection_hears_nothing_more_goes_on_with_another(
    open_harness: OpenHarness, database: str
) -> None:
    harness, broker = await open_harness(), Ledger()
    async with Wire(database).open() as wire, AsyncExitStack() as stack:
        pool = await connect_pool(PostgresSettings(dsn=wire.dsn), ServiceName.ERASURE)
        stack.callback(pool.terminate)
        own = harness.unit_of_work
        far = Harness(UnitOfWorkFactory(pool, own.service, own.clock, own.vault), harness.fulfilments, [])
        async with relaying(far, broker, SOON):
            ids = await said(harness, [uuid7()])
            await emptied(harness)
            wire.fall_silent()
            ids += await said(harness, [uuid7()])
            await emptied(harness)
    assert list(dict.fromkeys(ids_of(broker.taken))) == ids


async def test_an_outage_of_the_broker_is_logged_once_and_so_is_its_end(
    open_harness: OpenHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness, broker = await open_harness(), Ledger()
    broker.refuses = True
    await said(harness, [uuid7()])
    async with relaying(harness, broker):
        for _ in range(3):
            await broker.got_some.wait()
            broker.got_some.clear()
        broker.refuses = False
        await emptied(harness)
    logged = [each.getMessage() for each in caplog.records if each.name == "shared.messaging.outbox"]
    assert logged == ["outbox relay paused error=BusAway", "outbox relay resumed after=BusAway"]
