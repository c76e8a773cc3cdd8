"""Orders open requests of one person across services: an erasure, an awaited copy, a restriction.

A service that enters a request, or reads the others of the same person, locks each identity until its transaction
ends. So an erasure sees each copy and restriction that was accepted before it began.
Identities are keyed hashes (REQ-K2).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from shared.domain.identities import IdentityType
from shared.domain.precedence import REQUEST, RequestKind, RequestMarks
from shared.storage.postgres import Connection

_HOLD = "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT unnest($1::bigint[]) AS key ORDER BY key) AS keys"
_OF_THESE = """
SELECT o.request_id, o.kind, o.type, o.mark FROM vault.open_request o
WHERE o.request_id IN (SELECT request_id FROM vault.open_request WHERE mark = ANY($1)) AND o.kind = ANY($2)
  AND NOT o.stopped
ORDER BY o.request_id
"""
_ENTER = """
INSERT INTO vault.open_request (request_id, kind, type, mark)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING
"""
_ERASED = "UPDATE vault.open_request SET kind = 'erased' WHERE request_id = ANY($1)"
_BEGIN = f"""
WITH resumed AS (
    UPDATE vault.open_request SET stopped = false WHERE request_id = ANY($5) AND kind = 'erasure' AND stopped
)
{_ENTER}
"""  # noqa: S608  # constants
_STOP = "UPDATE vault.open_request SET stopped = true WHERE request_id = ANY($1) AND kind = 'erasure' AND NOT stopped"
_END = "DELETE FROM vault.open_request WHERE request_id = ANY($1)"
_KEY_BYTES = 8


class OtherRequest(NamedTuple):
    """Another request of the same person."""

    request_id: UUID
    kind: RequestKind


async def find_others(
    connection: Connection, of: Mapping[UUID, RequestMarks], kinds: Collection[RequestKind]
) -> dict[UUID, tuple[OtherRequest, ...]]:
    """Returns the other open requests of the same person; locks out new ones until the end.

    Those of the same message are theirs whatever is proved.
    """
    if not of:
        return {}
    marks = {mark for each in of.values() for _, mark in each.rows}
    await _lock_marks(connection, marks)
    marks |= {request_id.bytes for request_id in of}
    known: defaultdict[OtherRequest, list[tuple[str, bytes]]] = defaultdict(list)
    for request_id, kind, *mark in await connection.fetch(_OF_THESE, list(marks), list(kinds)):
        known[OtherRequest(request_id, RequestKind(kind))].append((mark[0], mark[1]))
    people = {other: _marks(rows) for other, rows in known.items()}
    found = {
        request_id: tuple(
            other
            for other, who in people.items()
            if other.request_id != request_id and (request_id.bytes in who.requests or who.is_same(own_marks))
        )
        for request_id, own_marks in (of.items() if people else ())
    }
    return {request_id: other_marks for request_id, other_marks in found.items() if other_marks}


async def enter(connection: Connection, entered: Iterable[tuple[UUID, RequestKind, RequestMarks]]) -> None:
    """Enters these requests under their marks."""
    rows = _rows(entered)
    if rows:
        await _lock_marks(connection, {row[-1] for row in rows})
        await connection.execute(_ENTER, *map(list, zip(*rows, strict=True)))


async def begin(connection: Connection, erasures: Mapping[UUID, RequestMarks]) -> None:
    """Enters erasures that begin or go on, whose marks ``find_others`` has locked."""
    if erasures:
        rows = _rows((request_id, RequestKind.ERASURE, marks) for request_id, marks in erasures.items())
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        await connection.execute(_BEGIN, *columns, list(erasures))


async def stop(connection: Connection, erasures: Collection[UUID]) -> None:
    """Notes that these erasures are stopped, so that others need not wait for them."""
    await connection.execute(_STOP, list(erasures))


def _rows(entered: Iterable[tuple[UUID, RequestKind, RequestMarks]]) -> list[tuple[UUID, str, str, bytes]]:
    return [(request_id, kind.value, *row) for request_id, kind, marks in entered for row in marks.rows]


async def erased(connection: Connection, requests: Collection[UUID]) -> None:
    """Marks these erasures as done; later requests of the same people read that."""
    if requests:
        await connection.execute(_ERASED, list(requests))


async def end(connection: Connection, requests: Collection[UUID]) -> None:
    """Deletes these requests."""
    if requests:
        await connection.execute(_END, list(requests))


async def _lock_marks(connection: Connection, marks: Collection[bytes]) -> None:
    if marks:
        await connection.execute(_HOLD, [int.from_bytes(mark[:_KEY_BYTES], "big", signed=True) for mark in marks])


def _marks(rows: Iterable[tuple[str, bytes]]) -> RequestMarks:
    listed = list(rows)
    accounts = frozenset(mark for kind, mark in listed if kind == IdentityType.ACCOUNT_ID)
    emails = frozenset(mark for kind, mark in listed if kind == IdentityType.EMAIL)
    return RequestMarks(accounts, emails, frozenset(mark for kind, mark in listed if kind == REQUEST))
