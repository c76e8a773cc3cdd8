"""``make demo``: found a company, start everything, ask for every right, look whether it was really done."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo import company
from deploy.demo.board import Board, SubmittedRequest
from deploy.demo.checks import Inspector
from deploy.demo.client import DsrClient
from deploy.demo.estate import Estate
from deploy.demo.finding import Finding, Section
from deploy.demo.proof import collect, further
from deploy.demo.report import Report, of_requests
from deploy.demo.sections import case, marketing
from deploy.demo.sections.letters import letters, written
from deploy.demo.sections.night import night
from deploy.demo.sections.recipients import recipients
from deploy.demo.sections.report import report as report_of
from deploy.local.certificates import DownloadFailedError
from deploy.local.java import JavaMissingError
from deploy.local.paths import LOCAL, ROOT
from deploy.local.postgres_binaries import PostgresMissingError
from deploy.local.process import ChildFailedError
from deploy.local.progress import Progress
from deploy.local.services import OVERLAY, Servers, Services
from deploy.local.unprivileged import become_unprivileged
from deploy.local.venv import alone
from shared.domain.policy import Policy, read_policy
from shared.domain.rights import Right

HERE = LOCAL / "demo"
ANSWERS = HERE / "answers"
"""Where certificates and packages lie afterwards."""

BUSY = "A demonstration runs in this folder already: end it with Ctrl-C first."
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"


def main(
    *, leave: Annotated[bool, typer.Option("--exit", help="end when all is done, and say how it went")] = False
) -> None:
    """Run the demonstration; without ``--exit`` everything stays up until Ctrl-C."""
    become_unprivileged()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    try:
        with alone("demo", busy=BUSY):
            failed = _run(console, leave=leave)
    except (DownloadFailedError, ChildFailedError, JavaMissingError, PostgresMissingError) as error:
        sys.exit(f"{error}")
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
        with progress.step("Starting the five services"):
            services.start_prepared()
        inspector = Inspector(estate, founded, services.directory)
        with progress.step("Noting what must not change"):
            inspector.remember()
        console.print(f"Ready after {time.monotonic() - began:.0f} s.\n")
        shutil.rmtree(ANSWERS, ignore_errors=True)
        ANSWERS.mkdir()
        shown = asyncio.run(_show(console, services, estate, founded, inspector))
        with progress.step("Searching every system for who was erased"):
            of_the_platform = inspector.inspect(shown.requests)
        report = Report(console)
        for section in shown.sections(of_the_platform):
            report.section(section)
        report.further(further(services, estate, shown.requests[0], stays=not leave))
        report.verdict(time.monotonic() - began)
        if not leave:
            console.print("Everything stays up until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                signal.pause()
            console.print("\nStopping …")
        return report.failed


@dataclass(frozen=True)
class Shown:
    """What was read back: of all requests, and what is shown ``before`` and ``after`` them."""

    policy: Policy
    requests: Sequence[SubmittedRequest]
    before: Sequence[Section]
    after: Sequence[Section]

    def sections(self, of_the_platform: Finding) -> Iterator[Section]:
        """All of it, in the order in which it is told."""
        yield from self.before
        erased = [request for request in self.requests if request.part.right is Right.ERASURE]
        rest = [request for request in self.requests if request.part.right is not Right.ERASURE]
        yield of_requests("What each erasure did", erased, self.policy)
        yield from self.after
        yield of_requests("All other rights", rest, self.policy)
        yield Section("The platform itself", [of_the_platform])


async def _show(
    console: Console, services: Services, estate: Estate, founded: company.Company, inspector: Inspector
) -> Shown:
    """Submit everybody's request, show how they advance, and read back what came of them."""
    policy = read_policy(OVERLAY)
    keys = [await asyncio.to_thread(services.key, role) for role in ("privacy", "channel")]
    async with DsrClient(services.url, keys[0]) as client, DsrClient(services.url, keys[1]) as channel:
        tonight = await night(client, estate, policy)
        subscribed = await marketing.newsletters(estate.analytics.admin)
        together = [part for part in founded.cast if part.message]
        one = await case.submit(client, together)
        calls = await asyncio.to_thread(inspector.calls_of, one.of(Right.ERASURE).part.person)
        requests = [
            *one.requests,
            *[
                SubmittedRequest(part, await client.submit(part.submission, traceparent=_hostile(part)))
                for part in founded.cast
                if not part.message
            ],
        ]
        await Board(console, client, estate.dsn).watch(requests)
        await collect(client, requests, ANSWERS, services.public_key)
        erasures = [request for request in requests if request.part.right is Right.ERASURE]
        first = one.of(Right.ERASURE)
        copy = next(request for request in requests if request.part.right is Right.ACCESS and request.part.neighbours)
        subscribed_now = await marketing.newsletters(estate.analytics.admin)
        return Shown(
            policy,
            requests,
            before=[
                await case.one_message(client, one),
                await case.before_the_act(client, one, policy, calls),
            ],
            after=[
                letters(await written(client, erasures), first, ANSWERS / "letters", policy),
                await asyncio.to_thread(report_of, copy),
                await recipients(client, estate.dsn, first),
                await marketing.mailing(channel, founded, requests),
                marketing.withdrawn(requests, subscribed, subscribed_now),
                tonight,
            ],
        )


def _hostile(part: company.Part) -> str:
    """What a careless portal may send with a request as the header that is passed from service to service."""
    return f"{part.person.code} {part.person.emails[0]}".strip()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    typer.run(main)
