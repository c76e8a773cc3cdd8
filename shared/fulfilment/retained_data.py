"""Loads what an erasure must keep: data under a legal hold, or in a state for which the policy keeps it.

Both are loaded each time before a system erases (Art. 17(3)), also after a withdrawn consent.
A state comes from the receipt of another system in the same fulfilment.
Customers place holds on their own data themselves. The engine decides what follows (``remote.py``).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.domain.errors import Unavailable
from shared.domain.holds import Hold, HoldMarks
from shared.domain.operations import Operation
from shared.domain.precedence import Kind, Marks
from shared.fulfilment.queue import Claim
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import holds, open_requests
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.systems.downstream import Downstream
from shared.systems.engine.remote import COUNTED, HOLD, Findings, Staying, together
from shared.systems.engine.searching import ends

# Of a system that was asked again, what it said last.
_SAID = """
SELECT DISTINCT ON (fulfilment_id, system) fulfilment_id, system = $2, receipt FROM task
WHERE fulfilment_id = ANY($1) AND operation = 'plan' AND state = 'done' AND (receipt ? 'states' OR system = $2)
ORDER BY fulfilment_id, system, stage DESC
"""
# Its findings before any change: a dry run searches by every identity that is known.
_LOOKED = """
SELECT DISTINCT ON (fulfilment_id) fulfilment_id, operation, receipt FROM task
WHERE fulfilment_id = ANY($1) AND system = $2 AND operation IN ('locate', 'plan') AND state = 'done' AND NOT observes
ORDER BY fulfilment_id, operation = 'plan' DESC, stage DESC
"""
_HINDERED = frozenset({Operation.ERASE, Operation.PLAN, Operation.SUPPRESS})


async def load(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    system: Downstream,
    claims: Sequence[Claim],
    known: Mapping[UUID, SubjectData],
) -> Staying:
    """Loads it as it is now; leaves out data about which a customer decides."""
    operation, policy, now = claims[0].step.operation, unit_of_work.policy, unit_of_work.clock.now()
    if operation not in _HINDERED:
        return Staying(system, operation, policy, now, {}, {})
    ours = [c for c in claims if c.subject_ref in known and known[c.subject_ref].tenant is None]
    if operation is Operation.SUPPRESS:
        ours = [c for c in ours if not c.immediate and ends(system, c.details)]
    theirs = {c.subject_ref: known[c.subject_ref] for c in ours}
    held = await _holds_of(connection, unit_of_work, theirs)
    if operation is Operation.SUPPRESS:
        first = await _first(connection, unit_of_work, system, ours, known, held)
        return Staying(system, operation, policy, now, held, {}, first=first)
    said: dict[UUID, Findings] = {}
    if system.rests_on and ours:
        ids = [c.fulfilment_id for c in ours]
        rows = await connection.fetch(_SAID, ids, system.name)
        said = {each: Findings(together(system.rests_on, [r[2] for r in rows if r[0] == each])) for each in ids}
        for fulfilment_id, own, receipt in rows:
            if own and receipt.get("outcome") in COUNTED:
                counts = receipt.get("found", 0), receipt.get("by_category", {})
                said[fulfilment_id] = Findings(said[fulfilment_id].states, *counts)
    covered = [c.fulfilment_id for c in claims if c.subject_ref in held and operation is Operation.ERASE]
    seen = await connection.fetch(_LOOKED, covered, system.name) if covered else ()
    looked = {each: was for each, verb, receipt in seen if (was := _looked(Operation(verb), receipt))}
    return Staying(system, operation, policy, now, held, said, looked)


async def look_again(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    staying: Staying,
    claims: Collection[Claim],
    known: Mapping[UUID, SubjectData],
) -> None:
    """Checks before a step of an erasure whether a hold was placed since its tasks were claimed.

    Raises:
        Unavailable: one has. The next attempt leaves what it covers, and goes on with the rest.
    """
    erasing = [c for c in claims if staying.erases(c)] if staying.operation in _HINDERED - {Operation.PLAN} else []
    theirs = {c.subject_ref: known[c.subject_ref] for c in erasing if c.subject_ref in known}
    now = await _holds_of(connection, unit_of_work, theirs) if theirs else {}
    if any(staying.is_new(each, now.get(each.subject_ref)) for each in erasing):
        raise Unavailable("gave up this attempt: a legal hold was placed since it began")


async def _first(
    connection: Connection,
    unit_of_work: UnitOfWorkFactory,
    system: Downstream,
    claims: Sequence[Claim],
    known: Mapping[UUID, SubjectData],
    held: Mapping[UUID, Hold],
) -> Mapping[UUID, frozenset[str]]:
    """Returns by task why it may not erase yet; an unproved requester may be the same person."""
    if not claims:
        return {}
    keyring, category_of = unit_of_work.vault.keyring, unit_of_work.policy.category_of
    marks = {
        c.request_id: Marks.of(keyring, [i for i in known[c.subject_ref].identities if not i.shared]) for c in claims
    }
    others = await open_requests.others(connection, marks, {Kind.COPY, Kind.RESTRICTION})
    first: dict[UUID, frozenset[str]] = {}
    for claim in claims:
        why = {other.kind.value for other in others.get(claim.request_id, ())}
        hold = held.get(claim.subject_ref)
        if hold and hold.covers(ends(system, claim.details), category_of):
            why.add(HOLD)
        if why:
            first[claim.task_id] = frozenset(why)
    return first


async def _holds_of(
    connection: Connection, unit_of_work: UnitOfWorkFactory, known: Mapping[UUID, SubjectData]
) -> Mapping[UUID, Hold]:
    """Returns the legal holds on the data of these subjects."""
    ours = {ref: subject.identities for ref, subject in known.items() if subject.tenant is None}
    if not ours or not await holds.exist(connection):
        return {}
    keyring = unit_of_work.vault.keyring
    return await holds.matching(connection, {ref: HoldMarks.of(keyring, each) for ref, each in ours.items()})


def _looked(verb: Operation, receipt: Mapping[str, Any]) -> Findings | None:
    """Returns what was found; only a dry run, which searches by all identities, shows that nothing was."""
    found = receipt.get("found", 0)
    known = verb is Operation.PLAN and receipt.get("outcome") in COUNTED
    return Findings({}, found, receipt.get("by_category", {})) if found or known else None
