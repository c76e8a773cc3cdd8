"""Intake, export and deadline over one database of a scenario, each of which hears what the others say."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from services.deadline import statistics
from services.export import handlers as export
from shared.domain import events
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName, Topic
from shared.fulfilment import handlers as fulfilling
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage.keyring import Keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.intake import Intake
from tests.fixtures.packages import described, exporting, pack, unpacked
from tests.fixtures.told import told
from tests.integration.deadline.conftest import PLANS, POLICY
from tests.integration.deadline.conftest import Harness as Deadlines

HEARD_BY_INTAKE = (
    *(events.FulfilmentCompleted, events.FulfilmentBlocked, events.FulfilmentReported),
    *(events.DeadlineApproaching, events.DeadlineOverdue, events.ControllerSilent),
    events.RecipientSilent,
)


class Company:
    """Intake, export and deadline over one database, and what each hears of the others."""

    def __init__(self, intake: Intake, export: Harness, deadline: Deadlines) -> None:
        self.intake, self.export, self.deadline = intake, export, deadline
        self._heard = dict.fromkeys(("intake", "export", "deadline"), -1)

    async def deliver(self) -> None:
        """Lets everybody hear what was said since, until nobody says anything more."""
        while said := await self._news():
            for event in said:
                await self._hear(event)

    async def _news(self) -> list[events.Event]:
        await pack(self.export)
        pools = {"intake": self.intake.unit_of_work.pool, "export": self.export.pool, "deadline": self.deadline.pool}
        return [event for name in pools for event in await self._said(name, pools[name])]

    async def _said(self, name: str, pool: Any) -> list[events.Event]:
        query = "SELECT position, value FROM outbox WHERE position > $1 AND topic <> 'dsr.status' ORDER BY position"
        rows = await pool.fetch(query, self._heard[name])
        self._heard[name] = max([self._heard[name], *(row["position"] for row in rows)])
        return [events.EVENT_TYPES[json.loads(row["value"])["type"]].model_validate_json(row["value"]) for row in rows]

    async def _hear(self, event: events.Event) -> None:
        if isinstance(event, HEARD_BY_INTAKE):
            await self.intake.consume(event)
        async with self.export.unit_of_work.begin() as tx:
            handlers: dict[type[events.Event], Any] = {
                events.RequestVerified: partial(fulfilling.begin, _operation(event), self.export.fulfilments),
                events.AnswerDecided: partial(export.answer, self.export.fulfilments),
                events.RequestClosed: export.close,
            }
            if handle := handlers.get(type(event)):
                await handle([event], tx)
        if Topic.DEADLINES not in event.topics.values():
            await self.deadline.hears(event)

    async def open_in_the_figures(self) -> float:
        """How many requests are open, as the privacy team sees it."""
        async with self.deadline.pool.acquire() as connection:
            await statistics.count(connection, self.deadline.now, POLICY)
        return sum(told("dsr_requests_open", right="access", age=age) or 0 for age in statistics.AGES)

    async def work(self) -> None:
        """Lets every worker of the copies work, and everybody hear of it, until nothing is left to be done."""
        await self.deliver()
        while any([await self.export.worker(*each).work() for each in self._workers()]):
            await self.deliver()

    def _workers(self) -> list[tuple[str, Operation]]:
        plans = self.export.fulfilments.plans
        stages = (*plans[Operation.EXPORT], *plans[Operation.RECTIFY])
        return list(dict.fromkeys((step.system, step.operation) for stage in stages for step in stage))

    async def said_anywhere(self) -> list[bytes]:
        """Everything that was ever put on the bus, with keys and headers, and every detail of the evidence."""
        pools = (self.intake.unit_of_work.pool, self.export.pool, self.deadline.pool)
        said = [row for pool in pools for row in await pool.fetch("SELECT key, value, headers FROM outbox")]
        evidence = await self.export.pool.fetch("SELECT convert_to(detail, 'UTF8') FROM evidence.entry")
        return [part for row in (*said, *evidence) for part in row]

    async def files(self, path: str) -> dict[str, bytes]:
        """What the subject fetches, file by file."""
        return unpacked(await self._fetched(path))

    async def package(self, path: str) -> dict[str, Any]:
        """What the subject fetches, in one."""
        return described(await self._fetched(path))

    async def _fetched(self, path: str) -> bytes:
        return (await self.intake.channel.get(f"{path}/package")).raise_for_status().content


def _operation(event: events.Event) -> Operation:
    """What is done for a request, as amendment and export would."""
    return Operation.RECTIFY if getattr(event, "right", None) == Right.RECTIFICATION else Operation.EXPORT


@asynccontextmanager
async def opened(
    intake: Intake, open_harness: OpenHarness, database: str, keys: Keyring, *systems: ScriptedSystem
) -> AsyncIterator[Company]:
    """A company that has these systems."""
    harness = await open_harness(*systems, service=ServiceName.EXPORT)
    exporting(harness)
    clock: SetClock = intake.clock
    async with await connect_pool(PostgresSettings(dsn=database), ServiceName.DEADLINE) as pool:
        unit_of_work = UnitOfWorkFactory(pool, ServiceName.DEADLINE, clock, Vault(keys))
        yield Company(intake, harness, Deadlines(unit_of_work, Fulfilments(PLANS), clock))
