"""Counts what an erasure over three SQL stores costs our own database: statements, commits and rows written."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment.completion import TaskCompletion
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.fulfilment.worker import Worker
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.settings import WorkSettings
from shared.storage.keyring import Keyring
from shared.storage.postgres import connect_pool
from shared.storage.systems import register
from shared.storage.vault import Vault
from shared.systems.registry import Downstreams, Wiring, refuse_to_send
from tests.fixtures import stores
from tests.fixtures.databases import in_process
from tests.fixtures.engine import DUE, TRACING, Harness, SetClock
from tests.fixtures.policy import nothing_kept

REQUESTS = 40
STATEMENTS = 42
"""Statements for three batches, one per store, whatever their number of requests."""
_UPDATED = "SELECT relname, n_tup_upd FROM pg_stat_user_tables WHERE schemaname = 'erasure'"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Statements of our own database, each by its beginning."""
    found: Counter[str] = Counter()

    def counting(name: str) -> None:
        method = getattr(asyncpg.Connection, name)

        async def count(self: Any, what: str, *of: object, **more: object) -> object:
            if "erasure" in str(self._params.server_settings):
                found[" ".join(what.split())[:60]] += 1
            return await method(self, what, *of, **more)

        monkeypatch.setattr(asyncpg.Connection, name, count)

    for name in ("fetch", "fetchrow", "fetchval", "execute", "executemany", "copy_records_to_table"):
        counting(name)
    return found


@pytest.fixture
async def erasing(
    database: str, postgres_dsn: str, tmp_path: Path, keys: Keyring
) -> AsyncIterator[tuple[Harness, Downstreams]]:
    """The engine over the three stores of the benchmarks."""
    clock = SetClock()
    seeded = await stores.seed(SimpleNamespace(postgres_dsn=postgres_dsn), "cost", 2 * REQUESTS, tmp_path, calls_each=5)  # type: ignore[arg-type]
    policy = nothing_kept()
    loaded = Downstreams.load(seeded.downstreams, Wiring(seeded.env, clock, refuse_to_send, b"", policy=policy))
    async with await connect_pool(in_process(database), ServiceName.ERASURE) as pool:
        fulfilments = Fulfilments({Operation.ERASE: loaded.stages(Operation.ERASE)})
        fulfilments.register(loaded.all)
        harness = Harness(UnitOfWorkFactory(pool, ServiceName.ERASURE, clock, Vault(keys), policy), fulfilments, ())
        await harness.renew(harness.lease)
        async with pool.acquire() as connection:
            await register(connection, loaded.fingerprints)
        yield harness, loaded
        await loaded.close()
    await stores.drop(SimpleNamespace(postgres_dsn=postgres_dsn), seeded)  # type: ignore[arg-type]


async def test_an_erasure_over_three_stores_costs_so_much(
    erasing: tuple[Harness, Downstreams], statements: Counter[str]
) -> None:
    harness, loaded = erasing
    settings = WorkSettings.model_validate({"downstreams": "none"})
    completion = TaskCompletion(harness.unit_of_work, harness.fulfilments, harness.concludes, settings)
    common = (completion, TRACING, harness.lease)
    workers = [Worker(loaded.get(system), operation, *common) for system, operation in harness.fulfilments.steps]
    ran: list[tuple[Counter[str], Counter[str]]] = []
    for already in (0, REQUESTS):
        await harness.open(*[await _erasure(harness, already + number) for number in range(REQUESTS)])
        before = await _written(harness)
        statements.clear()
        for worker in workers:
            assert await worker.work() == REQUESTS
        ran.append((before, statements.copy()))
    assert len(harness.completed) == 2 * REQUESTS
    before, counted = ran[-1]
    after = await _written(harness)
    assert after["task"] - before["task"] == 2 * 3 * REQUESTS, "each task is claimed and concluded, and no more"
    assert after["fulfilment"] - before["fulfilment"] == REQUESTS
    assert sum(counted.values()) <= STATEMENTS, counted.most_common()
    assert counted["COMMIT;"] == len(workers)


async def _erasure(harness: Harness, number: int) -> NewFulfilment:
    person = stores.Subject(number)
    said = {
        IdentityType.EMAIL: person.email,
        IdentityType.PHONE: person.phone,
        IdentityType.ACCOUNT_ID: person.account_id,
    }
    since = stores.SINCE
    known = [Identity(kind, value, source="requester", level="L2", proved_since=since) for kind, value in said.items()]
    subject = await harness.subject(*known)
    return NewFulfilment(uuid7(), subject, Right.ERASURE, Operation.ERASE, DUE)


async def _written(harness: Harness) -> Counter[str]:
    """Counts the rows that were updated in each table of the service so far."""
    async with harness.pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        return Counter({row[0]: row[1] for row in await connection.fetch(_UPDATED)})
