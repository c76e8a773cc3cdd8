"""``python -m tests.bench [NAME ...]``: measures the product beside its limits, into ``.local/bench/latest.json``."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from typing import Annotated

import asyncpg
import typer

from deploy.local import postgres_databases as databases
from deploy.local.paths import LOCAL, ROOT
from deploy.local.platform import ExistingServers, Platform
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from shared.storage.postgres import connected
from tests.bench import (
    closed_erasures,
    closed_erasures_estate,
    closed_erasures_http,
    closed_erasures_http_declared,
    closed_erasures_two_parties,
    console_lists,
    constant_rate,
    deadline_sweep,
    export_1m_rows,
    hostile_input,
    idle_latency,
    intake_durable,
    joined_rows,
    kept_by_rule,
    memory_backlog,
    one_subject,
    retention_sweep,
    same_time,
)
from tests.bench.figures import Row, report, show
from tests.bench.ground import Ground, Void

BUSY = "Another bench runs in this folder: the two would measure each other."
_COMMITS = 200
Measure = Callable[[Ground], Awaitable[list[Row]]]

FIGURES: dict[str, Measure] = {
    "closed_erasures_per_s": closed_erasures.measure,
    "closed_erasures_http_per_s": closed_erasures_http.measure,
    "closed_erasures_http_declared_per_s": closed_erasures_http_declared.measure,
    "closed_erasures_estate_per_s": closed_erasures_estate.measure,
    "closed_erasures_two_parties_per_s": closed_erasures_two_parties.measure,
    "idle_latency_p50_ms": idle_latency.measure,
    "idle_latency_p99_ms": idle_latency.measure,
    "one_subject_20000_calls": one_subject.measure,
    "joined_erasures_per_s": joined_rows.measure,
    "erasure_with_rules": kept_by_rule.measure,
    "intake_durable_vs_bare": intake_durable.measure,
    "single_submission_p99_ms": constant_rate.measure,
    "hostile_input_others_p99_ms": hostile_input.measure,
    "deadline_sweep_1m_open": deadline_sweep.measure,
    "deadline_events_per_s": deadline_sweep.measure,
    "retention_sweep": retention_sweep.measure,
    "memory_100k_backlog_vs_1k": memory_backlog.measure,
    "export_1m_rows": export_1m_rows.measure,
    "same_time_known_and_unknown_ms": same_time.measure,
    "console_lists_100k_ms": console_lists.measure,
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help="figures to measure; all of them if none is named")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="how often each arm is measured")] = 5,
) -> None:
    """Measures, prints the table, and ends with 1 if a figure is void."""
    become_unprivileged()
    if unknown := set(names or ()) - FIGURES.keys():
        raise typer.BadParameter(f"no figure {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    directory = LOCAL / "bench"
    with alone("bench", busy=BUSY):
        shutil.rmtree(directory / "run", ignore_errors=True)
        # A server of its own: what an existing one also has to do would be measured with it.
        platform = Platform(directory / "run" / "platform", existing=ExistingServers(postgres_dsn=None))
        assert platform.postgres is not None
        with platform.postgres:
            ground = Ground(platform, directory / "run", repeats)
            about = asyncio.run(_versions(ground))
            rows, void = asyncio.run(_measure(ground, names or list(FIGURES), about))
    show(rows)
    typer.echo("measured with " + ", ".join(f"{name} {value}" for name, value in about.items()))
    raise typer.Exit(1 if void else 0)


async def _measure(ground: Ground, names: list[str], about: Mapping[str, str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    void: list[str] = []
    for measure in dict.fromkeys(FIGURES[name] for name in names):
        typer.echo(f"-> {measure.__module__.rpartition('.')[2]}", err=True)
        try:
            rows += await measure(ground)
        except (Void, TimeoutError) as reason:
            void.append(str(reason))
            typer.echo(f"   void: {reason}", err=True)
        report(rows, ground.directory.parent, about)
    return rows, void


async def _versions(ground: Ground) -> dict[str, str]:
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    query = "SELECT name, current_setting(name) FROM unnest($1::text[]) name"
    settings = dict(map(tuple, await databases.fetch(ground.platform.postgres_dsn, query, names)))
    commit = {"commit_ms": await _commit_ms(ground.platform.postgres_dsn)}
    about = {"postgresql": settings.pop("server_version"), **settings, **commit, "asyncpg": asyncpg.__version__}
    return {"commit": _revision(), **about}


async def _commit_ms(dsn: str) -> str:
    """The median of a durable commit on this machine, in milliseconds: what every acknowledgement waits for."""
    seconds = []
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE commit_probe (n int)")
        for n in range(_COMMITS):
            started = time.perf_counter()
            await connection.execute("INSERT INTO commit_probe VALUES ($1)", n)
            seconds.append(time.perf_counter() - started)
        await connection.execute("DROP TABLE commit_probe")
    return f"{median(seconds) * 1000:.2f}"


def _revision() -> str:
    """The commit that is measured; with a + where files were changed since."""
    described = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
