"""Other requests of the same person: an erasure waits for what they asked to see (G1), and what repeats is linked.

Nothing slips through between two transactions: whoever looks holds the head of intake's evidence from then on, so of
two requests that are submitted at once, by whichever process, the later one to be committed sees the earlier. Whether a
postponed erasure may begin follows from what is open now: no restart, repeat or manner of closing can lose it. An
access that is submitted after an erasure has begun is not waited for.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from services.intake.lifecycle import State
from services.intake.request import Request, Transition
from services.intake.same_person import Marks, Person, person
from shared.domain.events import RequestVerified
from shared.domain.identities import Identity
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection

_ANSWERED_FIRST = frozenset({Right.ACCESS, Right.PORTABILITY})

# One statement for all that is submitted at once, each part of it by an index of open requests alone.
_OPEN = """
SELECT 'asks' AS by, request_id, asks, proved_account, proved_email, state, received_at, due_on FROM request
WHERE state <> 'closed' AND (proved_account IS NOT NULL OR proved_email IS NOT NULL) AND asks = ANY($1)
UNION ALL
SELECT DISTINCT 'account', NULL::uuid, NULL::bytea, proved_account, NULL::bytea, NULL, NULL::timestamptz, NULL::date
FROM request
WHERE state <> 'closed' AND "right" IN ('access', 'portability') AND role = 'controller' AND proved_account = ANY($2)
UNION ALL
SELECT DISTINCT 'email', NULL::uuid, NULL::bytea, proved_account, proved_email, NULL, NULL::timestamptz, NULL::date
FROM request
WHERE state <> 'closed' AND "right" IN ('access', 'portability') AND role = 'controller' AND proved_email = ANY($3)
"""
_AWAITED = """
SELECT e.request_id, a.request_id FROM request e CROSS JOIN LATERAL (
    SELECT request_id FROM request
    WHERE state <> 'closed' AND "right" IN ('access', 'portability') AND role = 'controller'
      AND proved_account = e.proved_account
    UNION
    SELECT request_id FROM request
    WHERE state <> 'closed' AND "right" IN ('access', 'portability') AND role = 'controller'
      AND proved_email = e.proved_email AND (proved_account IS NULL OR e.proved_account IS NULL)
) a WHERE e.request_id = ANY($1) ORDER BY a.request_id
"""

_PROVED = """
UPDATE request SET proved_account = coalesce($2, proved_account), proved_email = coalesce($3, proved_email)
WHERE request_id = $1
"""


class First(NamedTuple):
    """An open request, with which a duplicate of it is answered."""

    request_id: UUID
    received_at: datetime
    due_on: date


@dataclass(frozen=True, slots=True)
class Seen:
    """Of what is submitted: which erasures wait, and which requests repeat an open one."""

    postponed: Collection[UUID] = frozenset()
    first: Mapping[UUID, First] = field(default_factory=dict)

    def applied_to(self, received: Transition) -> Transition:
        """How the request is received: what waits or repeats does not begin."""
        request_id = received.request.request_id
        if request_id in self.first:
            return _without_beginning(received)
        if request_id in self.postponed:
            return _postponed(received)
        return received


@dataclass(slots=True)
class Awaited:
    """Who waits for the answer to an access or portability request."""

    accounts: set[bytes] = field(default_factory=set)
    emails: set[bytes] = field(default_factory=set)
    emails_alone: set[bytes] = field(default_factory=set)

    def add(self, person: Person) -> None:
        """One more."""
        if person.account:
            self.accounts.add(person.account)
        if person.email:
            self.emails.add(person.email)
            if not person.account:
                self.emails_alone.add(person.email)

    def holds(self, person: Person) -> bool:
        """Whether one of them is the same person, as ``Person.is_same`` has it."""
        if person.account is None:
            return person.email in self.emails
        return person.account in self.accounts or person.email in self.emails_alone


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An open request of somebody who has proved something, with which a new one is compared."""

    person: Person
    identified: bool
    first: First


def judge(new: Sequence[tuple[Request, Marks]], known: Sequence[tuple[bytes, OpenRequest]], awaited: Awaited) -> Seen:
    """What follows from the open requests for those that are submitted, and from these for one another; pure.

    ``known``: open requests by all that they ask for. Who has proved enough repeats none that still waits for proof.
    """
    asked: dict[bytes, list[OpenRequest]] = {}
    for asks, other in known:
        asked.setdefault(asks, []).append(other)
    first: dict[UUID, First] = {}
    for request, marks in new:
        if not marks.person.known:
            continue
        identified = request.state is not State.AWAITING_IDENTITY
        others = asked.setdefault(marks.asks, [])
        for other in others:
            if other.person.is_same(marks.person) and (other.identified or not identified):
                first[request.request_id] = other.first
                break
        else:
            this = First(request.request_id, request.received_at, request.due_on)
            others.append(OpenRequest(marks.person, identified, this))
            if request.right in _ANSWERED_FIRST and request.role == "controller":
                awaited.add(marks.person)
    postponed = {
        request.request_id
        for request, marks in new
        if _may_wait(request) and request.request_id not in first and awaited.holds(marks.person)
    }
    return Seen(postponed, first)


async def look(tx: UnitOfWork, new: Sequence[tuple[Request, Marks]]) -> Seen:
    """What follows from the open requests of the same persons for those that are submitted."""
    asked = [marks.asks for _, marks in new if marks.person.known]
    if not asked:
        return Seen()
    erasers = [marks.person for request, marks in new if _may_wait(request)]
    accounts = [each.account for each in erasers if each.account]
    emails = [each.email for each in erasers if each.email]
    await tx.hold_evidence()
    known, awaited = [], Awaited()
    rows = await tx.connection.fetch(_OPEN, asked, accounts, emails)
    for by, request_id, asks, account, email, state, received_at, due_on in rows:
        who = Person(account, email)
        if by == "asks":
            identified = state != State.AWAITING_IDENTITY
            known.append((asks, OpenRequest(who, identified, First(request_id, received_at, due_on))))
        else:
            awaited.add(who)
    return judge(new, known, awaited)


async def prove(tx: UnitOfWork, request: Request, identities: Sequence[Identity]) -> None:
    """Notes what is proved of who asks, now that it is."""
    proved = person((each for each in identities if each.source == "requester"), tx.vault.keyring)
    await tx.connection.execute(_PROVED, request.request_id, proved.account, proved.email)


async def awaited_by(connection: Connection, request_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The open access and portability requests of the same person, for each of these that has any."""
    found: dict[UUID, list[UUID]] = {}
    for request_id, other in await connection.fetch(_AWAITED, request_ids):
        found.setdefault(request_id, []).append(other)
    return found


def begins_erasure(transition: Transition) -> bool:
    """Whether it lets an erasure begin that would have to wait for other requests."""
    request = transition.request
    begins = request.right is Right.ERASURE and not request.at_once
    return begins and any(isinstance(event, RequestVerified) for event in transition.published)


async def unless_awaited(tx: UnitOfWork, held: Request, transition: Transition) -> Transition:
    """The transition, without the beginning of the erasure if the same person waits for an answer."""
    await tx.hold_evidence()
    if not await awaited_by(tx.connection, [held.request_id]):
        return transition
    return Transition(held) if held.postponed else _postponed(transition)


def _may_wait(request: Request) -> bool:
    return request.right is Right.ERASURE and request.state is State.IN_PROGRESS and not request.at_once


def _postponed(transition: Transition) -> Transition:
    return _without_beginning(transition).then(transition.request.postpone())


def _without_beginning(transition: Transition) -> Transition:
    published = tuple(event for event in transition.published if not isinstance(event, RequestVerified))
    return replace(transition, published=published)
