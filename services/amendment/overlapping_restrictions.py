"""Lifts a restriction without changing what another restriction, or the company, needs.

A SQL store hides a row until the last request that hides it is lifted. A CRM and a tracker have one flag per person. If
another restriction covers all people of the lifted one, the flag stays. If it covers some of them, the flag is set
again immediately. A flag that the company set before us stays too. People are compared by keyed fingerprints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.amendment import repairs
from shared.domain.events import LiftDecided
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import FulfilmentResult, NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork

# The second of two simultaneous lifts waits here, and then sees that the first is decided.
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
    """Another restriction in force; ``covers``: it covers all people of the lifted one."""

    request_id: UUID
    subject_ref: UUID
    covers: bool


async def note_people(tx: UnitOfWork, restricted: Sequence[FulfilmentResult]) -> None:
    """Records the people whom these restrictions cover; a tenant's restriction sets no flag."""
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
    """Returns the lifts and their systems, without flags that another restriction still needs."""
    requests = [event.request_id for event in events]
    await tx.connection.execute(_LOCK, requests)
    others = await _others(tx, requests)
    new = []
    left = await preexisting_flags(tx, requests)
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


def changes_nothing(new: NewFulfilment) -> FulfilmentResult:
    """Returns completed work without any system, such as a lift while another restriction is in force."""
    return FulfilmentResult(uuid7(), new.request_id, new.subject_ref, new.right, new.operation, new.details, ())


async def put_back(tx: UnitOfWork, fulfilments: Fulfilments, lifted: Sequence[UUID]) -> None:
    """Sets a lifted flag again for the restrictions that still need it."""
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
    """Returns by request the other restrictions of the same people that stay in force."""
    rows = await tx.connection.fetch(_OTHERS, requests)
    gone = await repairs.decided(tx, [row[1] for row in rows], Operation.LIFT)
    found: dict[UUID, list[_Other]] = {}
    for request_id, *other in rows:
        if other[0] not in gone:
            found.setdefault(request_id, []).append(_Other(*other))
    return found


def _lifting(fulfilments: Fulfilments) -> frozenset[str]:
    steps = (step for stage in fulfilments.stages_of[Operation.LIFT] for step in stage)
    return frozenset(step.system for step in steps if step.operation is Operation.LIFT)


def _flagged(fulfilments: Fulfilments) -> frozenset[str]:
    return _lifting(fulfilments) & frozenset(fulfilments.one_flag)


_NOTE_FLAGS = """
INSERT INTO restriction_flag (request_id, system, reference, was_set)
SELECT f.request_id, t.system, flag.key, bool_and(flag.value::boolean) AND coalesce((
    SELECT bool_and(other.was_set) FROM restriction_flag other JOIN restriction r USING (request_id)
    WHERE other.system = t.system AND other.reference = flag.key AND other.request_id <> f.request_id
      AND r.lifted_at IS NULL), true)
FROM fulfilment f JOIN task t USING (fulfilment_id) CROSS JOIN LATERAL jsonb_each(t.progress -> 'flags') flag
WHERE f.request_id = ANY($1) AND t.operation = 'restrict' AND t.progress ? 'flags'
GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING
"""
# Of two simultaneous restrictions, the one recorded last may have seen the flag first.
_SEEN_UNSET = """
UPDATE restriction_flag other SET was_set = false FROM restriction_flag mine, restriction r
WHERE mine.request_id = ANY($1) AND NOT mine.was_set AND other.was_set
  AND other.system = mine.system AND other.reference = mine.reference
  AND r.request_id = other.request_id AND r.lifted_at IS NULL
"""
_LEFT = """
SELECT request_id, system, reference FROM restriction_flag WHERE request_id = ANY($1) AND was_set ORDER BY 1, 2, 3
"""


async def note_flags(tx: UnitOfWork, restricted: Sequence[UUID]) -> None:
    """Records the flags that these restrictions found, done or not."""
    if restricted:
        await tx.connection.execute(_NOTE_FLAGS, restricted)
        await tx.connection.execute(_SEEN_UNSET, restricted)


async def preexisting_flags(tx: UnitOfWork, requests: Sequence[UUID]) -> dict[UUID, dict[str, list[str]]]:
    """Returns by request and system the flags that the company set before us; they stay after a lift."""
    found: dict[UUID, dict[str, list[str]]] = {}
    for request_id, system, reference in await tx.connection.fetch(_LEFT, requests):
        found.setdefault(request_id, {}).setdefault(system, []).append(reference)
    return found


async def forget_flags(tx: UnitOfWork, lifted: Sequence[UUID]) -> None:
    """Deletes the recorded flags of lifted restrictions."""
    await tx.connection.execute("DELETE FROM restriction_flag WHERE request_id = ANY($1)", lifted)
