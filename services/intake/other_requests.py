"""Other requests of the same person: what comes before which (G1), and what repeats another.

Nothing slips through between two transactions: whoever looks holds the head of intake's evidence from then on, and a
lock for each identity (``shared.storage.open_requests``), so of two requests that come at once, by whichever process or
service, the later one to be committed sees the earlier. Whether what was postponed may begin follows from what is open
now: no restart, repeat or manner of closing can lose it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.intake.identity.same_person import Person, person
from services.intake.request.aggregate import Request, Transition
from services.intake.request.lifecycle import State
from shared.domain import precedence
from shared.domain.events import RequestVerified
from shared.domain.identities import Identity
from shared.domain.precedence import Kind
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import open_requests
from shared.storage.postgres import Connection

_ERASING = frozenset({Right.ERASURE, Right.CONSENT_WITHDRAWAL})
_AWAITED_BY_ERASURE = frozenset({Kind.COPY})
_AWAITED_BY_ALL_ELSE = frozenset({Kind.ERASURE})

_AWAITED = """
SELECT DISTINCT w.request_id, w.other FROM awaits w JOIN vault.open_request o ON o.request_id = w.other
WHERE w.request_id = ANY($1) AND o.kind <> 'erased' AND NOT o.stopped ORDER BY w.other
"""
_AWAIT = "INSERT INTO awaits SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING"
_ERASED = """
INSERT INTO vault.open_request
SELECT request_id, 'erased', 'account_id', proved_account FROM request
WHERE request_id = ANY($1) AND proved_account IS NOT NULL
UNION ALL
SELECT request_id, 'erased', 'email', proved_email FROM request WHERE request_id = ANY($1) AND proved_email IS NOT NULL
ON CONFLICT DO NOTHING
"""
_ERASURES = """
SELECT w.other FROM awaits w JOIN request r ON r.request_id = w.other
WHERE w.request_id = $1 AND r."right" = 'erasure' ORDER BY w.other
"""
_PROVED_OF = "SELECT proved_account, proved_email FROM request WHERE request_id = $1"
_PROVED = """
UPDATE request SET proved_account = coalesce($2, proved_account), proved_email = coalesce($3, proved_email)
WHERE request_id = $1
"""


_REPEATED = """
SELECT o.request_id, o.received_at FROM request r JOIN request o
  ON (o.proved_account = r.proved_account
      OR o.proved_email = r.proved_email AND (o.proved_account IS NULL OR r.proved_account IS NULL))
WHERE r.request_id = $1 AND o.request_id <> r.request_id AND o.state <> 'closed' AND o."right" = r."right"
  AND o.scope IS NOT DISTINCT FROM r.scope AND o.role = r.role AND o.tenant IS NOT DISTINCT FROM r.tenant
ORDER BY o.received_at
"""


class SameAsked(NamedTuple):
    """Another open request by which the same person asks for the same."""

    request_id: UUID
    received_at: datetime


async def repeated(connection: Connection, request_id: UUID) -> list[SameAsked]:
    """The other open requests by which the same person asks for the same: a person decides what becomes of them."""
    return [SameAsked(*row) for row in await connection.fetch(_REPEATED, request_id)]


async def look(tx: UnitOfWork, new: Sequence[tuple[Request, Person]]) -> Collection[UUID]:
    """Which of those that are submitted wait for open requests of the same persons; others know of them now."""
    await open_requests.enter(tx.connection, _together([request for request, _ in new]))
    known = [(request, person) for request, person in new if person.known]
    if not known:
        return ()
    await tx.hold_evidence()
    await _enter(tx.connection, known)
    return await _await(tx, [each for each in known if each[0].state is State.IN_PROGRESS and may_wait(each[0])])


def received(transition: Transition, postponed: Collection[UUID]) -> Transition:
    """How a request is received: what waits does not begin."""
    return _postponed(transition) if transition.request.request_id in postponed else transition


def _together(requests: Sequence[Request]) -> Iterator[tuple[UUID, Kind, precedence.Marks]]:
    """Copies that somebody asks for in the message in which they have data erased, also before they prove who they are.

    Nobody else's erasure waits for a copy that anybody has asked for in their name.
    """
    cases = defaultdict[UUID, list[Request]](list)
    for request in requests:
        if request.case_id:
            cases[request.case_id].append(request)
    for case in cases.values():
        erasing = frozenset(each.request_id.bytes for each in case if each.right in _ERASING)
        for each in case:
            if erasing and each.precedes is Kind.COPY:
                yield each.request_id, Kind.COPY, precedence.Marks(requests=erasing)


async def _enter(connection: Connection, requests: Iterable[tuple[Request, Person]]) -> None:
    entered = ((request.request_id, request.precedes, who.marks) for request, who in requests)
    await open_requests.enter(connection, [(key, kind, marks) for key, kind, marks in entered if kind])


async def _await(tx: UnitOfWork, requests: Iterable[tuple[Request, Person]]) -> Collection[UUID]:
    """Those of these requests for which others of the same person come first; for which, is on record."""
    waiting: dict[UUID, list[UUID]] = {}
    listed = list(requests)
    for kinds, erasure in ((_AWAITED_BY_ERASURE, True), (_AWAITED_BY_ALL_ELSE, False)):
        of = {r.request_id: who.marks for r, who in listed if (r.right is Right.ERASURE) is erasure}
        for request_id, others in (await open_requests.others(tx.connection, of, kinds)).items():
            waiting[request_id] = [other.request_id for other in others]
    await awaits(tx.connection, waiting)
    return waiting.keys()


async def awaits(connection: Connection, waiting: Mapping[UUID, Sequence[UUID]]) -> None:
    """Notes for which other requests these wait."""
    rows = [(request_id, other) for request_id, others in waiting.items() for other in others]
    if rows:
        await connection.execute(_AWAIT, *map(list, zip(*rows, strict=True)))


async def enter(tx: UnitOfWork, request: Request) -> None:
    """Lets others of the same person know of a request, by what is proved of who asks."""
    await _enter(tx.connection, [(request, await _proved(tx.connection, request.request_id))])


async def leave(connection: Connection, requests: Sequence[Request]) -> None:
    """Nobody needs to know any more of those that are over."""
    over = [r.request_id for r in requests if r.state is State.CLOSED and not (r.precedes or r.goes_on)]
    if erased := {r.request_id for r in requests if r.right is Right.ERASURE and r.forgets_its_subject}:
        await connection.execute(_ERASED, list(erased))
        await open_requests.erased(connection, erased)
    await open_requests.end(connection, set(over) - erased)


async def _proved(connection: Connection, request_id: UUID) -> Person:
    row = await connection.fetchrow(_PROVED_OF, request_id)
    return Person(*row) if row else Person()


async def prove(tx: UnitOfWork, request: Request, identities: Sequence[Identity]) -> None:
    """Notes what is proved of who asks, now that it is."""
    proved = person((each for each in identities if each.source == "requester"), tx.vault.keyring)
    await tx.connection.execute(_PROVED, request.request_id, proved.account, proved.email)
    await enter(tx, request)


async def awaited_by(connection: Connection, request_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The other requests of the same person for which each of these waits, while they are open."""
    found: dict[UUID, list[UUID]] = {}
    for request_id, other in await connection.fetch(_AWAITED, request_ids):
        found.setdefault(request_id, []).append(other)
    return found


async def erasures_awaited(connection: Connection, request_id: UUID) -> list[UUID]:
    """The erasures of the same person for which it had to wait, whether or not they have ended."""
    return [row[0] for row in await connection.fetch(_ERASURES, request_id)]


def begins(transition: Transition) -> bool:
    """Whether it lets a request begin that would have to wait for others of the same person."""
    published = any(isinstance(event, RequestVerified) for event in transition.published)
    return published and may_wait(transition.request)


async def unless_awaited(tx: UnitOfWork, held: Request, transition: Transition) -> Transition:
    """The transition, without the beginning of the request if another one of the same person comes first."""
    await tx.hold_evidence()
    if not await _await(tx, [(transition.request, await _proved(tx.connection, held.request_id))]):
        return transition
    if held.postponed:
        return replace(transition, request=held, published=(), evidence=(), letters=())
    return _postponed(transition)


def may_wait(request: Request) -> bool:
    """Whether it waits for others: an objection and a withdrawn consent wait for nothing (18(1)(d), 21(3), 7(3))."""
    if request.role == "processor" or request.insisted:
        return False
    if request.right is Right.ERASURE:
        return not request.at_once
    return request.right not in {Right.OBJECTION, Right.CONSENT_WITHDRAWAL}


def _postponed(transition: Transition) -> Transition:
    return _without_beginning(transition).then(transition.request.postpone())


def _without_beginning(transition: Transition) -> Transition:
    published = tuple(event for event in transition.published if not isinstance(event, RequestVerified))
    return replace(transition, published=published)
