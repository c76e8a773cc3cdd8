"""Hands in what everybody asks for, follows it to its end, and reads back what is shown of it."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from deploy.demo.board import Board, SubmittedRequest
from deploy.demo.checks import Inspector
from deploy.demo.client import DsrClient
from deploy.demo.company import Company, Part
from deploy.demo.estate import Estate
from deploy.demo.finding import Finding, Section
from deploy.demo.proof import collect
from deploy.demo.report import of_requests
from deploy.demo.sections import case, marketing
from deploy.demo.sections.letters import letters, written
from deploy.demo.sections.mail import mail
from deploy.demo.sections.night import night
from deploy.demo.sections.portal import portal
from deploy.demo.sections.recipients import recipients
from deploy.demo.sections.report import report as report_of
from deploy.demo.sections.statement import statement
from deploy.demo.sites import Sites
from deploy.local.services import OVERLAY, Services
from shared.domain.policy import Policy, read_policy
from shared.domain.rights import Right


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


async def show(
    console: Console,
    services: Services,
    estate: Estate,
    founded: Company,
    inspector: Inspector,
    sites: Sites,
    folder: Path,
) -> Shown:
    """Submit everybody's request, show how they advance, and read back what came of them; files go into the folder."""
    policy = read_policy(OVERLAY)
    keys = [await asyncio.to_thread(services.key, role) for role in ("privacy", "channel")]
    async with DsrClient(services.url, keys[0]) as client, DsrClient(services.url, keys[1]) as channel:
        tonight = await night(client, estate, policy)
        subscribed = await marketing.newsletters(estate.analytics.admin)
        together = [part for part in founded.cast if part.message]
        one = await case.submit(client, channel, together)
        calls = await asyncio.to_thread(inspector.calls_of, one.of(Right.ERASURE).part.person)
        requests = [
            *one.requests,
            *[
                SubmittedRequest(part, await channel.submit(part.submission, traceparent=_hostile(part)))
                for part in founded.cast
                if not part.message
            ],
        ]
        await Board(console, client, estate.dsn).watch(requests)
        await collect(channel, requests, folder, services.public_key)
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
                letters(await written(client, erasures), first, folder / "letters", policy),
                await asyncio.to_thread(report_of, copy),
                await statement(channel, estate.cdr.admin, copy),
                await portal(client, sites, folder),
                await mail(client, services, sites),
                await recipients(client, estate.dsn, first, mailed=sites.mail is not None),
                await marketing.mailing(channel, founded, requests),
                marketing.withdrawn(requests, subscribed, subscribed_now),
                tonight,
            ],
        )


def _hostile(part: Part) -> str:
    """What a careless portal may send with a request as the header that is passed from service to service."""
    return f"{part.person.code} {part.person.emails[0]}".strip()
