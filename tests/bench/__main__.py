"""``python -m tests.bench [NAME ...]``: measures the product beside its limits, into ``.local/bench/latest.json``."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import Annotated

import asyncpg
import typer

from deploy.local import postgres_databases as databases
from deploy.local.paths import LOCAL
from deploy.local.platform import ExistingServers, Platform
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from tests.bench import (
    closed_erasures,
    closed_erasures_http,
    deadline_sweep,
    hostile_input,
    idle_latency,
    intake_durable,
    memory_backlog,
    one_subject,
)
from tests.bench.figures import Row, report, show
from tests.bench.ground import Ground, Void

BUSY = "Another bench runs in this folder: the two would measure each other."
Measure = Callable[[Ground], Awaitable[list[Row]]]

FIGURES: dict[str, Measure] = {
    "closed_erasures_per_s": closed_erasures.measure,
    "closed_erasures_http_per_s": closed_erasures_http.measure,
    "idle_latency_p50_ms": idle_latency.measure,
    "idle_latency_p99_ms": idle_latency.measure,
    "one_subject_20000_calls": one_subject.measure,
    "intake_durable_vs_bare": intake_durable.measure,
    "hostile_input_others_p99_ms": hostile_input.measure,
    "deadline_sweep_1m_open": deadline_sweep.measure,
    "deadline_events_per_s": deadline_sweep.measure,
    "memory_100k_backlog_vs_1k": memory_backlog.measure,
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
            rows, void = asyncio.run(_measure(ground, names or list(FIGURES)))
    show(rows)
    raise typer.Exit(1 if void else 0)


async def _measure(ground: Ground, names: list[str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    void: list[str] = []
    about = await _versions(ground)
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
    return {"postgresql": settings.pop("server_version"), **settings, "asyncpg": asyncpg.__version__}


if __name__ == "__main__":
    typer.run(main)
