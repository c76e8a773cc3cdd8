"""Every loop of a service sends heartbeats, and one that stands still fails the liveness probe of a real process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deploy.local.kafka import Kafka
from deploy.local.ports import HOST
from shared.domain.topics import ServiceName
from shared.storage.postgres import connected
from tests.fixtures.process import running

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
    downstreams = DOWNSTREAMS.format(dataset=folder / "crm.toml")
    async with (
        running(service, dsn, broker, folder, downstreams, **stores, **env) as (_, port),
        httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=30) as client,
    ):
        yield client


async def standing_still(
    client: httpx.AsyncClient, *, until: AbstractSet[str] | None = None, at_least: AbstractSet[str] = frozenset()
) -> tuple[int, set[str]]:
    """What the liveness probe says once it names these, and no other where ``until`` is given, or after a minute."""
    told: tuple[int, set[str]] = (0, set())
    try:
        async with asyncio.timeout(60):
            while not told[0] or not told[1] >= at_least or (until is not None and told[1] != until):
                answer = await client.get("/healthz")
                told = (answer.status_code, set(answer.json()["loops_standing_still"]))
                await asyncio.sleep(0.05)  # a probe is asked again and again: that is what it is for
    except TimeoutError:
        pass
    return told


@pytest.mark.parametrize("service", ServiceName)
async def test_every_loop_of_a_service_has_a_pulse(
    service: ServiceName, database: str, broker: Kafka, tmp_path: Path
) -> None:
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
