"""With the rights of the manifests and no others, at the broker and in the database, every right runs to its end."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from deploy.local.services import Servers, Services
from shared.domain import topics
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.domain.topics import ServiceName
from shared.downstreams.bus.messages import TaskRequested
from shared.messaging.producer import KafkaProducer
from shared.storage import grants, keyring
from shared.storage.migrate import migrate
from tests.fixtures import stores
from tests.fixtures.guarded import Guarded, guarded_broker
from tests.fixtures.live import EVERY_RIGHT, LONG_AGO, move
from tests.fixtures.policy import NOTHING_KEPT
from tests.fixtures.stores import Subject

TEAM = "billing"
DECLARED = f'\n[{TEAM}]\nadapter = "bus"\nneeds = ["email"]\n'


@dataclass(frozen=True)
class Confined:
    """The five services, each with a user at the broker and a role in the database of its own."""

    services: Services
    broker: Guarded
    owner_dsn: str
    passwords: dict[ServiceName, str]


@pytest.fixture(scope="module")
def confined(platform: Platform, run_folder: Path) -> Iterator[Confined]:
    folder = run_folder / "confined"
    dsn = databases.wait_for(databases.create(platform.postgres_dsn, "confined"))
    seeded = databases.wait_for(stores.seed(platform, "confined", len(EVERY_RIGHT) + 1, folder / "stores"))
    with seeded.downstreams.open("a") as file:
        file.write(DECLARED)
    passwords = {service: secrets.token_hex(8) for service in ServiceName}
    with guarded_broker(folder / "kafka", {TEAM: [Operation.ERASE]}) as broker:
        env_of = {
            service: {
                **broker.env_of(f"dsr-{service}"),
                "DSR_POSTGRES_DSN": databases.as_role(dsn, grants.role(service), passwords[service]),
            }
            for service in ServiceName
        }
        servers = Servers(dsn, broker.bootstrap)
        services = Services(
            folder / "services", servers, seeded.downstreams, {**seeded.env, **NOTHING_KEPT}, [TEAM], env_of
        )
        services.directory.mkdir(parents=True)
        keyring.create(services.keyring)
        databases.wait_for(make_roles(dsn, passwords))
        databases.wait_for(migrate(dsn))
        services.open_portal({})
        try:
            services.start_prepared()
            yield Confined(services, broker, dsn, passwords)
        finally:
            services.stop()
            databases.wait_for(drop_roles(dsn, passwords))


async def make_roles(dsn: str, passwords: dict[ServiceName, str]) -> None:
    for service, password in passwords.items():
        await databases.fetch(dsn, f"CREATE ROLE {grants.role(service)} LOGIN PASSWORD '{password}'")


async def drop_roles(dsn: str, passwords: dict[ServiceName, str]) -> None:
    for service in passwords:
        await databases.fetch(dsn, f"DROP OWNED BY {grants.role(service)}")
        await databases.fetch(dsn, f"DROP ROLE {grants.role(service)}")


@asynccontextmanager
async def team(broker: Guarded) -> AsyncIterator[None]:
    """A team with its own user that hears its tasks and answers that it knows nobody."""
    settings = broker.as_user(f"dsr-team-{TEAM}")
    reading: Any = {"group_id": f"team-{TEAM}", "auto_offset_reset": "earliest", **settings.client()}
    consumer = AIOKafkaConsumer(topics.tasks(TEAM), **reading)
    producer = KafkaProducer(settings)

    async def answer() -> None:
        async for record in consumer:
            task = TaskRequested.model_validate_json(record.value)
            same = {"command_id": str(task.command_id), "task_id": str(task.task_id), "operation": task.operation}
            reply = json.dumps({"type": "dsr.task.replied.v1", **same, "outcome": "no_match"}).encode()
            await producer.send([Message(topics.replies(TEAM), record.key, reply)])

    async with consumer:
        answering = asyncio.create_task(answer())
        try:
            yield
        finally:
            answering.cancel()
            await asyncio.wait([answering])
            await producer.stop()


async def test_every_right_is_fulfilled_with_no_more_rights_than_the_manifests_give(confined: Confined) -> None:
    services = confined.services
    privacy = DsrClient(services.url, services.key("privacy"))
    async with team(confined.broker), privacy, DsrClient(services.url, services.key("channel")) as client:
        ids = {
            right: await client.submit(Subject(number).submission(right, **more))
            for number, (right, more) in enumerate(EVERY_RIGHT.items())
        }
        for right in EVERY_RIGHT.keys() - {"erasure"}:  # the bus knows no other, so a person asks the team
            await client.follow(ids[right], "awaiting_decision")
            await move(privacy, ids[right], "task-result", system=TEAM, found=0, changed=0)
        views = {right: await client.follow(request_id, "closed") for right, request_id in ids.items()}

    assert {right: view["outcome"] for right, view in views.items()} == dict.fromkeys(EVERY_RIGHT, "fulfilled")
    answered = {task["system"]: task["outcome"] for task in views["erasure"]["tasks"]}
    assert answered == {"customers": "erased", "calls": "erased", "tickets": "erased", TEAM: "no_match"}


async def test_a_request_that_comes_near_its_end_is_warned_of_with_these_rights(confined: Confined) -> None:
    services = confined.services
    late = Subject(len(EVERY_RIGHT)).submission("access", assurance=None, received_at=LONG_AGO)
    async with DsrClient(services.url, services.key("channel")) as client:
        request_id = await client.submit(late)
        view = await client.follow(request_id, lambda view: view["warning"] == "overdue_statutory")
    assert (view["state"], view["warning"]) == ("awaiting_identity", "overdue_statutory")


async def test_each_service_is_connected_as_itself_and_as_nobody_else(confined: Confined) -> None:
    rows = await databases.fetch(
        confined.owner_dsn,
        "SELECT DISTINCT application_name, usename FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'dsr-%'",
    )
    connected = {(application.removesuffix("-lease"), user) for application, user in rows}
    assert connected == {(f"dsr-{service}", grants.role(service)) for service in ServiceName}
