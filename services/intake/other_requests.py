"""Other requests of the same person: which ones an erasure must wait for (G1), and what repeats another.

Intake enters copies and restrictions where the erasure service looks before it erases. Whether an erasure that waits
may go on follows from what is open now: no restart, repeat or manner of closing can lose it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from services.intake.identity.same_person import Person, person
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain import precedence
from shared.domain.identities import Identity
from shared.domain.precedence import Kind
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import open_requests
from shared.storage.postgres import Connection

_ERASING = frozenset({Right.ERASURE, Right.CONSENT_WITHDRAWAL})

_AWAITED = """
SELECT DISTINCT w.request_id, w.other FROM awaits w JOIN vault.open_request o ON o.request_id = w.other
WHERE w.request_id = ANY($1) AND o.kind IN ('copy', 'restriction') ORDER BY w.other
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


async def enter_new(tx: UnitOfWork, new: Sequence[tuple[Request, Person]]) -> None:
    """Enters the copies and restrictions among new requests, for erasures of the same persons."""
    requests = [request for request, _ in new]
    await open_requests.enter(tx.connection, _together(requests))
    await awaits(tx.connection, dict(_after_copies(requests)))
    await _enter(tx.connection, new)


def _after_copies(requests: Sequence[Request]) -> Iterator[tuple[UUID, list[UUID]]]:
    """Yields each withdrawal of consent with the copies of the same message, which come before what it erases."""
    for each in requests:
        if each.right is Right.CONSENT_WITHDRAWAL and each.case_id:
            copies = [o.request_id for o in requests if o.case_id == each.case_id and o.precedes is Kind.COPY]
            yield each.request_id, copies


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


async def awaits(connection: Connection, waiting: Mapping[UUID, Sequence[UUID]]) -> None:
    """Notes for which other requests these erasures wait."""
    rows = [(request_id, other) for request_id, others in waiting.items() for other in others]
    if rows:
        await connection.execute(_AWAIT, *map(list, zip(*rows, strict=True)))


async def enter(tx: UnitOfWork, request: Request) -> None:
    """Enters a request by what is proved of who asks."""
    row = await tx.connection.fetchrow(_PROVED_OF, request.request_id)
    await _enter(tx.connection, [(request, Person(*row) if row else Person())])


async def leave(connection: Connection, requests: Sequence[Request]) -> None:
    """Removes those that are over."""
    over = [r.request_id for r in requests if r.state is State.CLOSED and not (r.precedes or r.goes_on)]
    if erased := {r.request_id for r in requests if r.right is Right.ERASURE and r.forgets_its_subject}:
        await connection.execute(_ERASED, list(erased))
        await open_requests.erased(connection, erased)
    await open_requests.end(connection, set(over) - erased)


async def prove(tx: UnitOfWork, request: Request, identities: Sequence[Identity]) -> None:
    """Notes what is proved of who asks, now that it is."""
    proved = person((each for each in identities if each.source == "requester"), tx.vault.keyring)
    await tx.connection.execute(_PROVED, request.request_id, proved.account, proved.email)
    await enter(tx, request)


async def awaited_by(connection: Connection, request_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The copies and restrictions of the same person for which each of these erasures waits, while they are open."""
    found: dict[UUID, list[UUID]] = {}
    for request_id, other in await connection.fetch(_AWAITED, request_ids):
        found.setdefault(request_id, []).append(other)
    return found
