"""Finds other requests of the same person that restrict their data when a restriction is lifted.

The letter about it says so, and recipients may use the data again only once none does (Art. 19).
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.intake.request.aggregate import Transition
from services.intake.request.stored_request import StoredRequest
from shared.domain import reference
from shared.domain.events import LiftDecided
from shared.domain.sentences import Lines, say
from shared.storage.postgres import Connection

# Amendment may know of more whom a restriction covers, so the letters also say that whatever else restricts stays.
_IN_FORCE = """
SELECT o.request_id, o.received_at FROM same_person s JOIN request o ON o.request_id = s.other
WHERE s.request_id = $1 AND o."right" IN ('restriction', 'objection', 'rectification')
  AND NOT o.facts ?| ARRAY['lift_notified_at', 'lifted_at']
  AND jsonb_path_exists(coalesce(o.tasks, '[]'), '$[*] ? (@.operation == "restrict" && @.outcome == "amended")')
ORDER BY o.received_at
"""
# Two transactions that lift two restrictions of one person would each take the other's for in force.
_HOLD = """
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT ('x' || encode(substr(hash, 1, 8), 'hex'))::bit(64)::bigint AS key
    FROM request_lookup WHERE request_id = ANY($1) AND proved ORDER BY key) AS keys
"""
# Of what was lifted before only what recipients were notified of, while a letter about it can still be written.
_SAME_PERSON = """
SELECT s.request_id, o.request_id FROM same_person s JOIN request o ON o.request_id = s.other
WHERE s.request_id = ANY($1) AND o."right" IN ('restriction', 'objection', 'rectification')
  AND (NOT o.facts ? 'lifted_at'
       OR EXISTS (SELECT FROM recipient_notice n WHERE n.request_id = o.request_id)
          AND EXISTS (SELECT FROM vault.subject v WHERE v.subject_ref = o.request_id AND v.wrapped_key IS NOT NULL))
"""

Read = Callable[[Connection, Sequence[UUID]], Awaitable[Sequence[StoredRequest]]]


@dataclass(frozen=True, slots=True)
class Related:
    """Other requests of the same people: by request all of them, and those ``lifted`` before."""

    requests: Mapping[UUID, Sequence[StoredRequest]] = field(default_factory=dict)
    lifted: Sequence[StoredRequest] = ()


async def related(
    connection: Connection, requests: Collection[StoredRequest], locked: Mapping[UUID, StoredRequest], read: Read
) -> Related:
    """Reads the others of these lifted requests. ``locked``: requests as they are now; ``read`` loads the rest.

    No other transaction lifts one of the same people before this one ends.
    """
    ended = {each.request_id for each in requests if each.restricts and each.lifted_at is not None}
    if not ended:
        return Related()
    await connection.execute(_HOLD, [*ended])
    same_person = await _same(connection, ended, locked, read)
    lifted = {o.request_id: o for others in same_person.values() for o in others if o.lifted_at is not None}
    # A request of the same person as one of these need not be of the same person as the one that led to it.
    if before := lifted.keys() - ended:
        same_person |= await _same(connection, before, locked, read)
    given = {each.request_id for each in requests}
    return Related(same_person, [each for request_id, each in lifted.items() if request_id not in given])


async def _same(
    connection: Connection, of: Collection[UUID], locked: Mapping[UUID, StoredRequest], read: Read
) -> dict[UUID, list[StoredRequest]]:
    pairs = await connection.fetch(_SAME_PERSON, [*of])
    others = {other for _, other in pairs}
    stored = await read(connection, [*others - locked.keys()]) if others - locked.keys() else ()
    known = {each.request_id: each for each in stored} | {each: locked[each] for each in others & locked.keys()}
    found = defaultdict[UUID, list[StoredRequest]](list)
    for request_id, other in pairs:
        found[request_id].append(known[other])
    return found


async def sentences(connection: Connection, transition: Transition) -> Lines:
    """Returns a letter's sentences about them; none if nothing is lifted, or nothing else restricts."""
    if not any(isinstance(event, LiftDecided) for event in transition.published):
        return Lines()
    rows = await connection.fetch(_IN_FORCE, transition.request.request_id)
    return Lines(
        tuple(say("restriction.stays_for", reference=reference.of(row[0]), received_on=row[1]) for row in rows)
    )
