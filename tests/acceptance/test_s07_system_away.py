"""Scenario 7: the call records are away; the prompt comes a week before the due date; a partial answer names them."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from services.deadline import statistics
from services.export import handlers as export
from shared.domain import events
from shared.domain.errors import Unavailable
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match
from shared.domain.time_limit import end_of
from shared.domain.topics import ServiceName, Topic
from shared.downstreams.contract import Receipt, Record
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.engine import Answer, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.intake import Intake
from tests.fixtures.told import told
from tests.integration.deadline.conftest import PLANS, POLICY
from tests.integration.deadline.conftest import Harness as Deadlines

HEARD_BY_INTAKE = (
    *(events.FulfilmentCompleted, events.FulfilmentBlocked, events.FulfilmentReported),
    *(events.DeadlineApproaching, events.DeadlineOverdue),
)


def gives(value: str) -> Answer:
    found = Record("calls", "cdrs", {"value": value}, matched=(Match("email", "ada@example.org"),))
    return each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, records=(found,)))


class Company:
    """Intake, export and deadline over one database, and what each hears of the others."""

    def __init__(self, intake: Intake, export: Harness, deadline: Deadlines) -> None:
        self.intake, self.export, self.deadline = intake, export, deadline
        self._heard = dict.fromkeys(("intake", "export", "deadline"), -1)

    async def deliver(self) -> None:
        """Lets everybody hear what was said since, until nobody says anything more."""
        pools = {"intake": self.intake.unit_of_work.pool, "export": self.export.pool, "deadline": self.deadline.pool}
        while said := [event for name in pools for event in await self._said(name, pools[name])]:
            for event in said:
                await self._hear(event)

    async def _said(self, name: str, pool: Any) -> list[events.Event]:
        query = "SELECT position, value FROM outbox WHERE position > $1 ORDER BY position"
        rows = await pool.fetch(query, self._heard[name])
        self._heard[name] = max([self._heard[name], *(row["position"] for row in rows)])
        return [events.EVENT_TYPES[json.loads(row["value"])["type"]].model_validate_json(row["value"]) for row in rows]

    async def _hear(self, event: events.Event) -> None:
        if isinstance(event, HEARD_BY_INTAKE):
            await self.intake.consume(event)
        async with self.export.unit_of_work.begin() as tx:
            handlers: dict[type[events.Event], Any] = {
                events.RequestVerified: partial(fulfilling.begin, Operation.EXPORT, self.export.fulfilments),
                events.AnswerDecided: export.answer,
                events.RequestClosed: export.close,
            }
            if handle := handlers.get(type(event)):
                await handle([event], tx)
        if event.topic is not Topic.DEADLINES:
            await self.deadline.hears(event)

    async def open_in_the_figures(self) -> float:
        """How many requests are open, as the privacy team sees it."""
        async with self.deadline.pool.acquire() as connection:
            await statistics.count(connection, self.deadline.now, POLICY)
        return sum(told("dsr_requests_open", right="access", age=age) or 0 for age in statistics.AGES)

    async def package(self, path: str) -> dict[str, Any]:
        """What the subject fetches."""
        fetched = (await self.intake.channel.get(f"{path}/package")).raise_for_status()
        with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
            content: dict[str, Any] = json.loads(archive.read("data.json"))
            return content


@pytest.fixture
async def company(
    intake: Intake, open_harness: OpenHarness, database: str, clock: SetClock, keys: Keyring
) -> AsyncIterator[Company]:
    crm = ScriptedSystem("crm", answers={Operation.EXPORT: gives("Ada")})
    cdr = ScriptedSystem("cdr", answers={Operation.EXPORT: each(lambda _: Unavailable("it does not answer"))})
    harness = await open_harness(crm, cdr, service=ServiceName.EXPORT)
    harness.concludes = {Operation.EXPORT: export.finish}
    async with await connect_pool(PostgresSettings(dsn=database), ServiceName.DEADLINE) as pool:
        unit_of_work = UnitOfWorkFactory(pool, ServiceName.DEADLINE, clock, Vault(keys))
        yield Company(intake, harness, Deadlines(unit_of_work, Fulfilments(PLANS), clock))


async def test_a_system_that_is_away_is_prompted_for_in_time_and_answered_without_and_owed(
    company: Company, clock: SetClock
) -> None:
    intake, deadline = company.intake, company.deadline
    path = await intake.submit()
    await company.deliver()
    await company.export.worker("crm", Operation.EXPORT).work()
    for _ in range(3):
        assert await company.export.worker("cdr", Operation.EXPORT).work() == 1
        clock.pass_by(hours=1)
    await company.deliver()
    view = await intake.view(path)
    assert (view["state"], view["package"], await intake.letters(path)) == ("in_progress", False, [])

    [row] = await deadline.pool.fetch("SELECT due_on, zones FROM clock")
    week_before = end_of(row["due_on"] - timedelta(days=8), tuple(row["zones"].split(",")))
    await deadline.sweeps(at=week_before)
    await company.deliver()
    assert "extend_or_answer" in await deadline.tickets()
    assert (await intake.view(path))["warning"] == "due_in_7_days"

    await intake.decide(path, reason="SYSTEM_UNAVAILABLE")
    await company.deliver()
    view, [letter] = await intake.view(path), await intake.letters(path)
    assert (view["outcome"], letter["kind"]) == ("partially_fulfilled", "partial")
    assert "not, or not completely, in: cdr." in letter["body"]
    assert (await company.package(path))["missing"] == ["cdr"]
    assert await company.open_in_the_figures() == 1
    await deadline.sweeps(at=clock.at + timedelta(days=30))
    assert [words for said in (await deadline.said()).values() for words in said][-1] == "overdue statutory"

    company.export.systems["cdr"].answers = {Operation.EXPORT: gives("+442079460000")}
    assert await company.export.worker("cdr", Operation.EXPORT).work() == 1
    await company.deliver()
    whole = await company.package(path)
    assert ({piece["system"] for piece in whole["records"]}, "missing" in whole) == ({"crm", "cdr"}, False)
    assert await company.open_in_the_figures() == 0
    assert [letter["kind"] for letter in await intake.letters(path)] == ["partial", "completion"]
    assert (await intake.view(path))["answer"].endswith("A part of it was done after your request had been closed.")
