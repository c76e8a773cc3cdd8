"""The requests of a channel, or for the privacy team all, by page: in the order of acceptance, which never changes.

The ids tell no order: that of an event's request was made when its identities were posted, up to days before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, Self
from uuid import UUID

from services.intake.access.auth import Caller
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.store.repository import read_all
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


_LAST: Final = 10**17
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """A row of a list: by what the list is ordered, as a number, and the id of the row."""

    at: int
    row_id: UUID

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads what ``str`` has written; raises ``ValueError``."""
        at, _, row_id = text.partition(".")
        place = cls(int(at), UUID(row_id))
        if not 0 <= place.at < _LAST:
            raise ValueError("no place in a list")
        return place

    def __str__(self) -> str:
        return f"{self.at}.{self.row_id}"


def microseconds(moment: datetime) -> int:
    """The rank of a moment; ``moment_at`` has it again."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_at(rank: int) -> datetime:
    """The moment of that rank."""
    return _EPOCH + timedelta(microseconds=rank)


FIRST: Final = Place(0, UUID(int=0))
"""Before every row."""


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
    of those whose true state it may not know.
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
