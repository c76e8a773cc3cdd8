"""A frozen process blocks no other: another publishes its events, and its locks are released."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TypeVar
from uuid import UUID

import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.services import Servers, Services
from shared.domain.events import RequestWithdrawn
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.messaging import outbox
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import evidence
from shared.storage.postgres import TCP_TIMEOUTS, UNAVAILABLE, allow_long_idle, connected, terminate_stalled
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.events import a
from tests.fixtures.freezing import Freezing
from tests.fixtures.live import eventually

Seen = TypeVar("Seen")


async def said_and_sent(dsn: str) -> list[str]:
    """The ids of five events that erasure has said, once all of them are sent."""
    events = [a(RequestWithdrawn, about=uuid7(), right=Right.ACCESS) for _ in range(5)]
    async with connected(dsn) as connection:
        await connection.execute("SET search_path = erasure")
        await outbox.insert(connection, [outbox.message(event, ServiceName.ERASURE, None) for event in events])
        await eventually(partial(connection.fetchval, "SELECT NOT EXISTS (SELECT FROM outbox)"))
    return [str(event.event_id) for event in events]


async def note(unit_of_work: UnitOfWorkFactory, request: UUID) -> None:
    async with unit_of_work.begin() as tx:
        tx.log_evidence(request, "noted", {})


async def noted(harness: Harness) -> list[tuple[int, UUID]]:
    rows = await harness.pool.fetch("SELECT seq, request_id FROM evidence.entry")
    return [(row[0], row[1]) for row in rows]


async def test_stalled_transaction_releases_the_evidence_chain_uncommitted(harness: Harness) -> None:
    process, request = Freezing(harness.unit_of_work), uuid7()
    async with process.asleep(note(process, uuid7())):
        await note(harness.unit_of_work, request)
    assert await noted(harness) == [(1, request)]


async def test_copy_waiting_for_rows_is_ended_with_its_transaction(harness: Harness) -> None:
    frozen, wakes = asyncio.Event(), asyncio.Event()

    async def rows() -> AsyncIterator[bytes]:
        frozen.set()
        await wakes.wait()
        yield b""

    async def freeze() -> None:
        async with harness.unit_of_work.begin() as tx:
            await evidence.append(
                tx.connection,
                "erasure",
                tx.now,
                [evidence.EvidenceEntry(uuid7(), "x", "frozen", {})],
                tx.vault.keyring.signing,
            )
            await tx.connection.copy_to_table("outbox", source=rows(), columns=["topic"])

    request = uuid7()
    sleeper = asyncio.create_task(freeze())
    await frozen.wait()
    other = asyncio.create_task(note(harness.unit_of_work, request))
    async with asyncio.timeout(60):
        while not other.done():
            await terminate_stalled(harness.pool, 0.1)
    await other
    wakes.set()
    with pytest.raises(UNAVAILABLE):
        await sleeper
    assert await noted(harness) == [(1, request)]


async def test_frozen_verifier_blocks_no_evidence(harness: Harness) -> None:
    verifier = evidence.ChainVerifier("erasure")
    async with harness.pool.acquire() as connection, connection.transaction():
        await verifier.step(connection)  # and it freezes
        async with asyncio.timeout(60):
            await note(harness.unit_of_work, uuid7())
    async with harness.pool.acquire() as connection:
        while verifier.rounds < 2:
            await verifier.step(connection)
    assert verifier.broken_at is None


async def test_server_soon_notices_an_abandoned_session(harness: Harness) -> None:
    wanted = dict(TCP_TIMEOUTS)
    rows = await harness.pool.fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(wanted))
    assert {row[0]: row[1] for row in rows} == wanted
    idle, interval, count = (int(wanted[f"tcp_keepalives_{each}"]) for each in ("idle", "interval", "count"))
    assert idle + interval * count <= 4, "the lost node is found before anybody has waited for five seconds"


async def test_who_computes_long_within_a_transaction_may_stand_still(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSR_POSTGRES_IDLE_SECONDS", "0.2")
    harness = await open_harness()
    async with harness.unit_of_work.begin() as tx:
        async with allow_long_idle(tx.connection):
            await harness.pool.execute("SELECT pg_sleep(0.4)")
        assert await tx.connection.fetchval("SHOW idle_in_transaction_session_timeout") == "200ms"


# Every loop of a service sends heartbeats, and one that stands still fails the liveness probe of a real process.
DOWNSTREAMS = """
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
restrict = { restricted = true }
no_marketing = { marketing = false }
[tables.customer.columns]
id = { class = "T" }
email = { class = "A", identity = "email", rectifies = "email" }
restricted = { class = "T" }
marketing = { class = "T" }
"""

EVERYWHERE = {"relay", "machine", "inbox", "frozen"}
WORK = ("reaper", "lease", "standings")
BOTH = ("crm", "ticketing")


def loops(service: ServiceName, *names: str, consumes: Sequence[str] = ()) -> set[str]:
    """Returns those names, and the loops of each consumer of the service."""
    return {*EVERYWHERE, *names, *(f"{loop}:{each}" for loop in ("consume", "lag") for each in (service, *consumes))}


LOOPS: Mapping[ServiceName, set[str]] = {
    ServiceName.INTAKE: loops(
        ServiceName.INTAKE,
        *("statistics", "packages", "releases", "expiry", "resuming", "recipients"),
        consumes=["intake-events-selfcare", "intake-events-numbering"],
    ),
    ServiceName.CORRESPONDENCE: loops(ServiceName.CORRESPONDENCE, "letters", "settled letters", "mailbox"),
    ServiceName.ERASURE: loops(
        ServiceName.ERASURE,
        *(*WORK, "retention", "billing:erase"),
        *(f"{system}:{operation}" for system in BOTH for operation in ("erase", "plan")),
        consumes=["erasure-replies"],
    ),
    ServiceName.EXPORT: loops(
        ServiceName.EXPORT, *WORK, "packages", "packages:2", *(f"{system}:export" for system in BOTH)
    ),
    ServiceName.AMENDMENT: loops(
        ServiceName.AMENDMENT,
        *(*WORK, "nightly", "forgetting", "returned"),
        *(f"{system}:{operation}" for system in BOTH for operation in ("rectify", "restrict", "lift", "suppress")),
    ),
    ServiceName.DEADLINE: loops(
        ServiceName.DEADLINE, *WORK, "timers", "statistics", "assignments", "ticketing:escalate"
    ),
}
"""Whatever goes round in each service; the health server itself answers, or does not."""


@pytest.fixture(scope="module")
def services(
    postgres_dsn: str, template: str, broker: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Services]:
    """Starts all services as processes, whose loops may stand still for five seconds."""
    folder = tmp_path_factory.mktemp("services")
    dsn = databases.wait_for(databases.create(postgres_dsn, "frozen", template))
    (folder / "crm.toml").write_text(DATASET)
    (downstreams := folder / "downstreams.toml").write_text(DOWNSTREAMS.format(dataset=folder / "crm.toml"))
    env = {"CRM_DSN": dsn, "TICKETING_PASSWORD": "secret", "DSR_PROCESS_STILL_SECONDS": "5"}
    env["DSR_POSTGRES_POOL_SIZE"] = "20"  # who waits for a lock keeps no connection from another loop
    with Services(folder, Servers(dsn, broker.bootstrap), downstreams, env, ["billing"]) as services:
        yield services
    databases.wait_for(databases.drop(postgres_dsn, "frozen"))


def probes(services: Services, service: ServiceName) -> httpx.AsyncClient:
    """Opens a client of the probes and metrics of a service."""
    return httpx.AsyncClient(base_url=services.url_of(service), timeout=30)


async def last_seen(look: Callable[[], Awaitable[Seen]], wanted: Callable[[Seen], bool]) -> Seen:
    """Returns what is seen once it is as wanted, or after two minutes."""
    seen = await look()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(120):
            while not wanted(seen):
                await asyncio.sleep(0.2)  # a probe is asked again and again: that is what it is for
                seen = await look()
    return seen


async def test_every_loop_has_a_heartbeat(services: Services, subtests: pytest.Subtests) -> None:
    for service in ServiceName:
        async with probes(services, service) as client:

            async def beating() -> set[str]:
                said = (await client.get("/metrics")).text
                return {*re.findall(r'^dsr_loop_stalled_seconds{loop="(.*?)"', said, re.MULTILINE)}

            expected = LOOPS[service]
            with subtests.test(service.value):
                assert await last_seen(beating, expected.__eq__) == expected


async def standing_still(client: httpx.AsyncClient, at_least: AbstractSet[str] = frozenset()) -> tuple[int, set[str]]:
    """Returns what the liveness probe says once it names these; without any, once it names none."""

    async def stalled() -> tuple[int, set[str]]:
        answer = await client.get("/healthz")
        return answer.status_code, set(answer.json()["loops_standing_still"])

    return await last_seen(stalled, lambda each: each[1] >= at_least if at_least else not each[1])


@pytest.mark.parametrize(
    ("service", "table", "still"),
    [
        (ServiceName.DEADLINE, "deadline.clock", {"timers", "statistics"}),
        (ServiceName.ERASURE, "erasure.outbox", {"machine"}),
        (ServiceName.ERASURE, "erasure.task", {"crm:erase", "billing:erase", "ticketing:erase", "reaper", "standings"}),
    ],
)
async def test_a_loop_that_stands_still_fails_the_liveness_probe_until_it_goes_round_again(
    services: Services, service: ServiceName, table: str, still: set[str]
) -> None:
    async with probes(services, service) as client:
        assert await standing_still(client) == (200, set())
        async with connected(services.env["DSR_POSTGRES_DSN"]) as locking, locking.transaction():
            await locking.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            status, named = await standing_still(client, still)
            assert (status, named & still) == (503, still)
            assert (await client.get("/readyz")).status_code == 503
        assert await standing_still(client) == (200, set())


async def test_standby_relay_replaces_a_stopped_one(services: Services, broker: Kafka) -> None:
    dsn, first = services.env["DSR_POSTGRES_DSN"], services.children[ServiceName.ERASURE]
    second, _ = services.instance(ServiceName.ERASURE, "standby")
    await asyncio.to_thread(second.start)
    try:
        ids = await said_and_sent(dsn)
        os.kill(first.pid, signal.SIGSTOP)
        try:
            ids += await said_and_sent(dsn)
        finally:
            os.kill(first.pid, signal.SIGCONT)
        async with probes(services, ServiceName.ERASURE) as client:
            assert await standing_still(client) == (200, set())
        ids += await said_and_sent(dsn)
    finally:
        await asyncio.to_thread(second.stop)
    records = await read_topic(broker.bootstrap, "dsr.requests", len(ids))
    assert {record.headers["ce_id"] for record in records} == {*ids}
