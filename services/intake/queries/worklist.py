"""Lists requests by page: those of a channel in the order of acceptance, and the queue of the privacy team.

Ids do not give that order: that of an event's request was made when its identities were posted, up to days before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple, Self
from uuid import UUID

from services.intake.access.auth import Caller
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import Waits
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
    WHERE r.key_id = k.key_id AND r.tenant IS NOT DISTINCT FROM $8 AND ($2::text IS NULL OR NOT r.facts ? 'anonymous')
      AND {_WANTED}
) AS page WHERE k.channel = $7 ORDER BY page.accepted_at, page.request_id LIMIT $5
"""  # noqa: S608  # constants


_LAST: Final = 10**17
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Cursor(NamedTuple):
    """The place of a row in a list: its rank by the order of the list, and its id."""

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


def _rank(moment: datetime) -> int:
    """Returns the rank of a moment; ``_moment_at`` reverses it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment_at(rank: int) -> datetime:
    """Returns the moment of that rank."""
    return _EPOCH + timedelta(microseconds=rank)


_COUNTS = """
SELECT count(*), count(*) FILTER (WHERE due_on < $1), count(*) FILTER (WHERE due_on < $2),
       count(*) FILTER (WHERE waits = 'person'), count(*) FILTER (WHERE waits = 'proof'),
       (SELECT count(*) FROM package WHERE fault IS NOT NULL AND NOT gone)
FROM request WHERE open
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests; None: any. ``due_before``: they are due before that day.

    ``system``: it has reported on them, and they are open; no index finds a rare system in all that was ever closed.
    """

    waits: Waits | None = None
    state: State | None = None
    right: Right | None = None
    due_before: date | None = None
    system: str | None = None
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """One page of the queue, and the cursor of the next one, if there is more."""

    requests: Sequence[Request]
    following: Cursor | None


async def accepted(connection: Connection, caller: Caller, wanted: Filters, limit: int) -> Sequence[Request]:
    """Returns the next requests, at most so many, that the caller may see, in the order of acceptance.

    A channel sees what its keys have submitted for the tenant of this key, or for none if it has none. By a state it
    sees none of those whose true state it may not know.
    """
    after = wanted.after or Cursor(0, UUID(int=0))
    criteria = (_moment_at(after.at), wanted.state, wanted.right, wanted.due_before, limit, after.row_id)
    if caller.role == "privacy":
        rows = await connection.fetch(_ALL, *criteria)
    else:
        rows = await connection.fetch(_OWN, *criteria, caller.channel, caller.grant.tenant)
    found = {request.request_id: request for request in await read_all(connection, [row[0] for row in rows])}
    return [found[row[0]] for row in rows]


def accepted_at(request: Request) -> Cursor:
    """Returns where the list by acceptance goes on after a request."""
    return Cursor(_rank(request.accepted_at), request.request_id)


async def page(connection: Connection, wanted: Filters, limit: int) -> WorklistPage:
    """Returns the next requests: open ones by due date; closed ones, the latest first.

    Closed and unfinished requests are in both: the answer has not reached the person, or a part of it is owed.
    """
    closed = wanted.state is State.CLOSED
    query, values = ids(wanted, limit)
    found_ids = [row[0] for row in await connection.fetch(query, *values)]
    found = {request.request_id: request for request in await read_all(connection, found_ids[:limit])}
    requests = [found[each] for each in found_ids[:limit] if each in found]
    return WorklistPage(requests, _place(requests[-1], closed=closed) if len(found_ids) > limit else None)


async def counts(connection: Connection, today: date, soon: date) -> Sequence[int]:
    """Returns how many requests are open, overdue, due before ``soon``, wait for a person, for proof, are withheld."""
    row = await connection.fetchrow(_COUNTS, today, soon)
    return [*(row or ())]


def ids(wanted: Filters, limit: int) -> tuple[str, Sequence[object]]:
    """Returns the query for the ids of a page and of the request that follows it, and its values; pure."""
    closed, withheld = wanted.state is State.CLOSED, wanted.waits is Waits.PACKAGE
    conditions, values = list[str](), list[object]()

    def where(condition: str, *given: object) -> None:
        if None not in given:
            conditions.append(condition.format(*range(len(values) + 1, len(values) + len(given) + 1)))
            values.extend(given)

    if closed:
        where("closed_at IS NOT NULL")
    if wanted.system if closed else not wanted.waits:
        where("open")
    if withheld:
        where("request_id IN (SELECT request_id FROM package WHERE fault IS NOT NULL AND NOT gone)")
    where("waits = ${}", None if withheld else wanted.waits)
    where("state = ${}", None if closed else wanted.state)
    where('"right" = ${}', wanted.right)
    where("due_on < ${}", wanted.due_before)
    where("tasks IS NOT NULL AND request_systems(tasks) @> ${}", [wanted.system] if wanted.system else None)
    if wanted.after and closed:
        where("(closed_at, request_id) < (${}, ${}::uuid)", _moment_at(wanted.after.at), wanted.after.row_id)
    elif wanted.after:
        day = date.fromordinal(max(1, min(wanted.after.at, date.max.toordinal())))
        where("(due_on, request_id) > (${}, ${}::uuid)", day, wanted.after.row_id)
    order = "closed_at DESC, request_id DESC" if closed else "due_on, request_id"
    found_in = " AND ".join(conditions)
    return f"SELECT request_id FROM request WHERE {found_in} ORDER BY {order} LIMIT {limit + 1:d}", values  # noqa: S608  # ours


def _place(last: Request, *, closed: bool) -> Cursor:
    if closed and last.closed_at:
        return Cursor(_rank(last.closed_at), last.request_id)
    return Cursor(last.due_on.toordinal(), last.request_id)
