"""``make demo``: found a company, start everything, ask for all six rights, look whether it was really done."""

import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from deploy.local import company
from deploy.local.demo.board import Asked, Board
from deploy.local.demo.bodies import body
from deploy.local.demo.checks import Inspector
from deploy.local.demo.door import Door
from deploy.local.demo.estate import Estate
from deploy.local.demo.proof import collect, further
from deploy.local.demo.report import Report
from deploy.local.paths import LOCAL, ROOT
from deploy.local.progress import Progress
from deploy.local.services import Servers, Services

HERE = LOCAL / "demo"
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"


def main(
    *, leave: Annotated[bool, typer.Option("--exit", help="end when all is done, and say how it went")] = False
) -> None:
    """Run the demonstration; without ``--exit`` everything stays up until Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    try:
        with _alone(HERE / "lock"):
            failed = _run(console, leave=leave)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(130)
    sys.exit(1 if failed else 0)


def _run(console: Console, *, leave: bool) -> int:
    began = time.monotonic()
    founded = company.found()
    with Estate(HERE, founded, Progress()) as estate:
        servers = Servers(estate.dsn, estate.platform.kafka_bootstrap)
        services = Services(HERE / "services", servers, DOWNSTREAMS, estate.env)
        with Progress().step("Starting the five services"):
            services.start()
        with services, Door(services.url, services.key("privacy")) as door:
            inspector = Inspector(estate, founded, services.directory)
            with Progress().step("Noting what must not change"):
                inspector.remember()
            console.print(f"Ready after {time.monotonic() - began:.0f} s.\n")
            asked = [Asked(part, door.submit(body(part))) for part in founded.cast]
            Board(console, door, estate.dsn).watch(asked)
            report = Report(console)
            proofs = collect(door, asked, HERE / "answers")
            with Progress().step("Searching every system for who was erased"):
                findings = list(inspector.inspect(asked, proofs))
            for request in asked:
                own = [finding for of, finding in findings if of is request]
                report.request(request, [*proofs[request.request_id].findings, *own], proofs[request.request_id].files)
            report.findings([finding for of, finding in findings if of is None])
            report.further(further(services, estate, asked))
            verdict = (
                "[green]All is as it should be.[/]"
                if not report.failed
                else f"[red]{report.failed} findings do not hold.[/]"
            )
            console.print(f"\n{verdict} {time.monotonic() - began:.0f} s in all.")
            if not leave:
                console.print("Everything stays up until Ctrl-C.")
                signal.pause()
            return report.failed


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One demonstration at a time in a checkout: they would share databases."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("A demonstration runs in this folder already: end it with Ctrl-C first.")
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
