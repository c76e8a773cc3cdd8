"""The nightly sweep of a table, counting before and after, next to one statement that deletes the same rows."""

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from statistics import median
from zoneinfo import ZoneInfo

import asyncpg

from deploy.local import postgres_databases as databases
from shared.systems.sql.adapter import SqlAdapter
from shared.systems.sql.settings import SqlSettings
from shared.systems.sweepable import DueCount, DueRecords, SweepResult
from tests.bench.figures import Row, rounded, row
from tests.bench.ground import Ground, must
from tests.fixtures.policy import signed_policy
from tests.fixtures.stores import Stores

ROWS, OLD = 200_000, 100_000
FIRST_KEPT = date(2026, 1, 1)
_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
_COUNT = "SELECT count(*) FROM call WHERE started_at < $1"
_PLAIN = "DELETE FROM call WHERE started_at < $1"
_DSN = "BENCH_CALLS_DSN"

_DUE = DueRecords("call", "call_start", "delete", FIRST_KEPT, ZoneInfo("UTC"))
_FILL = f"""
INSERT INTO call (caller, callee, started_at, seconds)
SELECT '+4930' || (23000000 + n % 1000), '+4989' || (40000000 + n % 90000),
       timestamptz '2026-01-01 00:00+00' + (n - {OLD}) * interval '10 seconds', n % 600
FROM generate_series(0, {ROWS - 1}) n
"""


async def measure(ground: Ground) -> list[Row]:
    """The sweep and the plain statement in turn on fresh copies, each after the same rows were counted."""
    counting: list[float] = []
    async with ground.seeded(1, calls_each=0) as seeded:
        for statement in (_FILL, "CREATE INDEX ON call (started_at)", "VACUUM ANALYZE"):
            await databases.fetch(seeded.dsns["calls"], statement)

        @asynccontextmanager
        async def fresh() -> AsyncIterator[Stores]:
            async with ground.copied(seeded) as copied:
                yield copied
                must("rows left", await copied.count("calls"), ROWS - OLD)

        async def ours() -> float:
            async with fresh() as copied:
                whole, swept = await _swept(copied)
                counting.append(whole - swept)
                return OLD / whole

        async def plain() -> float:
            async with fresh() as copied:
                connection = await asyncpg.connect(copied.dsns["calls"])
                await connection.fetchval(_COUNT, _BEFORE)
                started = time.monotonic()
                await connection.execute(_PLAIN, _BEFORE)
                seconds = time.monotonic() - started
                await connection.close()
                return OLD / seconds

        figures = await ground.interleaved({"ours": ours, "plain SQL": plain}, "rows/s")
    what = f"{_PLAIN} on an identical copy, committed"
    more = {"rows": OLD, "table_rows": ROWS, "counted_before_and_after_s": rounded(median(counting))}
    return [row("retention_sweep", figures["ours"], figures["plain SQL"], "rows/s", what, **more)]


async def _swept(copied: Stores) -> tuple[float, float]:
    """Seconds of a night: with counting, and of what goes alone."""
    declared = copied.downstreams.with_name("calls.toml")
    dated = declared.with_name("dated_calls.toml")
    dated.write_text(
        re.sub(r"(?m)^( *)at = \{ (.*) \}$", r'\1at = { \2, call_start = "started_at" }', declared.read_text())
    )
    settings = SqlSettings(dsn_env=_DSN, dataset=str(dated))
    adapter = SqlAdapter("calls", settings, environment={_DSN: copied.dsns["calls"]}, policy=signed_policy())

    async def go_on(_due: DueRecords, _gone: int) -> None:
        return None

    try:
        await adapter.count(
            [replace(_DUE, first_kept=date(2000, 1, 1))], {}
        )  # the connection, and the look at the tables
        began = time.monotonic()
        counted = await adapter.count([_DUE], {})
        started = time.monotonic()
        done = await adapter.sweep([replace(_DUE, about=OLD)], {}, go_on)
        swept = time.monotonic() - started
        complete = [isinstance(each, SweepResult) and each.complete for each in done]
        missed = [] if all(complete) else await adapter.count([_DUE], {})
        whole = time.monotonic() - began
    finally:
        await adapter.close()
    results = [each for each in (*counted, *missed) if isinstance(each, DueCount)]
    must("counts", (*[each.due for each in results], list(done)), (OLD, [SweepResult(OLD, 0)]))
    return whole, swept
