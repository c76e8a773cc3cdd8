"""A process that freezes holds up nobody: another says what is to be said, and what it held is free again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
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


async def test_standby_relay_replaces_a_stopped_one(database: str, broker: Kafka, tmp_path: Path) -> None:
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
async def test_stalled_transaction_releases_the_evidence_chain_uncommitted(open_harness: OpenHarness) -> None:
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
    async with asyncio.timeout(60), harness.unit_of_work.begin() as tx:
        tx.log_evidence(request, "noted", {})
    wakes.set()
    with pytest.raises(AWAY):
        await sleeper
    rows = await harness.pool.fetch("SELECT seq, request_id FROM evidence.entry")
    assert [tuple(row) for row in rows] == [(1, request)]


async def test_copy_waiting_for_rows_is_ended_with_its_transaction(open_harness: OpenHarness) -> None:
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
    async with asyncio.timeout(60):
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
        async with asyncio.timeout(60), harness.unit_of_work.begin() as tx:
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


# Every loop of a service sends heartbeats, and one that stands still fails the liveness probe of a real process.
DOWNSTREAMS_OF_LIVENESS = """
[crm]
adapter = "sql"
needs = ["email"]
dsn_env = "CRM_DSN"
dataset = "{dataset}"

[billing]
adapter = "bus"
needs = ["email"]

[ticketing]
adapter = "roundup"
url = "http://127.0.0.1:1/tracker"
password_env = "TICKETING_PASSWORD"
needs = ["email"]
"""
DATASET = """
name = "crm"
[tables.customer]
category = "account"
primary_key = ["id"]
restriction = { column = "restricted", value = true }
marketing = { column = "marketing", value = false }
[tables.customer.columns]
id = { class = "T" }
email = { class = "A", identity = "email", rectifies = "email" }
restricted = { class = "T" }
marketing = { class = "T" }
"""

AMENDMENTS = ("rectify", "restrict", "lift", "suppress")
EVERYWHERE = {"relay", "machine", "inbox", "frozen"}
LOOPS: Mapping[ServiceName, set[str]] = {
    ServiceName.INTAKE: {"consume:intake", "lag:intake", "statistics", "orphans", "packages", "releases"}
    | {"expiry", "paused_erasures", "postponed", "assignments_changed", "letters", "mailbox"}
    | {f"{loop}:intake-events-{emitter}" for loop in ("consume", "lag") for emitter in ("selfcare", "numbering")},
    ServiceName.ERASURE: {
        *(
            "consume:erasure",
            "lag:erasure",
            "reaper",
            "lease",
            "standings",
            "retention",
            "consume:erasure-replies",
            "lag:erasure-replies",
        ),
        *(f"{system}:erase" for system in ("crm", "billing", "ticketing")),
        *(f"{system}:plan" for system in ("crm", "ticketing")),
    },
    ServiceName.EXPORT: {
        *("consume:export", "lag:export", "reaper", "lease", "standings", "packages", "packages:2"),
        *(f"{system}:export" for system in ("crm", "ticketing")),
    },
    ServiceName.AMENDMENT: {
        *("consume:amendment", "lag:amendment", "reaper", "lease", "standings", "nightly", "strangers", "returned"),
        *(f"{system}:{operation}" for system in ("crm", "ticketing") for operation in AMENDMENTS),
    },
    ServiceName.DEADLINE: {
        *(
            "consume:deadline",
            "lag:deadline",
            "reaper",
            "lease",
            "standings",
            "sweep",
            "statistics",
            "assignments",
            "ticketing:escalate",
        )
    },
}
"""Whatever goes round in each service; the health server itself answers, or does not."""


@asynccontextmanager
async def process(
    service: ServiceName, dsn: str, broker: Kafka, folder: Path, **env: str
) -> AsyncIterator[httpx.AsyncClient]:
    """A service as a process, and a client of its probes."""
    (folder / "crm.toml").write_text(DATASET)
    stores = {"CRM_DSN": dsn, "TICKETING_PASSWORD": "secret"}
    downstreams = DOWNSTREAMS_OF_LIVENESS.format(dataset=folder / "crm.toml")
    async with (
        running(service, dsn, broker, folder, downstreams, **stores, **env) as (_, port),
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30) as client,
    ):
        yield client


async def standing_still(
    client: httpx.AsyncClient, *, until: AbstractSet[str] | None = None, at_least: AbstractSet[str] = frozenset()
) -> tuple[int, set[str]]:
    """What the liveness probe says once it names these, and no other where ``until`` is given, or after two minutes."""
    told: tuple[int, set[str]] = (0, set())
    try:
        async with asyncio.timeout(120):
            while not told[0] or not told[1] >= at_least or (until is not None and told[1] != until):
                answer = await client.get("/healthz")
                told = (answer.status_code, set(answer.json()["loops_standing_still"]))
                await asyncio.sleep(0.05)  # a probe is asked again and again: that is what it is for
    except TimeoutError:
        pass
    return told


@pytest.mark.parametrize("service", ServiceName)
async def test_every_loop_has_a_heartbeat(service: ServiceName, database: str, broker: Kafka, tmp_path: Path) -> None:
    expected = LOOPS[service] | EVERYWHERE
    never_in_time = {"DSR_PROCESS_STILL_SECONDS": "0.000001"}  # so that every loop is named
    async with process(service, database, broker, tmp_path, once="/metrics", **never_in_time) as client:
        assert await standing_still(client, until=expected) == (503, expected)


@pytest.mark.parametrize(
    ("service", "table", "still"),
    [
        (ServiceName.DEADLINE, "deadline.clock", {"sweep", "statistics"}),
        (ServiceName.ERASURE, "erasure.outbox", {"machine"}),
        (
            ServiceName.ERASURE,
            "erasure.task",
            {"crm:erase", "billing:erase", "ticketing:erase", "machine", "reaper", "standings"},
        ),
    ],
)
async def test_a_loop_that_stands_still_fails_the_liveness_probe_until_it_goes_round_again(
    service: ServiceName, table: str, still: set[str], database: str, broker: Kafka, tmp_path: Path
) -> None:
    async with process(service, database, broker, tmp_path, DSR_PROCESS_STILL_SECONDS="5") as client:
        assert await standing_still(client, until=set()) == (200, set())
        async with connected(database) as somebody, somebody.transaction():
            await somebody.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            status, named = await standing_still(client, at_least=still)
            assert (status, named & still) == (503, still), "others may wait for a connection that these hold"
            assert (await client.get("/readyz")).status_code == 503
        assert await standing_still(client, until=set()) == (200, set())
