"""The requests of a channel, or for the privacy team all, by page: in the order of acceptance, which never changes.

The ids tell no order: that of an event's request was made when its identities were posted, up to days before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from services.intake.auth import Caller
from services.intake.places import FIRST, Place, microseconds, moment_at
from services.intake.repository import read_all
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from shared.domain.rights import Right
from shared.storage.postgres import Connection

_WANTED = """
(r.accepted_at, r.request_id) > ($1, $6::uuid) AND ($2::text IS NULL OR r.state = $2)
AND ($3::text IS NULL OR r."right" = $3) AND ($4::date IS NULL OR r.due_on < $4)
ORDER BY r.accepted_at, r.request_id LIMIT $5
"""
_ALL = f"SELECT r.request_id FROM request r WHERE {_WANTED}"  # noqa: S608  # constants
# Key by key, so that each is read in its index and no further than the page goes.
_OWN = f"""
SELECT page.request_id FROM api_key k CROSS JOIN LATERAL (
    SELECT r.request_id, r.accepted_at FROM request r
    WHERE r.key_id = k.key_id AND r.tenant IS NOT DISTINCT FROM $8 AND ($2::text IS NULL OR NOT r.anonymous)
      AND {_WANTED}
) AS page WHERE k.channel = $7 ORDER BY page.accepted_at, page.request_id LIMIT $5
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests: those after that place, in that state, of that right, due before that day; None: any."""

    after: Place = FIRST
    state: State | None = None
    right: Right | None = None
    due_before: date | None = None


async def page(connection: Connection, caller: Caller, wanted: Wanted, limit: int) -> Sequence[Request]:
    """The next of them, at most so many, that the caller may see.

    A channel sees what its keys have submitted for the tenant of this key, or for none if it has none; by a state none
    of those whose true one it is not told.
    """
    criteria = (moment_at(wanted.after.at), wanted.state, wanted.right, wanted.due_before, limit, wanted.after.row_id)
    if caller.role == "privacy":
        rows = await connection.fetch(_ALL, *criteria)
    else:
        rows = await connection.fetch(_OWN, *criteria, caller.channel, caller.grant.tenant)
    found = {request.request_id: request for request in await read_all(connection, [row[0] for row in rows])}
    return [found[row[0]] for row in rows]


def place(request: Request) -> Place:
    """Where the list goes on after a request."""
    return Place(microseconds(request.accepted_at), request.request_id)
