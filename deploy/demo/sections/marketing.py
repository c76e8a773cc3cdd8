"""Who gets no marketing: asked before a mailing goes out, and what is gone with a consent that was withdrawn."""

from collections.abc import Sequence

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.company import Company, Customer
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases
from shared.domain.rights import Right

_MAILING = 10_000
_NEWSLETTERS = "SELECT account_id FROM subscription WHERE sent"


async def newsletters(dsn: str) -> frozenset[str]:
    """The accounts of those to whom a newsletter is sent, as the website's own table has them."""
    return frozenset(row[0] for row in await databases.fetch(dsn, _NEWSLETTERS))


async def mailing(channel: DsrClient, company: Company, requests: Sequence[SubmittedRequest]) -> Section:
    """A list of 10,000 addresses is asked about before it is used; three of them must not be."""
    section = Section("A mailing list of 10,000, asked: POST /v1/suppression/check")
    cast = {request.part.person.code for request in requests}
    three = _stopped(requests)
    others = [each.emails[0] for each in company.customers if each.code not in cast]
    others += [f"reader{number}@list.example.org" for number in range(_MAILING - len(three) - len(others))]
    asked = [*others[:500], *(each.emails[0].upper() for each in three), *others[500:]]
    points = [{"type": "email", "value": value} for value in asked]
    answer = (await channel.post("/v1/suppression/check", json={"contact_points": points})).raise_for_status().json()
    stopped = [value for value, said in zip(asked, answer["answers"], strict=True) if said == "suppressed"]
    sent = answer["answers"].count("not_suppressed")
    section.find(
        stopped == [each.emails[0].upper() for each in three] and len(asked) == len(stopped) + sent == _MAILING,
        f"{sent:,} may be mailed; {len(stopped)} not, in whatever spelling: {', '.join(each.name for each in three)}",
    )
    return section


def withdrawn(requests: Sequence[SubmittedRequest], before: frozenset[str], now: frozenset[str]) -> Section:
    """What is gone with a consent, and what everybody else still gets."""
    section = Section("Marketing data after a withdrawal and an objection")
    stopped = {person.code: person.name for person in _stopped(requests)}
    for person in _stopped(requests):
        got, gets = person.code in before, person.code in now
        section.find(got and not gets, f"{person.name} got a newsletter, and gets none any more")
    erased = {request.part.person.code for request in requests if request.part.right is Right.ERASURE}
    rest = before - stopped.keys() - erased
    section.find(rest == now, f"the newsletters of {len(rest):,} others are untouched")
    return section


def _stopped(requests: Sequence[SubmittedRequest]) -> list[Customer]:
    """Everybody once who has objected to marketing, or withdrawn a consent to it."""
    rights = {Right.OBJECTION, Right.CONSENT_WITHDRAWAL}
    found = {request.part.person.code: request.part.person for request in requests if request.part.right in rights}
    return list(found.values())
