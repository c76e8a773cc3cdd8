"""The other requests of a person: their files are part of what is held about them (REQ-E2), also after an erasure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.domain.events import Event, RequestVerified
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork

# The same person as `same_person` has it: by the account or, where one has proved none, by the e-mail address.
_OTHERS = """
SELECT r.request_id, o.request_id FROM request r JOIN request o ON o.proved_account = r.proved_account
WHERE r.request_id = ANY($1) AND o.request_id <> r.request_id AND o.tenant IS NOT DISTINCT FROM r.tenant
UNION
SELECT r.request_id, o.request_id FROM request r JOIN request o ON o.proved_email = r.proved_email
WHERE r.request_id = ANY($1) AND o.request_id <> r.request_id AND o.tenant IS NOT DISTINCT FROM r.tenant
  AND (o.proved_account IS NULL OR r.proved_account IS NULL)
ORDER BY 2
"""

# As ``packages.remove_due`` counts: an answer or a part that follows makes a package available again.
_KEPT = f"""
SELECT theirs.request_id, max(greatest(o.responded_at, s.created_at))
FROM ({_OTHERS}) AS theirs (request_id, other) JOIN request o ON o.request_id = theirs.other
JOIN vault.sealed s ON s.sealed_id = o.package_id
WHERE o.responded_at IS NOT NULL AND o.package_gone IS DISTINCT FROM o.package_id
GROUP BY theirs.request_id
"""  # noqa: S608 - a constant


async def copies_available_since(tx: UnitOfWork, request_ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
    """By request since when the latest package of another request of the same person is available, if any is."""
    return {row[0]: row[1] for row in await tx.connection.fetch(_KEPT, request_ids)}


async def named(tx: UnitOfWork, published: Sequence[Event]) -> Sequence[Event]:
    """What is published, of which each access that begins names the other requests of the same person."""
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
