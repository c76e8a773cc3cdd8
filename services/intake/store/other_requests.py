"""Finds other requests of the same person: those that an erasure must wait for (G1), and duplicates.

Intake registers copies and restrictions in a table that the erasure service reads before it erases. A waiting
erasure goes on once none of them is open, so no restart or lost event can block it for ever.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.same_person import ProvedPerson, proved_person
from shared.domain import precedence
from shared.domain.events import Event, RequestVerified, RetryRequested
from shared.domain.identities import Identity, IdentityType
from shared.domain.precedence import RequestKind
from shared.domain.proofs import highest_level
from shared.domain.rights import NOTHING, Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import open_requests
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection
from shared.storage.subject_data import encode_identities
from shared.storage.vault import Sealing

_ERASING = frozenset({Right.ERASURE, Right.CONSENT_WITHDRAWAL})

_AWAITED = """
SELECT DISTINCT w.request_id, w.other FROM awaits w JOIN vault.open_request o ON o.request_id = w.other
WHERE w.request_id = ANY($1) AND o.kind IN ('copy', 'restriction') ORDER BY w.other
"""
_AWAIT = "INSERT INTO awaits SELECT * FROM unnest($1::uuid[], $2::uuid[]) ON CONFLICT DO NOTHING"
_ERASED = """
INSERT INTO vault.open_request
SELECT request_id, 'erased', kind, hash FROM request_lookup WHERE request_id = ANY($1) AND proved ON CONFLICT DO NOTHING
"""
_PROVED_OF = "SELECT kind, hash FROM request_lookup WHERE request_id = $1 AND proved"
# Of each type the latest proof counts.
_PROVED = """
WITH before AS (
    UPDATE request_lookup SET proved = false WHERE request_id = $1 AND proved AND kind = ANY($2) AND hash <> ALL($3)
)
INSERT INTO request_lookup (request_id, kind, hash, proved) SELECT $1, *, true FROM unnest($2::text[], $3::bytea[])
ON CONFLICT (request_id, hash) DO UPDATE SET proved = true
"""
_DUPLICATES = """
SELECT o.request_id, o.received_at FROM same_person s JOIN request r USING (request_id)
JOIN request o ON o.request_id = s.other
WHERE s.request_id = $1 AND o.state <> 'closed' AND o."right" = r."right"
  AND o.scope IS NOT DISTINCT FROM r.scope AND o.role = r.role
ORDER BY o.received_at
"""


class DuplicateRequest(NamedTuple):
    """Another open request of the same person for the same right and scope."""

    request_id: UUID
    received_at: datetime


async def duplicates_of(connection: Connection, request_id: UUID) -> list[DuplicateRequest]:
    """Returns open duplicates of a request; an officer decides what to do with them."""
    return [DuplicateRequest(*row) for row in await connection.fetch(_DUPLICATES, request_id)]


async def register_new(tx: UnitOfWork, new: Sequence[tuple[Request, ProvedPerson]]) -> None:
    """Registers new copies and restrictions, so that erasures of the same people wait for them."""
    requests = [request for request, _ in new]
    await open_requests.enter(tx.connection, _copies_of_case(requests))
    await record_waits(tx.connection, dict(_waits_for_copies(requests)))
    await _register(tx.connection, new)


def _waits_for_copies(requests: Sequence[Request]) -> Iterator[tuple[UUID, list[UUID]]]:
    """Yields each withdrawal of consent with the copies of the same message, which come before what it erases."""
    for each in requests:
        if each.right is Right.CONSENT_WITHDRAWAL and each.case_id:
            copies = [o.request_id for o in requests if o.case_id == each.case_id and o.precedes is RequestKind.COPY]
            yield each.request_id, copies


def _copies_of_case(requests: Sequence[Request]) -> Iterator[tuple[UUID, RequestKind, precedence.RequestMarks]]:
    """Yields copies that are asked for in the same message as an erasure, also before identity is proved.

    An erasure of another person never waits for a copy that was asked for in their name.
    """
    cases = defaultdict[UUID, list[Request]](list)
    for request in requests:
        if request.case_id:
            cases[request.case_id].append(request)
    for case in cases.values():
        erasing = frozenset(each.request_id.bytes for each in case if each.right in _ERASING)
        for each in case:
            if erasing and each.precedes is RequestKind.COPY:
                yield each.request_id, RequestKind.COPY, precedence.RequestMarks(requests=erasing)


async def _register(connection: Connection, requests: Iterable[tuple[Request, ProvedPerson]]) -> None:
    entered = ((request.request_id, request.precedes, who.marks) for request, who in requests)
    await open_requests.enter(connection, [(key, kind, marks) for key, kind, marks in entered if kind])


async def record_waits(connection: Connection, waiting: Mapping[UUID, Sequence[UUID]]) -> None:
    """Records the requests that each erasure waits for."""
    rows = [(request_id, other) for request_id, others in waiting.items() for other in others]
    if rows:
        await connection.execute(_AWAIT, *map(list, zip(*rows, strict=True)))


async def register(tx: UnitOfWork, request: Request) -> None:
    """Registers a request by the proved identities of its requester."""
    known = dict(map(tuple, await tx.connection.fetch(_PROVED_OF, request.request_id)))
    who = ProvedPerson(known.get(IdentityType.ACCOUNT_ID), known.get(IdentityType.EMAIL))
    await _register(tx.connection, [(request, who)])


async def unregister_closed(connection: Connection, requests: Sequence[Request]) -> None:
    """Removes closed requests, and registers completed erasures."""
    closed = [r.request_id for r in requests if r.state is State.CLOSED and not (r.precedes or r.has_outstanding)]
    if erased := {r.request_id for r in requests if r.right is Right.ERASURE and r.forgets_its_subject}:
        await connection.execute(_ERASED, list(erased))
        await open_requests.erased(connection, erased)
    await open_requests.end(connection, set(closed) - erased)


async def record_proof(tx: UnitOfWork, request: Request, identities: Sequence[Identity]) -> None:
    """Records newly proved identities, and registers the request by them."""
    proved = proved_person((each for each in identities if each.source == "requester"), tx.vault.keyring)
    marks = {IdentityType.ACCOUNT_ID: proved.account, IdentityType.EMAIL: proved.email}
    known = [(kind, mark) for kind, mark in marks.items() if mark]
    if known:
        await tx.connection.execute(_PROVED, request.request_id, *map(list, zip(*known, strict=True)))
    await register(tx, request)


async def waits_of(connection: Connection, request_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Returns the open copies and restrictions that each of these erasures waits for."""
    found: dict[UUID, list[UUID]] = {}
    for request_id, other in await connection.fetch(_AWAITED, request_ids):
        found.setdefault(request_id, []).append(other)
    return found


_ERASURES = """
SELECT r.subject_ref, o.request_id, o.subject_ref, s.mark
FROM same_person s JOIN request r USING (request_id) JOIN request o ON o.request_id = s.other
WHERE s.request_id = ANY($1) AND o."right" = 'erasure' AND o.state = 'closed'
  AND jsonb_path_exists(coalesce(o.tasks, '[]'), '$[*] ? (@.operation == "erase" && @.outcome == "retained")')
"""
_REQUESTER = "requester"
_SOURCE = "erasure"
"""The kind of the sealed piece; each identity has the system that yielded it."""


async def add_located_identities(tx: UnitOfWork, published: Iterable[Event]) -> None:
    """Adds what their erasures have located to the identities of subjects whose work begins or is retried."""
    begun = {event.subject: event for event in published if isinstance(event, RequestVerified | RetryRequested)}
    rows = await tx.connection.fetch(_ERASURES, [event.request_id for event in begun.values()]) if begun else []
    if not rows:
        return
    known = await tx.vault.subject_data(tx.connection, {ref for row in rows for ref in (row[0], row[2])})
    for subject, erasure, erased, mark in rows:
        if subject not in known or erased not in known:
            continue
        own_identities = known[subject].identities
        located = capped_at_proof(tx.vault.keyring, own_identities, mark, known[erased].identities)
        if more := [each for each in located if _key(each) not in set(map(_key, own_identities))]:
            sealing = Sealing(subject, "identities", _SOURCE, encode_identities(more))
            await tx.vault.seal(tx.connection, [sealing], tx.now)
            detail: dict[str, JsonValue] = {"request_id": str(erasure), "identities": len(more)}
            tx.log_evidence(begun[subject].request_id, "identity.kept", detail)


def capped_at_proof(
    keyring: Keyring, own_identities: Sequence[Identity], mark: bytes, erased: Sequence[Identity]
) -> Sequence[Identity]:
    """Returns identities located by an earlier erasure, at most at the level that both requests prove today."""
    proved = [each for each in own_identities if each.level > NOTHING and keyring.fingerprint(each) == mark]
    level = highest_level(proved)
    return [
        replace(each, level=min(each.level, level), together=False)
        for each in erased
        if each.source != _REQUESTER and each.level > NOTHING and level > NOTHING
    ]


def _key(identity: Identity) -> tuple[object, ...]:
    return identity.type, identity.value, identity.valid_from, identity.valid_to, identity.source


_OTHERS = "SELECT request_id, other FROM same_person WHERE request_id = ANY($1) ORDER BY other"
# As ``packages.remove_due`` counts: an answer or a part that follows makes a package available again.
# Few people have asked before, so that is looked up first.
_KEPT = """
WITH p AS MATERIALIZED (SELECT request_id, other FROM same_person WHERE request_id = ANY($1))
SELECT p.request_id, max(greatest(o.responded_at, s.created_at))
FROM p JOIN request o ON o.request_id = p.other
JOIN package g ON g.request_id = p.other AND NOT g.gone JOIN vault.sealed s ON s.sealed_id = g.package_id
WHERE o.responded_at IS NOT NULL
GROUP BY p.request_id
"""


async def copies_available_since(tx: UnitOfWork, request_ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
    """Returns by request since when a package of another request of the same person is available."""
    return {row[0]: row[1] for row in await tx.connection.fetch(_KEPT, request_ids)}


async def with_other_requests(tx: UnitOfWork, published: Sequence[Event]) -> Sequence[Event]:
    """Adds the person's other requests to each ``RequestVerified`` of an access request."""
    accesses = [e.request_id for e in published if isinstance(e, RequestVerified) and e.right is Right.ACCESS]
    if not accesses:
        return published
    others = defaultdict[UUID, list[UUID]](list)
    for request_id, other in await tx.connection.fetch(_OTHERS, accesses):
        others[request_id].append(other)
    return [
        event.model_copy(update={"of_same_person": tuple(own_identities)})
        if isinstance(event, RequestVerified) and (own_identities := others.get(event.request_id))
        else event
        for event in published
    ]
