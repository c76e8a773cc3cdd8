"""Systems that come, change and go while people ask: nobody is told "erased" without a system that counts.

To watch the first of these: ``.venv/bin/python -m pytest -s tests/e2e/test_changed_systems.py -k load``.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.local.platform import Platform
from deploy.local.process import ChildFailedError
from shared.domain.topics import ServiceName
from shared.runtime.loops import wait
from shared.storage.grants import FULFILLING
from tests.fixtures import stores
from tests.fixtures.live import eventually, in_part
from tests.fixtures.stack import Stack, once_each, stack
from tests.fixtures.stores import CALLS_EACH, Subject

SUBJECTS = 800
AT_ONCE = 5
PATIENCE_SECONDS = 3
ARCHIVE = '\n[archive]\nadapter = "sql"\nneeds = ["phone"]\ndsn_env = "STORE_ARCHIVE_DSN"\ndataset = "calls.toml"\n'


@pytest.fixture
async def company(platform: Platform, run_folder: Path) -> AsyncIterator[Stack]:
    """All five services over three stores, and a fourth one that they do not know yet."""
    seeded = await stores.seed(platform, "changing", SUBJECTS, run_folder / "changing" / "stores")
    calls = seeded.dsns["calls"].rpartition("/")[2]
    archive = await databases.create(platform.postgres_dsn, "changing_archive", calls)
    env = {"STORE_ARCHIVE_DSN": archive, "DSR_WORK_QUARANTINE_SECONDS": str(PATIENCE_SECONDS)}
    try:
        async with stack(platform, seeded, run_folder / "changing", env) as running:
            yield running
    finally:
        await stores.drop(platform, seeded)
        await databases.drop(platform.postgres_dsn, "changing_archive")


async def roll(company: Stack, *names: ServiceName) -> None:
    """Restarts services one after the other, as a rollout does; they read the downstreams file again."""
    for name in names or FULFILLING:
        child = company.services.children[name]
        await asyncio.to_thread(child.stop)
        await asyncio.to_thread(child.start)


async def dsr(company: Stack, *words: str) -> str:
    """What an operator is told by ``dsr downstreams …``."""
    command = [sys.executable, "-m", "services", "downstreams", *words]
    environment = {**company.services.env, "PATH": "/usr/bin:/bin"}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@asynccontextmanager
async def asking(company: Stack, asked: list[int]) -> AsyncIterator[None]:
    """People who hand in erasures, some at a time, until the block ends."""
    enough = asyncio.Event()

    async def ask() -> None:
        for first in range(0, SUBJECTS, AT_ONCE):
            await company.submit(range(first, first + AT_ONCE))
            asked.extend(range(first, first + AT_ONCE))
            if await wait(enough, 0.5):  # so that there are people for as long as the roll lasts
                return

    working = asyncio.create_task(ask())
    try:
        yield
    finally:
        enough.set()
        await working


async def closed_without_calls(company: Stack) -> int:
    """How many erasures are closed as fulfilled, and the store of calls never said that it erased."""
    return int(
        await company.pool.fetchval(
            "SELECT count(*) FROM intake.request r WHERE r.state = 'closed' AND r.outcome = 'fulfilled'"
            " AND NOT EXISTS ("
            " SELECT 1 FROM evidence.entry e WHERE e.request_id = r.request_id AND e.action = 'task.concluded'"
            " AND e.detail::jsonb ->> 'system' = 'calls' AND e.detail::jsonb ->> 'outcome' = 'erased')"
        )
    )


def show(words: str) -> None:
    sys.stdout.write(f"\n{words}\n")


async def standing(company: Stack, system: str) -> str:
    return str(await company.pool.fetchval("SELECT state FROM downstreams.system WHERE name = $1", system))


async def waiting(company: Stack) -> list[str]:
    rows = await company.pool.fetch("SELECT request_id FROM intake.request WHERE state = 'awaiting_decision'")
    return [str(row[0]) for row in rows]


async def test_one_column_of_a_dataset_changed_under_load_lets_no_erasure_close_as_fulfilled_without_that_store(
    company: Stack,
) -> None:
    asked: list[int] = []
    dataset = company.stores.downstreams.parent / "calls.toml"
    async with asking(company, asked):
        await eventually(company.closed)
        changed = dataset.read_text().replace('callee = { class = "B" }', 'callee = { class = "T" }')
        dataset.write_text(changed)
        await roll(company)
        assert await standing(company, "calls") == "quarantined"
        closed = await company.closed()
        people = await eventually(lambda: waiting(company))
    show(f"quarantined: {closed} of {len(asked)} closed as fulfilled, {len(people)} wait for a person")
    assert await closed_without_calls(company) == 0
    assert await company.closed() < len(asked)

    keys = [await asyncio.to_thread(company.services.key, "privacy") for _ in range(2)]
    async with DsrClient(company.services.url, keys[0]) as officer, DsrClient(company.services.url, keys[1]) as other:
        await in_part(officer, other, people[0])
        partly: dict[str, Any] = await officer.follow(people[0], "closed")
    failures = {task["system"]: task["failure"] for task in partly["tasks"] if "failure" in task}
    assert (partly["outcome"], failures) == ("partially_fulfilled", {"calls": "system_quarantined"})
    assert "calls" in partly["answer"]

    assert "calls  quarantined (changed) since" in await dsr(company, "list")
    await dsr(company, "check", str(company.stores.downstreams))
    assert await dsr(company, "on", "calls") == "calls is on\n"
    await company.all_closed(len(asked) - 1, within=120)
    without = await closed_without_calls(company)
    show(f"accepted: {await company.closed()} closed as fulfilled, {without} of them without calls")
    assert without == 0

    async def all_erased() -> bool:
        return await company.stores.count("calls") == (SUBJECTS - len(asked)) * CALLS_EACH

    await eventually(all_erased)  # also of the one that was closed without
    assert {**await company.effects(), "dead letters": 0} == once_each(len(asked))


async def test_a_new_system_is_only_asked_until_it_is_on_and_no_name_is_forgotten(company: Stack) -> None:
    archive = company.services.env["STORE_ARCHIVE_DSN"]

    async def calls_in_the_archive(number: int) -> int:
        rows = await databases.fetch(archive, "SELECT count(*) FROM call WHERE caller = $1", Subject(number).phone)
        return int(rows[0][0])

    file = company.stores.downstreams
    declared = file.read_text()
    file.write_text(declared + ARCHIVE)
    await roll(company, ServiceName.ERASURE)
    assert await standing(company, "archive") == "observe"
    first = await company.client.submit(Subject(0).submission())
    view = await company.client.follow(first, "closed")
    assert (view["outcome"], {task["system"] for task in view["tasks"]}) == (
        "fulfilled",
        {"customers", "calls", "tickets"},
    )

    async def found() -> bool:
        return bool(await company.pool.fetchval("SELECT count(*) FROM downstreams.finding"))

    await eventually(found)
    assert await calls_in_the_archive(0) == CALLS_EACH
    said = await dsr(company, "on", "archive")
    assert f"{first}  located {CALLS_EACH}" in said
    view = await company.client.follow(await company.client.submit(Subject(1).submission()), "closed")
    assert {task["system"] for task in view["tasks"]} == {"customers", "calls", "tickets", "archive"}
    assert await calls_in_the_archive(1) == 0

    file.write_text((declared + ARCHIVE).replace("[archive]", "[cold-storage]"))
    with pytest.raises(ChildFailedError, match=r"archive: in use until now.*`dsr downstreams retire archive`"):
        await roll(company, ServiceName.ERASURE)
    assert await dsr(company, "retire", "archive") == "archive is retired\n"
    await roll(company, ServiceName.ERASURE)
    assert (await standing(company, "archive"), await standing(company, "cold-storage")) == ("retired", "observe")
