"""``make demo``: found a company, start everything, ask for every right, check in the data what was done."""

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo import company, planned
from deploy.demo.checks import Inspector
from deploy.demo.client import DsrClient
from deploy.demo.company import Company
from deploy.demo.estate import Estate
from deploy.demo.report import Report
from deploy.demo.requests import Case, SubmittedRequest, closed_as_expected, collect, letters, watch
from deploy.local.certificates import DownloadFailedError
from deploy.local.kafka import JavaMissingError
from deploy.local.paths import LOCAL, ROOT
from deploy.local.postgres import PostgresMissingError
from deploy.local.process import ChildFailedError, step
from deploy.local.services import OVERLAY, Servers, Services
from deploy.local.sites import Sites
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from deploy.up import environment
from shared.domain.errors import Unavailable
from shared.domain.policy import read_policy
from shared.domain.rights import Right

HERE = LOCAL / "demo"
ANSWERS = HERE / "answers"
"""The folder of certificates, packages and letters."""
LETTERS = ANSWERS / "letters"
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
_BUSY = "A demonstration runs in this folder already: end it with Ctrl-C first."


def main(
    *, leave: Annotated[bool, typer.Option("--exit", help="end when all is done, and say how it went")] = False
) -> None:
    """Run the demonstration; without ``--exit`` everything stays up until Ctrl-C."""
    become_unprivileged()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    try:
        with alone("demo", busy=_BUSY):
            failed = _run(Report(console), leave=leave)
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


def _run(report: Report, *, leave: bool) -> int:
    """Starts everything, shows it, stops everything; returns how many findings do not hold."""
    began = time.monotonic()
    founded = company.found()
    with ExitStack() as stack:
        estate = stack.enter_context(Estate(HERE, founded))
        servers = Servers(estate.dsn, estate.platform.kafka_bootstrap)
        services = Services(HERE / "services", servers, DOWNSTREAMS, estate.env)
        stack.callback(services.stop)
        services.prepare()
        with step("Reading from the CRM whose the numbers are"):
            services.command("assignments", "read")
        sites = stack.enter_context(Sites(HERE, services))
        with step("Starting the six services"):
            services.start_prepared()
        report.console.print(f"Ready after {time.monotonic() - began:.0f} s.")
        for what, address in sites.shown().items():
            report.console.print(f"  {what}: {address}", soft_wrap=True)
        report.console.print()
        shutil.rmtree(ANSWERS, ignore_errors=True)
        LETTERS.mkdir(parents=True)
        first = asyncio.run(_demonstrate(report, services, estate, founded))
        report.further(_further(services, estate, sites, first, stays=not leave))
        report.verdict(time.monotonic() - began)
        if not leave:
            with suppress(KeyboardInterrupt):
                sys.stdout.write("Everything stays up until Ctrl-C.\n")  # the console would repeat it when interrupted
                sys.stdout.flush()
                while True:  # a pause ends at any signal, and not every one asks us to stop
                    signal.pause()
            report.console.print("\nStopping …")
        return report.failed


async def _demonstrate(report: Report, services: Services, estate: Estate, founded: Company) -> str:
    """Submits every request, shows how they advance, and checks each; returns the id of one."""
    policy = read_policy(OVERLAY)
    inspector = Inspector(estate, founded, services.directory, report)
    await inspector.remember()
    keys = [await asyncio.to_thread(services.key, role) for role in ("privacy", "channel")]
    async with DsrClient(services.url, keys[0]) as client, DsrClient(services.url, keys[1]) as channel:
        case = await Case.submit(client, channel, [part for part in founded.cast if part.message])
        alone = [
            SubmittedRequest(part, await channel.submit(part.submission)) for part in founded.cast if not part.message
        ]
        requests = [*case.requests, *alone]
        await watch(report.console, client, requests)
        await collect(channel, requests, ANSWERS)
        await inspector.look()
        erasures = [request for request in requests if request.part.right is Right.ERASURE]
        await case.show(report, client, policy)
        await letters(report, client, erasures, case.of(Right.ERASURE), LETTERS)
        trusted = services.public_key
        for title, of in (("What each erasure did", erasures), ("All other rights", requests)):
            report.section(title)
            for request in of:
                part, is_erasure = request.part, request.part.right is Right.ERASURE
                if is_erasure and of is requests:
                    continue
                report.say("", f"{part.person.name} ({part.person.country}), {part.right}: {part.shows}")
                table = planned.table(planned.of_receipts(request.view, policy), policy)
                report.say(*(table if is_erasure else [str(request.view.get("answer", ""))]))
                closed_as_expected(report, request, trusted)
                await inspector.check(request)
        report.section("The platform itself")
        await inspector.check_platform()
    return requests[0].request_id


def _further(services: Services, estate: Estate, sites: Sites, request_id: str, *, stays: bool) -> Mapping[str, str]:
    """Commands that show more, ready to paste; with addresses where those stay up."""
    offline = {
        "certificates, packages, letters": _shown(ANSWERS),
        "check a certificate offline": f"{_shown(Path(sys.executable).with_name('dsr'))} certificate verify FILE",
        "logs": " ".join(_shown(path) for path in (services.directory, *estate.logs)),
    }
    if not stays:
        return offline
    curl = f'curl -s -H "Authorization: Bearer {services.key("privacy")}" {services.url}/v1/requests/{request_id}'
    return {
        **sites.shown(),
        "where a request stands, and its timeline": f"{curl} ; {curl}/timeline",
        "submit one of your own": environment.curl(services.url, services.key("channel")),
        "the API's documentation": f"{services.url}/docs",
        "a Prometheus that watches the services": f"prometheus --config.file={_shown(services.prometheus)}",
        "the platform's database": f"psql {estate.dsn}",
        **offline,
    }


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    return shlex.quote(os.path.relpath(path))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
