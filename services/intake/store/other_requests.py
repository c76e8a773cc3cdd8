"""Other requests of the same person: which ones an erasure must wait for (G1), and what repeats another.

Intake enters copies and restrictions where the erasure service looks before it erases. Whether an erasure that waits
may go on follows from what is open now: no restart, repeat or manner of closing can lose it.
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
from services.intake.request.same_person import Person, person
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
_REPEATED = """
SELECT o.request_id, o.received_at FROM same_person s JOIN request r USING (request_id)
JOIN request o ON o.request_id = s.other
WHERE s.request_id = $1 AND o.state <> 'closed' AND o."right" = r."right"
  AND o.scope IS NOT DISTINCT FROM r.scope AND o.role = r.role
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
    """Enters the copies and restrictions among new requests, for erasures of the same people."""
    requests = [request for request, _ in new]
    await open_requests.enter(tx.connection, _together(requests))
    await awaits(tx.connection, dict(_after_copies(requests)))
    await _enter(tx.connection, new)


def _after_copies(requests: Sequence[Request]) -> Iterator[tuple[UUID, list[UUID]]]:
    """Yields each withdrawal of consent with the copies of the same message, which come before what it erases."""
    for each in requests:
        if each.right is Right.CONSENT_WITHDRAWAL and each.case_id:
            copies = [o.request_id for o in requests if o.case_id == each.case_id and o.precedes is RequestKind.COPY]
            yield each.request_id, copies


def _together(requests: Sequence[Request]) -> Iterator[tuple[UUID, RequestKind, precedence.RequestMarks]]:
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
    known = dict(map(tuple, await tx.connection.fetch(_PROVED_OF, request.request_id)))
    who = Person(known.get(IdentityType.ACCOUNT_ID), known.get(IdentityType.EMAIL))
    await _enter(tx.connection, [(request, who)])


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
    marks = {IdentityType.ACCOUNT_ID: proved.account, IdentityType.EMAIL: proved.email}
    known = [(kind, mark) for kind, mark in marks.items() if mark]
    if known:
        await tx.connection.execute(_PROVED, request.request_id, *map(list, zip(*known, strict=True)))
    await enter(tx, request)


async def awaited_by(connection: Connection, request_ids: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """The copies and restrictions of the same person for which each of these erasures waits, while they are open."""
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


async def search_too(tx: UnitOfWork, published: Iterable[Event]) -> None:
    """Adds what their erasures have located to the identities of subjects whose work begins or is retried."""
    begun = {event.subject: event for event in published if isinstance(event, RequestVerified | RetryRequested)}
    rows = await tx.connection.fetch(_ERASURES, [event.request_id for event in begun.values()]) if begun else []
    if not rows:
        return
    known = await tx.vault.subject_data(tx.connection, {ref for row in rows for ref in (row[0], row[2])})
    for subject, erasure, erased, mark in rows:
        if subject not in known or erased not in known:
            continue
        theirs = known[subject].identities
        located = as_proved(tx.vault.keyring, theirs, mark, known[erased].identities)
        if more := [each for each in located if _key(each) not in set(map(_key, theirs))]:
            sealing = Sealing(subject, "identities", _SOURCE, encode_identities(more))
            await tx.vault.seal(tx.connection, [sealing], tx.now)
            detail: dict[str, JsonValue] = {"request_id": str(erasure), "identities": len(more)}
            tx.log_evidence(begun[subject].request_id, "identity.kept", detail)


def as_proved(
    keyring: Keyring, theirs: Sequence[Identity], mark: bytes, erased: Sequence[Identity]
) -> Sequence[Identity]:
    """Returns identities that systems yielded then; none is better proved than both requests' proof of today."""
    proved = [each for each in theirs if each.level > NOTHING and keyring.fingerprint(each) == mark]
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
    """Returns by request since when the latest package of another request of the same person is available."""
    return {row[0]: row[1] for row in await tx.connection.fetch(_KEPT, request_ids)}


async def named(tx: UnitOfWork, published: Sequence[Event]) -> Sequence[Event]:
    """Returns the events; each access that begins names the other requests of the same person."""
    accesses = [e.request_id for e in published if isinstance(e, RequestVerified) and e.right is Right.ACCESS]
    if not accesses:
        return published
    others = defaultdict[UUID, list[UUID]](list)
    for request_id, other in await tx.connection.fetch(_OTHERS, accesses):
        others[request_id].append(other)
    return [
        event.model_copy(update={"of_same_person": tuple(theirs)})
        if isinstance(event, RequestVerified) and (theirs := others.get(event.request_id))
        else event
        for event in published
    ]
