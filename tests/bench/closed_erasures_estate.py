"""Erasure requests closed per second over the demonstration's own systems: a real CRM and tracker, 300,000 calls."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from uuid import UUID

import asyncpg
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from deploy.demo import company
from deploy.demo.client import DsrClient
from deploy.demo.company import Company, Customer, Part
from deploy.demo.estate import CDR, CRM, TICKETING, Estate
from deploy.local.paths import ROOT
from deploy.local.progress import Progress
from deploy.local.services import Servers, Services
from shared.domain.clock import SystemClock
from shared.domain.identities import Identity, IdentityType, normalise
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.rights import Right
from shared.downstreams.contract import Pending, Receipt, Result, Task
from shared.downstreams.registry import Downstreams, Wiring
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.live import eventually
from tests.fixtures.policy import NOTHING_KEPT

REQUESTS = 150
_DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
_CALL = "one call was answered"
_COUNTED = f"--access-logfile - --access-logformat '{_CALL}'"
_WITHIN = 600.0


async def measure(ground: Ground) -> list[Row]:
    """Ours and the same adapters called with nothing around them, each for customers who are there as yet."""
    founded = company.found()
    calls: dict[str, list[float]] = {CRM: [], TICKETING: []}
    waiting = _ordinary(founded)
    with _counting():
        estate = await asyncio.to_thread(Estate(ground.directory / "estate", founded, Progress()).__enter__)
    try:
        async with _services(estate, ground.directory / "estate" / "services") as (client, pool):
            downstreams = Downstreams.load(
                _DOWNSTREAMS, Wiring({**os.environ, **estate.env}, SystemClock(), _nobody, b"")
            )

            async def ours() -> float:
                people = [next(waiting) for _ in range(REQUESTS)]
                before = _calls(estate)
                seconds = await _close(client, pool, people)
                for system, made in _calls(estate).items():
                    calls[system].append((made - before[system]) / REQUESTS)
                must("who is still in the CRM", await _known(downstreams, people), 0)
                return REQUESTS / seconds

            async def alone() -> float:
                people = [next(waiting) for _ in range(REQUESTS)]
                started = time.monotonic()
                await _erase(downstreams, people)
                seconds = time.monotonic() - started
                must("who is still in the CRM", await _known(downstreams, people), 0)
                return REQUESTS / seconds

            figures = await ground.interleaved({"ours": ours, "alone": alone}, "requests/s")
            query = "SELECT outcome, count(*) FROM intake.request GROUP BY 1"
            outcomes = {str(outcome): int(count) for outcome, count in await pool.fetch(query)}
            await downstreams.close()
    finally:
        await asyncio.to_thread(estate.__exit__, None, None, None)
    what = (
        "the same adapters called for all of them at once, by what the CRM knows of them: no bus, no database of ours"
    )
    more = {f"calls_per_request_{system}": rounded(median(each)) for system, each in calls.items()}
    name = "closed_erasures_estate"
    return [row(name, figures["ours"], figures["alone"], "requests/s", what, requests=REQUESTS, **more, **outcomes)]


def _ordinary(founded: Company) -> Iterator[Customer]:
    """Customers who share no address, and have no part in the demonstration."""
    addresses = Counter(email.lower() for each in founded.customers for email in each.emails)
    cast = {part.person.code for part in founded.cast}
    return (
        each
        for each in founded.customers
        if each.code not in cast and all(addresses[email.lower()] == 1 for email in each.emails)
    )


@contextmanager
def _counting() -> Iterator[None]:
    """What is started meanwhile by gunicorn writes a line into its log for each call."""
    before = os.environ.get(name := "GUNICORN_CMD_ARGS")
    os.environ[name] = _COUNTED
    try:
        yield
    finally:
        del os.environ[name]
        os.environ |= {name: before} if before is not None else {}


def _calls(estate: Estate) -> Mapping[str, int]:
    return {system: _lines(estate.logs[system]) for system in (CRM, TICKETING)}


def _lines(log: Path) -> int:
    return log.read_text(errors="replace").count(_CALL)


@asynccontextmanager
async def _services(estate: Estate, directory: Path) -> AsyncIterator[tuple[DsrClient, asyncpg.Pool]]:
    """A client of the five services over these systems, and their database."""
    servers = Servers(estate.dsn, estate.platform.kafka_bootstrap)
    services = Services(directory, servers, _DOWNSTREAMS, {**estate.env, **NOTHING_KEPT})
    await asyncio.to_thread(services.prepare)
    await asyncio.to_thread(services.command, "assignments", "read")
    try:
        await asyncio.to_thread(services.start_prepared)
        key = await asyncio.to_thread(services.key, "channel")
        async with DsrClient(services.url, key) as client, asyncpg.create_pool(estate.dsn, min_size=1) as pool:
            yield client, pool
    finally:
        await asyncio.to_thread(services.stop)


async def _close(client: DsrClient, pool: asyncpg.Pool, people: Sequence[Customer]) -> float:
    """Seconds until their erasures are closed, whatever each came to."""
    count = "SELECT count(*) FROM intake.request WHERE state = 'closed'"
    before, started = await pool.fetchval(count), time.monotonic()
    body = {"requests": [dict(Part(Right.ERASURE, person, "").submission) for person in people]}
    answer = await client.post("/v1/requests/batch", json=body, headers={"Idempotency-Key": str(uuid7())})
    answer.raise_for_status()

    async def closed() -> bool:
        return bool(await pool.fetchval(count) - before >= len(people))

    await eventually(closed, within=_WITHIN, every=0.05)
    return time.monotonic() - started


async def _known(downstreams: Downstreams, people: Sequence[Customer]) -> int:
    located = await _called(downstreams, CRM, [_task(CRM, Operation.LOCATE, each) for each in people])
    return sum(each.outcome != TaskOutcome.NO_MATCH for each in located)


async def _erase(downstreams: Downstreams, people: Sequence[Customer]) -> None:
    """Locates them in the CRM, erases them in the other systems, and there last."""
    found = await _called(downstreams, CRM, [_task(CRM, Operation.LOCATE, each) for each in people])

    def tasks(system: str) -> list[Task]:
        pairs = zip(people, found, strict=True)
        return [_task(system, Operation.ERASE, person, receipt.identities) for person, receipt in pairs]

    await asyncio.gather(*(_called(downstreams, system, tasks(system)) for system in (CDR, TICKETING)))
    await _called(downstreams, CRM, tasks(CRM))


def _task(system: str, operation: Operation, person: Customer, more: Sequence[Identity] = ()) -> Task:
    stated = [Identity(IdentityType.EMAIL, normalise(IdentityType.EMAIL, each), level="L2") for each in person.emails]
    held = [Identity(IdentityType.PHONE, p.number, p.valid_from, p.valid_to, level="L2") for p in person.phones]
    known = tuple(dict.fromkeys((*stated, *held, *more)))
    return Task(uuid7(), uuid7(), uuid7(), system, operation, known, level="L2")


async def _called(downstreams: Downstreams, system: str, tasks: Sequence[Task]) -> list[Receipt]:
    """The receipt of each task, asked again for as long as the system works on it."""
    downstream, noted = downstreams.get(system), dict[UUID, dict[str, JsonValue]]()

    async def save(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        for task_id, more in progress.items():
            noted.setdefault(task_id, {}).update(more)

    ended: dict[UUID, Result] = {}
    while left := [task for task in tasks if task.task_id not in ended]:
        asked = [
            replace(task, identities=downstream.may_hear(task.identities), progress=dict(noted.get(task.task_id, {})))
            for task in left
        ]
        results = await downstream.operate(tasks[0].operation)(asked, save)
        ended |= {
            task.task_id: result for task, result in zip(left, results, strict=True) if not isinstance(result, Pending)
        }
    must(f"failed in {system}", [str(each) for each in ended.values() if not isinstance(each, Receipt)], [])
    return [each for task in tasks if isinstance(each := ended[task.task_id], Receipt)]


async def _nobody(*_: object) -> None:
    """Publishes nothing: no system of the estate is reached over the bus."""
