"""``python -m tests.chaos``: strikes everything at random under load, then takes servers away; status 1 at any harm."""

import asyncio
import logging
import random
import shutil
from typing import Annotated

import typer

from deploy.local.paths import LOCAL
from deploy.local.unprivileged import become_unprivileged
from tests.chaos.run import run
from tests.fixtures.outage import survive


def main(
    minutes: Annotated[float, typer.Option(help="for how long")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="of an earlier run, to draw the same faults again")] = None,
    *,
    counts: Annotated[bool, typer.Option(help="one round right after the other, and no time is judged")] = False,
) -> None:
    """Strikes, counts and prints."""
    become_unprivileged("kill")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    drawn = random.SystemRandom().randrange(10**6) if seed is None else seed
    typer.echo(f"seed {drawn}")  # before anything can end this
    directory = LOCAL / "chaos" / str(drawn)
    shutil.rmtree(directory, ignore_errors=True)
    result = asyncio.run(run(directory, drawn, minutes * 60, timed=not counts))
    typer.echo(result.report())
    wrong = [] if counts else result.late()
    wrong += asyncio.run(survive([("broker", 5), ("database", 20), ("broker", 60)], directory / "outages"))
    if wrong or any(result.tally.counts().values()):
        typer.echo("\n".join([*wrong, f"What they left is in {directory}"]))
        raise typer.Exit(1)
    shutil.rmtree(directory)


if __name__ == "__main__":
    typer.run(main)
