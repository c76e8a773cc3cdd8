"""A request travels to systems that are not ours: a third party by OpenDSR, and a team that erases its own store."""

import asyncio
import io
import json
import secrets
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_port
from deploy.local.process import Child
from deploy.local.services import Servers, Services
from shared.domain.topics import ServiceName
from shared.downstreams.conformance.people import PREFIX
from shared.storage import certificate
from tests.fakes.bus_responder import Billing
from tests.fixtures.live import recorded

DOWNSTREAMS = """
[mailing]
adapter = "opendsr"
url = "${MAILING_URL}"
needs = ["email"]

[billing]
adapter = "bus"
needs = ["email"]
categories = ["account"]
operations = ["erase", "export"]
fields = { number = "T", email = "A", cents = "M" }
ask_again_s = 1
grounds = ["tax_law"]
"""

SEED = """
import json, sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=30) as store:
    email = json.load(sys.stdin)["email"]
    store.executemany("INSERT INTO invoice (email, cents) VALUES (?, 100)", [[email]] * 3)
print(3)
"""
TAX = "because contracts and invoices are needed for tax purposes and to defend legal claims (Art. 17(1)(a) GDPR)"


@dataclass
class Company:
    """Intake, erasure, export and deadline, a mailing system and a billing team, each a process of its own."""

    intake: DsrClient
    billing: Child
    store: Path
    dsn: str
    public_key: bytes

    def bill(self, email: str, invoices: int, keep_until: date | None = None) -> None:
        """Let the billing team hold so many invoices of the person with this address, to be kept until that day."""
        day = keep_until.isoformat() if keep_until else None
        with closing(Billing(str(self.store))) as billing, billing.db:
            statement = "INSERT INTO invoice (email, cents, keep_until) VALUES (?, 100, ?)"
            billing.db.executemany(statement, [[email, day]] * invoices)

    async def let_the_day_pass(self, request_id: str, email: str) -> None:
        """Let the day until which invoices are kept be over: for the team, and for the deadline service."""
        with closing(Billing(str(self.store))) as billing, billing.db:
            billing.db.execute("UPDATE invoice SET keep_until = '2026-01-01' WHERE email = ?", [email])
        moved = "UPDATE deadline.deferral SET due_at = '2026-01-02' WHERE request_id = $1"
        await databases.fetch(self.dsn, moved, request_id)

    async def has_key(self, request_id: str) -> bool:
        """Whether the subject of a request can still be found."""
        held = "SELECT wrapped_key IS NOT NULL FROM vault.subject JOIN intake.request USING (subject_ref)"
        return bool((await databases.fetch(self.dsn, f"{held} WHERE request_id = $1", request_id))[0][0])

    def invoices(self, email: str) -> int:
        """How many it holds."""
        with closing(Billing(str(self.store))) as billing:
            return int(billing.look([email]).get("found", 0))

    async def submit(self, email: str) -> str:
        """Ask for the erasure of the person with this address."""
        assurance = {"level": "L2", "method": "portal"}
        return await self.intake.submit({"right": "erasure", "subject": {"email": email}, "assurance": assurance})

    async def erased(self, email: str) -> dict[str, Any]:
        """Ask for it, and wait until it is closed: its final view."""
        return await self.intake.follow(await self.submit(email), "closed")


@pytest.fixture(scope="module")
def processes(run_folder: Path, postgres_dsn: str, template: str) -> Iterator[tuple[Services, str, Child, Path]]:
    """Everything started once: the key of a channel, the billing team and its store."""
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
        children = services.children
        started = (ServiceName.INTAKE, ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.DEADLINE)
        with ExitStack() as stack:
            for child in (*(children[name] for name in started), billing):
                stack.enter_context(child)
            yield services, services.key("channel"), billing, store
    databases.wait_for(databases.drop(postgres_dsn, name))


@pytest.fixture
async def company(processes: tuple[Services, str, Child, Path]) -> AsyncIterator[Company]:
    services, key, billing, store = processes
    async with DsrClient(services.url, key) as intake:
        yield Company(intake, billing, store, services.env["DSR_POSTGRES_DSN"], services.public_key)


def counts(view: dict[str, Any]) -> dict[str, tuple[str, int, int, int]]:
    return {
        task["system"]: (task["outcome"], task["found"], task["changed"], task["remaining"]) for task in view["tasks"]
    }


async def test_an_erasure_closes_when_both_have_erased_and_looked_again_and_leaves_nothing_to_find(
    company: Company,
) -> None:
    company.bill("ana@example.com", 3)
    company.bill("bo@example.com", 2)
    view = await company.erased("ana@example.com")
    assert view["outcome"] == "fulfilled"
    assert counts(view) == {"mailing": ("erased", 1, 1, 0), "billing": ("erased", 3, 3, 0)}
    again, other = await company.erased("ana@example.com"), await company.erased("bo@example.com")
    assert again["outcome"] == "no_data"
    assert counts(again) == {"mailing": ("no_match", 0, 0, 0), "billing": ("no_match", 0, 0, 0)}
    assert counts(other) == {"mailing": ("erased", 1, 1, 0), "billing": ("erased", 2, 2, 0)}


async def test_a_team_that_was_killed_works_its_task_once_when_it_is_back(company: Company) -> None:
    company.bill("cem@example.com", 4)
    await asyncio.to_thread(company.billing.kill)
    request_id = await company.submit("cem@example.com")
    await asyncio.to_thread(company.billing.start)
    view = await company.intake.follow(request_id, "closed")
    assert counts(view) == {"mailing": ("erased", 1, 1, 0), "billing": ("erased", 4, 4, 0)}
    assert company.invoices("cem@example.com") == 0


async def test_what_a_team_had_to_keep_is_erased_when_its_day_is_over_and_only_then_the_key_goes(
    company: Company,
) -> None:
    company.bill("dina@example.com", 2)
    company.bill("dina@example.com", 3, keep_until=date(2036, 12, 31))
    view = await company.erased("dina@example.com")
    request_id = view["request_id"]
    assert view["outcome"] == "partially_fulfilled"
    assert counts(view) == {"mailing": ("no_match", 0, 0, 0), "billing": ("retained", 5, 2, 3)}
    assert f"In billing, 3 records (invoices) are kept until 31 December 2036 {TAX}" in view["answer"]
    for action in ("key.kept", "erasure.deferred"):
        await recorded(company.intake, request_id, action)
    assert (await company.has_key(request_id), company.invoices("dina@example.com")) == (True, 3)

    await company.let_the_day_pass(request_id, "dina@example.com")
    await recorded(company.intake, request_id, "erasure.deferred_completed")
    entries = await recorded(company.intake, request_id, "erasure.executed")
    assert (await company.has_key(request_id), company.invoices("dina@example.com")) == (False, 0)
    actions = [entry["action"] for entry in entries]
    once = ("erasure.deferred", "erasure.due", "erasure.executed", "erasure.deferred_completed", "key.shredded")
    assert {action: actions.count(action) for action in once} == dict.fromkeys(once, 1)
    tasks = {
        e["detail"]["task_id"] for e in entries if e["detail"].get("system") == "billing" and "task_id" in e["detail"]
    }
    assert len(tasks) == 2
    view = await company.intake.follow(request_id, "closed")
    assert f"What was kept in billing until 31 December 2036 {TAX}, has been erased." in view["answer"]
    assert counts(view) == {"mailing": ("no_match", 0, 0, 0), "billing": ("erased", 5, 5, 0)}
    signed = await company.intake.read(request_id, "/certificate")
    assert (certificate.verify(signed, company.public_key), signed["request"]["answer"]) == ([], view["answer"])
    assert "erasure.deferred_completed" in {entry["action"] for entry in signed["entries"]}


async def test_a_copy_that_a_team_uploads_is_in_the_package_and_lies_nowhere_else(company: Company) -> None:
    company.bill("fay@example.com", 4)
    company.bill("gil@example.com", 1)
    subject = {"email": "fay@example.com"}
    assurance = {"level": "L2", "method": "portal"}
    request_id = await company.intake.submit({"right": "access", "subject": subject, "assurance": assurance})
    view = await company.intake.follow(request_id, "closed")
    assert view["outcome"] == "fulfilled"
    with zipfile.ZipFile(io.BytesIO(await company.intake.download(request_id, "package"))) as archive:
        rows = [json.loads(line) for line in archive.read("data.jsonl").splitlines()]
    theirs = [row["data"] for row in rows if row["system"] == "billing"]
    assert theirs == [{"email": "fay@example.com", "cents": 100}] * 4
    assert {row["source"] for row in rows if row["system"] == "billing"} == {"billing.invoice"}
    await recorded(company.intake, request_id, "result.uploaded")
    left = "SELECT count(*) FROM vault.sealed WHERE kind IN ('upload', 'records')"
    assert (await databases.fetch(company.dsn, left))[0][0] == 0
    signed = await company.intake.read(request_id, "/certificate")
    assert certificate.verify(signed, company.public_key) == []


async def test_a_team_is_examined_through_the_platform_around_it_and_nobody_invented_is_left(
    company: Company, processes: tuple[Services, str, Child, Path]
) -> None:
    services, _, _, store = processes
    before = "SELECT count(*) FROM vault.subject"
    people = (await databases.fetch(company.dsn, before))[0][0]
    seed = json.dumps([sys.executable, "-I", "-S", "-c", SEED, str(store)])
    (file := store.parent / "examined.toml").write_text(
        f"{DOWNSTREAMS}[billing.conformance]\nseed = {{ command = {seed} }}\nwithin_s = 30\n"
    )
    said = await asyncio.to_thread(services.command, "conformance", str(file), "--system", "billing", "--json")
    found = {check: each["word"] for check, each in json.loads(said)["billing"].items()}
    left_out = {"rectified", "restricted", "suppressed", "missing permission named", "row of two people"}
    left_out |= {"empty field filled", "statement beside"}
    assert {found.pop(check) for check in left_out} == {"not declared", "skipped"}
    assert set(found.values()) == {"yes"}, found
    assert (await databases.fetch(company.dsn, before))[0][0] == people
    with closing(Billing(str(store))) as billing:
        assert billing.db.execute(f"SELECT count(*) FROM invoice WHERE email LIKE '{PREFIX}%'").fetchone()[0] == 0
