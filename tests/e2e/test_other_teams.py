"""A request travels to systems that are not ours: a third party by OpenDSR, and a team that erases its own store."""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from deploy.local.services import Servers, Services
from shared.bus.topics import ServiceName
from tests.fakes.bus_responder import Billing

PATIENCE = 40
DOWNSTREAMS = """
[mailing]
adapter = "opendsr"
url = "${MAILING_URL}"
needs = ["email"]

[billing]
adapter = "bus"
needs = ["email"]
ask_again_s = 1
"""


@dataclass
class Company:
    """Intake and erasure, a mailing system and a billing team, each a process of its own."""

    intake: httpx.AsyncClient
    mailing: str
    billing: Child
    store: Path

    def bill(self, email: str, invoices: int) -> None:
        """Let the billing team hold so many invoices of the person with this address."""
        with closing(Billing(str(self.store))) as billing, billing.db:
            billing.db.executemany("INSERT INTO invoice (email, cents) VALUES (?, 100)", [[email]] * invoices)

    def invoices(self, email: str) -> int:
        """How many it holds."""
        with closing(Billing(str(self.store))) as billing:
            return int(billing.look([email]).get("found", 0))

    async def subscriptions(self, email: str) -> int:
        """How many the mailing system holds, as an access request of another controller says."""
        identity = {"identity_type": "email", "identity_value": email, "identity_format": "raw"}
        request_id = str(uuid4())
        request = {
            "regulation": "gdpr",
            "subject_request_id": request_id,
            "subject_request_type": "access",
            "submitted_time": "2026-03-02T12:00:00Z",
            "subject_identities": [identity],
        }
        async with httpx.AsyncClient() as client:
            (await client.post(f"{self.mailing}/requests", json=request)).raise_for_status()
            return int((await client.get(f"{self.mailing}/requests/{request_id}")).json()["results_count"])

    async def submit(self, email: str) -> str:
        """Ask for the erasure of the person with this address."""
        assurance = {"level": "L2", "method": "portal"}
        body = {"right": "erasure", "subject": {"email": email}, "assurance": assurance}
        accepted = await self.intake.post("/v1/requests", json=body)
        return str(accepted.raise_for_status().json()["request_id"])

    async def closed(self, request_id: str) -> dict[str, Any]:
        """Wait until it is closed: its final view."""
        view: dict[str, Any] = {}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            view = (await self.intake.get(f"/v1/requests/{request_id}")).json()
            if view["state"] == "closed":
                return view
            await asyncio.sleep(0.1)  # the API has nothing to await
        raise AssertionError(f"not closed after {PATIENCE} s: {view}")


@pytest.fixture(scope="module")
def processes(run_folder: Path, postgres_dsn: str, template: str) -> Iterator[tuple[Services, str, str, Child, Path]]:
    """Everything started once: the key of a channel, the mailing system's address, the billing team and its store."""
    folder = run_folder / "other teams"
    folder.mkdir()
    (folder / "downstreams.toml").write_text(DOWNSTREAMS)
    name = f"other_teams_{secrets.token_hex(4)}"
    port, kafka = free_port(), Kafka(folder / "kafka")
    mailing = f"http://{HOST}:{port}/v2"
    dsn = databases.wait_for(databases.create(postgres_dsn, name, template))
    with (
        kafka,
        Child(
            "mailing",
            [sys.executable, "-m", "tests.fakes.opendsr_responder", str(port)],
            log=folder / "mailing.log",
            ready=answers(f"{mailing}/discovery"),
            cwd=ROOT,
        ),
    ):
        servers = Servers(dsn, kafka.bootstrap)
        services = Services(
            folder, servers, folder / "downstreams.toml", {"MAILING_URL": mailing}, bus_systems=["billing"]
        )
        services.prepare()
        store = folder / "billing.sqlite"
        command = [sys.executable, "-m", "tests.fakes.bus_responder", "--store", str(store)]
        billing = Child(
            "billing",
            [*command, "--bootstrap", kafka.bootstrap, "--intake", services.url],
            log=folder / "billing.log",
            env={"DSR_API_KEY": services.key("downstream:billing")},
            cwd=ROOT,
        )
        with services.children[ServiceName.INTAKE], services.children[ServiceName.ERASURE], billing:
            yield services, services.key("channel"), mailing, billing, store
    databases.wait_for(databases.drop(postgres_dsn, name))


@pytest.fixture
async def company(processes: tuple[Services, str, str, Child, Path]) -> AsyncIterator[Company]:
    services, key, mailing, billing, store = processes
    authorization = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=services.url, headers=authorization) as intake:
        yield Company(intake, mailing, billing, store)


def counts(view: dict[str, Any]) -> dict[str, tuple[str, int, int, int]]:
    return {
        task["system"]: (task["outcome"], task["found"], task["changed"], task["remaining"]) for task in view["tasks"]
    }


async def test_an_erasure_closes_when_both_have_erased_and_looked_again(company: Company) -> None:
    company.bill("ana@example.com", 3)
    company.bill("bo@example.com", 2)
    view = await company.closed(await company.submit("ana@example.com"))
    assert view["outcome"] == "fulfilled"
    assert counts(view) == {"mailing": ("erased", 1, 1, 0), "billing": ("erased", 3, 3, 0)}
    assert (company.invoices("ana@example.com"), await company.subscriptions("ana@example.com")) == (0, 0)
    assert (company.invoices("bo@example.com"), await company.subscriptions("bo@example.com")) == (2, 1)


async def test_a_person_whom_neither_knows_is_told_so(company: Company) -> None:
    view = await company.closed(await company.submit("nobody@example.com"))
    assert view["outcome"] == "no_data"
    assert {outcome for outcome, *_ in counts(view).values()} == {"no_match"}


async def test_a_team_that_was_killed_works_its_task_once_when_it_is_back(company: Company) -> None:
    company.bill("cem@example.com", 4)
    await asyncio.to_thread(company.billing.kill)
    request_id = await company.submit("cem@example.com")
    await asyncio.to_thread(company.billing.start)
    view = await company.closed(request_id)
    assert counts(view) == {"mailing": ("erased", 1, 1, 0), "billing": ("erased", 4, 4, 0)}
    assert company.invoices("cem@example.com") == 0
