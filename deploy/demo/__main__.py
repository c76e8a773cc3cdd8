"""``make demo``: found a company, start everything, ask for every right, look whether it was really done."""

import asyncio
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo import company, mailbox
from deploy.demo.checks import Inspector
from deploy.demo.estate import Estate
from deploy.demo.proof import further
from deploy.demo.report import Report
from deploy.demo.shown import show
from deploy.demo.sites import Sites
from deploy.local import timings
from deploy.local.certificates import DownloadFailedError
from deploy.local.java import JavaMissingError
from deploy.local.paths import LOCAL, ROOT
from deploy.local.postgres_binaries import PostgresMissingError
from deploy.local.process import ChildFailedError
from deploy.local.progress import Progress
from deploy.local.services import Servers, Services
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from shared.domain.errors import Unavailable

HERE = LOCAL / "demo"
ANSWERS = HERE / "answers"
"""Where certificates, packages and letters lie afterwards."""

BUSY = "A demonstration runs in this folder already: end it with Ctrl-C first."
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"


def main(
    *, leave: Annotated[bool, typer.Option("--exit", help="end when all is done, and say how it went")] = False
) -> None:
    """Run the demonstration; without ``--exit`` everything stays up until Ctrl-C."""
    mailbox.begin(HERE / "mail")
    become_unprivileged()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    try:
        with alone("demo", busy=BUSY):
            failed = _run(console, leave=leave)
    except (DownloadFailedError, ChildFailedError, JavaMissingError, PostgresMissingError) as error:
        sys.exit(f"{error}")
    except Unavailable as error:
        sys.exit(f"{error}: this machine may have too much else to do; run it again when it has less")
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.stdout.flush()
        # Not sys.exit: it would wait for threads that still install or load. What they started ends with us.
        os._exit(130)
    sys.exit(1 if failed else 0)


def _run(console: Console, *, leave: bool) -> int:
    """Start everything, show it, stop everything; how many findings do not hold."""
    began = time.monotonic()
    founded, progress = company.found(), Progress()
    with ExitStack() as stack:
        estate = stack.enter_context(Estate(HERE, founded, progress))
        servers = Servers(estate.dsn, estate.platform.kafka_bootstrap)
        services = Services(HERE / "services", servers, DOWNSTREAMS, estate.env)
        stack.callback(services.stop)
        services.prepare()
        with progress.step("Reading from the CRM whose the numbers are"):
            services.command("assignments", "read")
        sites = stack.enter_context(Sites(HERE, services, founded))
        with progress.step("Starting the six services"):
            services.start_prepared()
        inspector = Inspector(estate, founded, services.directory)
        with progress.step("Noting what must not change"):
            inspector.remember()
        console.print(f"Ready after {time.monotonic() - began:.0f} s.")
        for what, address in sites.shown().items():
            console.print(f"  {what}: {address}", soft_wrap=True)
        console.print()
        shutil.rmtree(ANSWERS, ignore_errors=True)
        ANSWERS.mkdir()
        shown = asyncio.run(show(console, services, estate, founded, inspector, sites, ANSWERS))
        with progress.step("Searching every system for who was erased"):
            of_the_platform = inspector.inspect(shown.requests)
        report = Report(console)
        for section in shown.sections(of_the_platform):
            report.section(section)
        report.further(further(services, estate, sites, shown.requests[0], stays=not leave))
        seconds = time.monotonic() - began
        report.verdict(seconds)
        if not report.failed:
            timings.keep("make demo", seconds)
        if not leave:
            with suppress(KeyboardInterrupt):
                sys.stdout.write("Everything stays up until Ctrl-C.\n")  # the console would repeat it when interrupted
                sys.stdout.flush()
                while True:  # a pause ends at any signal, and not every one asks us to stop
                    signal.pause()
            console.print("\nStopping …")
        return report.failed


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
