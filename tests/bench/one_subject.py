"""One subject with 20,000 calls: the whole erase task, counting, noting and verifying, next to the plain statement."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
from pydantic import JsonValue

from deploy.local import postgres_databases as databases
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.systems.contract import Receipt, Task
from shared.systems.sql.adapter import SqlAdapter
from shared.systems.sql.settings import SqlSettings
from tests.bench.figures import Row, row
from tests.bench.ground import Ground, must
from tests.fixtures.policy import nothing_kept
from tests.fixtures.stores import SINCE, Stores, Subject

CALLS = 20_000
OTHERS = 1_000
_EVERY = 20
_SUBJECT, _UNKNOWN = Subject(OTHERS), Subject(OTHERS + 1)
_PLAIN = "DELETE FROM call WHERE caller = $1"
_DSN = "BENCH_CALLS_DSN"

# Every twentieth call is theirs, so that it lies on another page than the one before, as in a company's records.
_FILL = f"""
INSERT INTO call (caller, callee, started_at, seconds)
SELECT CASE WHEN n % {_EVERY} = 0 THEN '{_SUBJECT.phone}' ELSE '+4930' || (23000000 + n % {OTHERS}) END,
       '+4989' || (40000000 + n % 90000), timestamptz '2026-01-01' + n * interval '20 seconds', n % 600
FROM generate_series(1, {CALLS * _EVERY}) n
"""


async def measure(ground: Ground) -> list[Row]:
    """Measures the adapter and the plain statement in turn on fresh copies.

    Both use a warm connection that has just erased an unknown subject.
    """
    async with ground.seeded(OTHERS, calls_each=0) as seeded:
        for statement in (_FILL, "VACUUM ANALYZE"):
            await databases.fetch(seeded.dsns["calls"], statement)

        @asynccontextmanager
        async def fresh() -> AsyncIterator[Stores]:
            async with ground.copied(seeded) as copied:
                yield copied
                must("rows left", await copied.count("calls"), CALLS * (_EVERY - 1))

        async def ours() -> float:
            async with fresh() as copied:
                return await _by_adapter(copied)

        async def plain() -> float:
            async with fresh() as copied:
                connection = await asyncpg.connect(copied.dsns["calls"])
                await connection.execute(_PLAIN, _UNKNOWN.phone)
                started = time.monotonic()
                await connection.execute(_PLAIN, _SUBJECT.phone)
                seconds = time.monotonic() - started
                await connection.close()
                return seconds

        figures = await ground.interleaved({"ours": ours, "plain SQL": plain}, "s")
    what = f"{_PLAIN} on an identical copy, committed"
    more = {"calls": CALLS, "table_rows": CALLS * _EVERY}
    return [row("one_subject_20k_calls", figures["ours"], figures["plain SQL"], "s", what, **more)]


async def _by_adapter(copied: Stores) -> float:
    """Seconds of the erase task as the worker calls it, noting what was done in the store itself."""
    dataset = str(copied.downstreams.with_name("calls.toml"))

    async def save_progress(progress: Mapping[UUID, Mapping[str, JsonValue]]) -> None:
        del progress  # the store remembers what is done

    numbers = [Identity(IdentityType.PHONE, who.phone, SINCE, None) for who in (_UNKNOWN, _SUBJECT)]
    unknown, task = (Task(uuid4(), uuid4(), uuid4(), "calls", Operation.ERASE, (number,)) for number in numbers)
    settings = SqlSettings(dsn_env=_DSN, dataset=dataset)
    adapter = SqlAdapter("calls", settings, environment={_DSN: copied.dsns["calls"]}, policy=nothing_kept())
    try:
        await adapter.erase([unknown], save_progress)
        started = time.monotonic()
        (result,) = await adapter.erase([task], save_progress)
        seconds = time.monotonic() - started
    finally:
        await adapter.close()
    assert isinstance(result, Receipt), result
    must("receipt", (result.found, result.changed, result.remaining), (CALLS, CALLS, 0))
    return seconds
