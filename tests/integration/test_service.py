"""A service as a process: works from bus to bus, reports its health, and drains on SIGTERM."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import asyncpg
import httpx
import pytest
from uuid_utils.compat import uuid7

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.ports import HOST, free_port
from deploy.local.process import Child
from deploy.local.services import Servers, Services
from services.intake.access import auth
from shared.domain import topics
from shared.domain.clock import SystemClock
from shared.domain.events import RequestClosed, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.topics import Message, ServiceName
from shared.messaging import outbox
from shared.messaging.producer import KafkaProducer
from shared.runtime.settings import KafkaSettings
from shared.storage import keyring
from shared.storage.postgres import connected
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Vault
from shared.systems.bus.messages import TaskReply, TaskRequested
from tests.fixtures.brokers import read_topic
from tests.fixtures.engine import DUE, SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import FREELY
from tests.fixtures.live import eventually
from tests.fixtures.process import running
from tests.fixtures.stores import Subject
from tests.fixtures.wire import JUNK

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@dataclass
class Erasure:
    """The erasure service with one downstream, a team that is reached over the bus."""

    child: Child
    url: str
    producer: KafkaProducer
    bootstrap: str

    async def task(self) -> TaskRequested:
        """The last task that the team was sent."""
        records = await read_topic(self.bootstrap, topics.tasks("billing"), 1)
        return TaskRequested.model_validate_json(records[-1].value)

    async def reply(self, value: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Replies as the team."""
        await self.producer.send([Message(topics.replies("billing"), str(uuid7()).encode(), value, {**headers})])


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str, template: str) -> Iterator[str]:
    """Creates a database for the service that the tests share."""
    yield databases.wait_for(databases.create(postgres_dsn, "service", template))
    databases.wait_for(databases.drop(postgres_dsn, "service"))


@pytest.fixture(scope="module")
def services(dsn: str, broker: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("erasure")
    (downstreams := folder / "downstreams.toml").write_text('[billing]\nadapter = "bus"\nneeds = ["email"]\n')
    services = Services(folder, Servers(dsn, broker.bootstrap), downstreams, bus_systems=["billing"])
    services.prepare()
    yield services
    services.stop()


@pytest.fixture
async def erasure(services: Services, broker: Kafka) -> AsyncIterator[Erasure]:
    child = services.children[ServiceName.ERASURE]
    await asyncio.to_thread(child.start)
    producer = KafkaProducer(KafkaSettings(bootstrap=broker.bootstrap))
    yield Erasure(child, services.url_of(ServiceName.ERASURE), producer, broker.bootstrap)
    await producer.stop()


async def subject(dsn: str, keys: Path, clock: SetClock) -> UUID:
    ref, vault = uuid7(), Vault(keyring.load(keys))
    async with connected(dsn) as connection:
        said = SubjectData((Identity(IdentityType.EMAIL, "ada@example.org", level="L2"),))
        await vault.insert_subjects(connection, [vault.new_subject(ref, said, clock.now())])
    return ref


def reply_to(task: TaskRequested, outcome: str, **counts: int) -> bytes:
    """Returns the team's reply to a task."""
    answered = {"command_id": str(task.command_id), "task_id": str(task.task_id), "operation": task.operation}
    reply = TaskReply.model_validate_json(json.dumps({**answered, "outcome": outcome, **counts}))
    return reply.model_dump_json().encode()


async def test_erasure_runs_over_the_bus(erasure: Erasure, services: Services, dsn: str, clock: SetClock) -> None:
    ref, request = await subject(dsn, services.keyring, clock), uuid7()
    verified = a(RequestVerified, about=request, right=Right.ERASURE, subject=ref, due_on=DUE)
    said = outbox.message(verified, ServiceName.INTAKE, TRACE)
    await erasure.producer.send([said, said])
    task = await erasure.task()
    assert (task.request_id, task.due_on) == (request, DUE)
    await erasure.reply(b'{"type": "dsr.task.replied.v1", "name": "Ada Lovelace"}', JUNK)
    await erasure.reply(reply_to(task, "erased", found=3, changed=3))
    commands = await read_topic(erasure.bootstrap, topics.tasks("billing"), 2)
    look_again = TaskRequested.model_validate_json(commands[-1].value)
    assert look_again.operation is Operation.LOCATE
    await erasure.reply(reply_to(look_again, "no_match"))
    [completed] = await read_topic(erasure.bootstrap, "dsr.completions.erasure", 1)
    event = json.loads(completed.value)
    assert (event["request_id"], event["outcome"]) == (str(request), "fulfilled")
    assert [(t["system"], t["found"], t["changed"], t["remaining"]) for t in event["tasks"]] == [("billing", 3, 3, 0)]
    assert completed.headers["traceparent"] == TRACE
    [letter] = await read_topic(erasure.bootstrap, "dsr.dead-letters.erasure", 1)
    assert letter.headers["dsr_reason"] == "malformed_reply"

    closed = a(RequestClosed, about=request, right=Right.ERASURE, subject=ref, outcome=Outcome.FULFILLED)
    await erasure.producer.send([outbox.message(closed, ServiceName.INTAKE, None)])
    async with connected(dsn) as connection:
        await eventually(partial(connection.fetchval, "SELECT shredded_at FROM vault.subject"))
        actions = await connection.fetch("SELECT action FROM evidence.entry ORDER BY seq")
    assert [row[0] for row in actions] == [
        *("fulfilment.opened", "task.concluded", "suppression.added", "key.shredded")
    ]
    assert "Lovelace" not in erasure.child.log.read_text()
    assert "example.org" not in erasure.child.log.read_text()


async def test_it_is_alive_but_not_ready_without_a_broker_and_ends_in_order(erasure: Erasure, broker: Kafka) -> None:
    async with httpx.AsyncClient(base_url=erasure.url, timeout=40) as http:
        assert (await http.get("/healthz")).json() == {"loops_standing_still": []}
        assert (await http.get("/readyz")).json() == {"database": True, "broker": True, "loops": True}
        assert "dsr_outbox_relayed_total" in (await http.get("/metrics")).text
        await asyncio.to_thread(broker.kill)
        ready = await http.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"database": True, "broker": False, "loops": True})
        assert (await http.get("/healthz")).status_code == 200
        await asyncio.to_thread(broker.start)

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually(is_ready)
    assert await asyncio.to_thread(erasure.child.stop) == 0
    assert "Traceback" not in erasure.child.log.read_text()


EACH = """
import json, os, sys
import services.erasure.retention.run, shared.app.service  # takes long, so once for all
from services.cli.main import main

changes, sys.argv[1:] = json.loads(sys.argv[1]), ["run", "erasure"]
for number, change in enumerate(changes):
    if not os.fork():
        os.dup2(os.open(str(number), os.O_WRONLY | os.O_CREAT), 2)
        os.environ.update(change)
        main()
print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in changes])
"""


async def what_erasure_says(dsn: str, broker: Kafka, folder: Path, changes: Sequence[Mapping[str, str]]) -> list[str]:
    """Starts erasure with each of these settings, with which it cannot; returns what it says."""
    services = Services(folder, Servers(dsn, broker.bootstrap), folder / "downstreams.toml")
    keyring.create(services.keyring)
    each = [{"DSR_HTTP_PORT": str(free_port()), **change} for change in changes]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", EACH, json.dumps(each)),
        cwd=folder,
        env={**os.environ, **services.env, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert output.decode().splitlines()[-1] == str([1] * len(each))
    return [(folder / str(number)).read_text() for number in range(len(each))]


CANNOT_START: list[tuple[dict[str, str], str]] = [
    ({"DSR_HTTP_PORT": "http"}, "DSR_HTTP_PORT holds 'http': set it to a whole number from 1 up to 65535"),
    ({"DSR_HTTP_HOST": "192.0.2.1"}, "where we cannot listen (Cannot assign requested address): set them to a"),
    ({"DSR_TELEMETRY_LOG_LEVEL": "LOUD"}, "DSR_TELEMETRY_LOG_LEVEL holds 'LOUD': set it to DEBUG or INFO or"),
    ({"DSR_VAULT_KEYRING": "/nowhere/keyring.json"}, "DSR_VAULT_KEYRING holds '/nowhere/keyring.json': set it to"),
    (
        {"DSR_POSTGRES_DSN": "postgresql://u:known-to-two@127.0.0.1:1/dsr"},
        "no database for us at 127.0.0.1:1/dsr, where DSR_POSTGRES_DSN says (Connection",
    ),
    ({"DSR_KAFKA_BOOTSTRAP": "127.0.0.1:1"}, "no broker for us at 127.0.0.1:1 (Kafka"),
    ({"DSR_WORK_DOWNSTREAMS": "/nowhere/downstreams.toml"}, "point DSR_WORK_DOWNSTREAMS at a file"),
]


async def test_what_it_cannot_start_with_is_said_in_one_line(
    database: str, empty_database: str, broker: Kafka, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    with socket.create_server((HOST, 0)) as occupied:
        port = str(occupied.getsockname()[1])
        used = f"; DSR_HTTP_HOST and DSR_HTTP_PORT hold {HOST} and {port}, where we cannot listen (Address already in"
        rows = [
            *CANNOT_START,
            ({"DSR_HTTP_PORT": port}, f"{used} use): set them to a free one\n"),
            ({"DSR_POSTGRES_DSN": empty_database}, "lacks the schema: run `dsr migrate`\n"),
        ]
        messages = await what_erasure_says(database, broker, tmp_path, [change for change, _ in rows])
    for message, (_, said) in zip(messages, rows, strict=True):
        with subtests.test(said):
            assert message.startswith("dsr-erasure cannot start; ")
            assert said in message
            assert "Traceback" not in message
            assert "known-to-two" not in message
            assert message.count("\n") == 1


async def test_submissions_wait_without_a_broker(database: str, broker: Kafka, tmp_path: Path) -> None:
    away = {"DSR_KAFKA_BOOTSTRAP": f"{HOST}:1"}
    async with running(ServiceName.INTAKE, database, broker, tmp_path, **away) as (child, port):
        key = await auth.create(database, "channel", "portal", SystemClock().now(), FREELY)
        async with DsrClient(f"http://{HOST}:{port}", key) as client:
            request_id = await client.submit(Subject(1).submission())
        async with connected(database) as connection:
            waiting = await connection.fetch("SELECT convert_from(key, 'UTF8') FROM intake.outbox")
    assert {row[0] for row in waiting} == {request_id}
    assert f"no broker for us at {HOST}:1 (KafkaConnectionError): start it" in child.tail(100)


# A stopping service keeps its port open for a while, and answers open calls.

TIMEOUT_SECONDS = 60


@dataclass
class Door:
    """Intake as a process that lingers, and is stopped, as the test says."""

    child: Child
    port: int
    key: str

    def client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(base_url=f"http://{HOST}:{self.port}", headers=headers, timeout=TIMEOUT_SECONDS)

    async def leaving(self) -> None:
        """Tells it to stop, and returns when its readiness says so."""
        self.child.signal(signal.SIGTERM)
        async with self.client() as client, asyncio.timeout(TIMEOUT_SECONDS):
            while (await client.get("/readyz")).status_code != httpx.codes.SERVICE_UNAVAILABLE:
                pass

    async def left(self) -> int | None:
        return await asyncio.to_thread(self.child.wait, TIMEOUT_SECONDS)


@pytest.fixture
async def door(database: str, broker: Kafka, tmp_path: Path) -> AsyncIterator[Door]:
    lingers = {"DSR_HTTP_LINGER_SECONDS": "10", "DSR_PROCESS_DRAIN_SECONDS": "3"}
    async with running(ServiceName.INTAKE, database, broker, tmp_path, **lingers) as (child, port):
        yield Door(child, port, await auth.create(database, "channel", "portal", SystemClock().now(), FREELY))


@asynccontextmanager
async def kept_waiting(client: httpx.AsyncClient, database: str) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """A submission that is under way and cannot be stored until the block ends."""
    locking = await asyncpg.connect(database)
    async with locking.transaction():
        await locking.execute("LOCK TABLE intake.request IN ACCESS EXCLUSIVE MODE")
        under_way = asyncio.create_task(client.post("/v1/requests", json=Subject(0).submission()))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not await locking.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not under_way.done(), under_way.result().text
        yield under_way
    await locking.close()


async def test_open_calls_are_answered_before_the_end(door: Door, database: str, subtests: pytest.Subtests) -> None:
    reader, writer = await asyncio.open_connection(HOST, door.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: intake\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readuntil(b"}")
    async with door.client() as client:
        async with kept_waiting(client, database) as under_way:
            await door.leaving()
        answered = await under_way
        late = await client.post("/v1/requests", json=Subject(1).submission())
        async with kept_waiting(client, database) as too_long:
            status = await door.left()
            given_up = await too_long
    ((there, waiting),) = await databases.fetch(
        database, "SELECT (SELECT count(*) FROM intake.request), (SELECT count(*) FROM intake.outbox)"
    )
    with subtests.test("what was under way is answered, and what comes soon after"):
        answers = [(each.status_code, each.headers.get("connection")) for each in (answered, late)]
        assert answers == [(201, "close"), (201, "close")]
    with subtests.test("what takes too long is given up"):
        assert (given_up.status_code, given_up.headers["connection"]) == (503, "close")
        assert "given up after" in door.child.log.read_text()
    with subtests.test("an idle connection is closed and not reset"):
        assert await reader.read() == b""
        assert b"connection: close" not in head
    writer.close()
    assert (there, waiting, status) == (2, 0, 0)
