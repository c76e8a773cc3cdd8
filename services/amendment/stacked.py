"""Restrictions of the same people one upon the other: each falls alone, and a system's flag with the last of them.

A SQL store hides a row until the last request that hides it is lifted. A CRM and a tracker have one flag for a person:
while another restriction in force covers everybody that a lifted one covers, nothing is lifted there; where it covers
some of them, it is put back at once. Whom a restriction covers is known by keyed fingerprints, of which none is a name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.amendment import flags, repairs
from shared.domain.events import LiftDecided
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import Completed, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

# Of two lifts at once the second waits here, and then sees that the first is decided.
_LOCK = """
SELECT FROM restriction WHERE lifted_at IS NULL AND request_id IN (
    SELECT other.request_id FROM restriction_identity mine JOIN restriction_identity other USING (fingerprint)
    WHERE mine.request_id = ANY($1))
ORDER BY request_id FOR UPDATE
"""
_OTHERS = """
SELECT mine.request_id, other.request_id, r.subject_ref,
       count(*) = (SELECT count(*) FROM restriction_identity i WHERE i.request_id = mine.request_id)
FROM restriction_identity mine JOIN restriction_identity other USING (fingerprint)
JOIN restriction r ON r.request_id = other.request_id AND r.lifted_at IS NULL
WHERE mine.request_id = ANY($1) AND other.request_id <> ALL($1) GROUP BY 1, 2, 3 ORDER BY 2
"""


@dataclass(frozen=True, slots=True)
class _Other:
    """Another restriction in force; ``covers``: everybody that the lifted one covers."""

    request_id: UUID
    subject_ref: UUID
    covers: bool


async def note(tx: UnitOfWork, restricted: Sequence[Completed]) -> None:
    """Notes whom these restrictions cover, by what is known of the subject now; of a tenant's, no flag is set."""
    known = await tx.vault.subject_data(tx.connection, [done.subject_ref for done in restricted]) if restricted else {}
    rows = {
        (done.request_id, tx.vault.keyring.fingerprint(identity))
        for done in restricted
        if done.subject_ref in known and known[done.subject_ref].tenant is None
        for identity in known[done.subject_ref].identities
        if identity.type is not IdentityType.NAME
    }
    await tx.connection.executemany(
        "INSERT INTO restriction_identity (request_id, fingerprint) VALUES ($1, $2) ON CONFLICT DO NOTHING", rows
    )


async def lifts(tx: UnitOfWork, fulfilments: Fulfilments, events: Sequence[LiftDecided]) -> list[NewFulfilment]:
    """What is to be lifted, and where: not by a flag that another restriction needs for all of these people."""
    requests = [event.request_id for event in events]
    await tx.connection.execute(_LOCK, requests)
    others = await _others(tx, requests)
    new = []
    left = await flags.left(tx, requests)
    for event in events:
        opening = partial(NewFulfilment, event.request_id, event.subject, event.right, Operation.LIFT, event.due_on)
        if as_found := left.get(event.request_id):
            opening = partial(opening, details={"left": as_found})
            tx.log_evidence(event.request_id, "restriction.left_as_found", {"systems": [*sorted(as_found)]})
        kept_by = [other for other in others.get(event.request_id, ()) if other.covers]
        flagged = _flagged(fulfilments) if kept_by else frozenset()
        new.append(opening(systems=_lifting(fulfilments) - flagged) if flagged else opening())
        if flagged:
            detail: dict[str, JsonValue] = {"systems": [*sorted(flagged)], "by": str(kept_by[0].request_id)}
            tx.log_evidence(event.request_id, "restriction.kept_by_another", detail)
    return new


def changes_nothing(new: NewFulfilment) -> Completed:
    """What changes no system: of a lift, since another restriction is in force in each."""
    return Completed(uuid7(), new.request_id, new.subject_ref, new.right, new.operation, new.details, ())


async def put_back(tx: UnitOfWork, fulfilments: Fulfilments, lifted: Sequence[UUID]) -> None:
    """Puts back at once what a flag that has fallen was still needed for."""
    flagged = _flagged(fulfilments) if lifted else frozenset[str]()
    others = await _others(tx, lifted) if flagged else {}
    needed = {each.request_id: each.subject_ref for every in others.values() for each in every}
    if not needed:
        return
    known = await tx.vault.subject_data(tx.connection, needed.values())
    again = partial(repairs.repair, tx, right=Right.RESTRICTION, operation=Operation.RESTRICT, systems=flagged)
    await repairs.call_off(tx, list(needed), Operation.RESTRICT)
    await fulfilments.open_all(tx, [again(*each) for each in needed.items() if each[1] in known])


async def _others(tx: UnitOfWork, requests: Sequence[UUID]) -> Mapping[UUID, list[_Other]]:
    """For each of these requests the restrictions of the same people that are in force, and stay so."""
    rows = await tx.connection.fetch(_OTHERS, requests)
    gone = await repairs.decided(tx, [row[1] for row in rows], Operation.LIFT)
    found: dict[UUID, list[_Other]] = {}
    for request_id, *other in rows:
        if other[0] not in gone:
            found.setdefault(request_id, []).append(_Other(*other))
    return found


def _lifting(fulfilments: Fulfilments) -> frozenset[str]:
    steps = (step for stage in fulfilments.plans[Operation.LIFT] for step in stage)
    return frozenset(step.system for step in steps if step.operation is Operation.LIFT)


def _flagged(fulfilments: Fulfilments) -> frozenset[str]:
    return _lifting(fulfilments) & frozenset(fulfilments.one_flag)
