"""``python -m tests.bench [NAME ...]``: measures the product next to its limits, and writes ``docs/benchmarks.md``."""

import asyncio
import os
import platform as machine
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import asyncpg
import httpx
import psutil
import typer
import uvloop

from deploy.local import postgres_databases as databases
from deploy.local.paths import LOCAL
from deploy.local.platform import ExistingServers, Platform
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from shared.app.service import tune_garbage_collector
from shared.domain.errors import DsrError
from shared.storage.postgres import connected
from tests.bench import (
    baseline,
    closed_erasures,
    closed_erasures_http,
    closed_erasures_two_parties,
    console_lists,
    constant_rate,
    deadline_sweep,
    export_rows,
    hostile_input,
    idle_latency,
    intake_durable,
    joined_rows,
    kept_by_rule,
    memory_backlog,
    one_subject,
    retention_sweep,
    same_time,
    size,
)
from tests.bench.baseline import Baseline, Measured, revision
from tests.bench.figures import Row
from tests.bench.ground import Ground, Void
from tests.bench.page import page, publish

BUSY = "Another bench runs in this folder: the two would measure each other."
_COMMITS = 200
Measure = Callable[[Ground], Awaitable[list[Row]]]

FIGURES: dict[str, Measure] = {
    "closed_erasures": closed_erasures.measure,
    "closed_erasures_two_parties": closed_erasures_two_parties.measure,
    "closed_erasures_http": closed_erasures_http.measure,
    "idle_latency": idle_latency.measure,
    "one_subject": one_subject.measure,
    "joined_rows": joined_rows.measure,
    "kept_by_rule": kept_by_rule.measure,
    "intake_durable": intake_durable.measure,
    "constant_rate": constant_rate.measure,
    "hostile_input": hostile_input.measure,
    "deadline_sweep": deadline_sweep.measure,
    "retention_sweep": retention_sweep.measure,
    "memory_backlog": memory_backlog.measure,
    "export_rows": export_rows.measure,
    "same_time": same_time.measure,
    "console_lists": console_lists.measure,
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help="figures to measure; all of them if none is named")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="how often each arm is measured")] = 3,
    *,
    accept: Annotated[bool, typer.Option("--accept", help="write the figures also where a ratio fell")] = False,
) -> None:
    """Measures, and writes docs/benchmarks.md; ends with 1 and writes nothing if a figure is void or a ratio fell."""
    become_unprivileged()
    if unknown := set(names or ()) - FIGURES.keys():
        raise typer.BadParameter(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    with alone("bench", busy=BUSY):
        before = baseline.read()
        after, void = _run(names, repeats, before)
    if faults := publish(after, before, void, accept=accept):
        typer.echo("docs/benchmarks.md stays as it is: " + "; ".join(faults), err=True)
        raise typer.Exit(1)
    typer.echo("wrote docs/benchmarks.md and docs/benchmarks.json")


def _run(names: Sequence[str] | None, repeats: int, before: Baseline) -> tuple[Baseline, list[str]]:
    """Returns the new figures, and those that are void."""
    directory, commit = LOCAL / "bench", revision()
    shutil.rmtree(directory / "run", ignore_errors=True)
    # A server of its own: what an existing one also has to do would be measured with it.
    platform = Platform(directory / "run" / "platform", existing=ExistingServers(postgres_dsn=None))
    assert platform.postgres is not None
    tune_garbage_collector()  # as the services do, whose adapters some benches call in this process
    with platform.postgres:
        ground = Ground(platform, directory / "run", repeats)
        about = asyncio.run(_machine(ground))
        rows, void = uvloop.run(_measure(ground, names or list(FIGURES)))
        measured = [Measured(row, commit, about) for row in rows]
        after = before.updated(measured) if names else asyncio.run(_whole(ground, measured))
    after = after.model_copy(update={"lines": size.lines()})
    _keep(directory / "latest.json", Baseline(figures=tuple(measured)))
    typer.echo(page(Baseline(figures=tuple(measured))).partition("## Limits")[0].partition("## Figures")[2])
    return after, void


def _keep(file: Path, run: Baseline) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    baseline.write(run, file)


async def _whole(ground: Ground, measured: Sequence[Measured]) -> Baseline:
    async with ground.database() as dsn:
        return Baseline(figures=tuple(measured), counts=await size.counts(dsn))


async def _measure(ground: Ground, names: Sequence[str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    void: list[str] = []
    for name in dict.fromkeys(names):
        typer.echo(f"-> {name}", err=True)
        began = time.monotonic()
        try:
            rows += await FIGURES[name](ground)
        except (Void, TimeoutError, httpx.HTTPError, DsrError) as reason:
            void.append(f"{name} is void: {reason!r}")
            typer.echo(f"   void: {reason!r}", err=True)
        ground.say(f"{name} took {time.monotonic() - began:.0f} s")
    return rows, void


async def _machine(ground: Ground) -> str:
    """Returns what the figures of a run depend on, in one line."""
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    query = "SELECT name, current_setting(name) FROM unnest($1::text[]) name"
    settings = dict(map(tuple, await databases.fetch(ground.platform.postgres_dsn, query, names)))
    version = settings.pop("server_version")
    set_to = ", ".join(f"{name} {value}" for name, value in settings.items())
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    commit = await _commit_ms(ground.platform.postgres_dsn)
    facts = (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} before the run, {machine.system()}",
        f"Python {machine.python_version()}, asyncpg {asyncpg.__version__}",
        f"PostgreSQL {version}: {set_to}",
        f"a durable commit takes {commit:.2f} ms",
    )
    return "; ".join(facts)


async def _commit_ms(dsn: str) -> float:
    """Returns the median of a durable commit on this machine: every acknowledgement waits for one."""
    seconds = []
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE commit_probe (n int)")
        for n in range(_COMMITS):
            started = time.perf_counter()
            await connection.execute("INSERT INTO commit_probe VALUES ($1)", n)
            seconds.append(time.perf_counter() - started)
        await connection.execute("DROP TABLE commit_probe")
    return median(seconds) * 1000


if __name__ == "__main__":
    typer.run(main)
