"""The other requests of whoever asks for access: their files are part of what is held about them (REQ-E2)."""

from collections import defaultdict
from collections.abc import Sequence
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
