"""The numbers that one restriction hides in a store (Art. 18), each in its subject's own periods and in no other's."""

# ruff: noqa: S608 - every name is quoted, and every value a parameter

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from asyncpg.pool import PoolConnectionProxy

from shared.downstreams.sql.declaration.declared import SideTable
from shared.downstreams.sql.quoting import quoted

Held = tuple[str, datetime | None, datetime | None]
"""A number, and from when to when it is hidden."""


class Place:
    """The rows of one request in the table beside the data."""

    def __init__(self, connection: PoolConnectionProxy, namespace: str, side: SideTable, request_id: UUID) -> None:
        self._connection = connection
        self._request_id = request_id
        self._table = f"{quoted(namespace)}.{quoted(side.table)}"
        self._names = [quoted(c) for c in (side.request, side.number, side.valid_from, side.valid_to)]
        request, number, since, until = self._names
        self._as_wanted = (
            "EXISTS (SELECT FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS w(n, f, u)"
            f" WHERE w.n = t.{number} AND w.f = t.{since} AND w.u IS NOT DISTINCT FROM t.{until})"
        )
        self._mine = f"FROM {self._table} t WHERE t.{request} = $1"

    async def hold(self, wanted: Sequence[Held], never: Collection[str], *, new: bool) -> tuple[int, Sequence[Held]]:
        """Brings the rows of these numbers to what is wanted; how many were wrong or missing, and what is held then.

        A period that the register has ended or corrected is replaced, in the transaction of the caller, so that nothing
        of the subject's own time is seen meanwhile; a number that was ``never`` theirs goes. Without ``new`` no number
        is put there of which nothing stood there.
        """
        _, number, since, _ = self._names
        numbers = [*never, *(each[0] for each in wanted)]
        wrong = await self._connection.fetch(
            f"DELETE {self._mine} AND t.{number} = ANY($5) AND NOT {self._as_wanted}"
            f" RETURNING t.{number}, t.{since}::timestamptz",
            *(self._request_id, *_columns(wanted), numbers),
        )
        stood = {row[0] for row in wrong}
        held = [each for each in wanted if new or each[0] in stood]
        put = await self._connection.fetch(
            f"INSERT INTO {self._table} ({', '.join(self._names)})"
            " SELECT $1, * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[])"
            f" ON CONFLICT DO NOTHING RETURNING {number}, {since}::timestamptz",
            *(self._request_id, *_columns(held)),
        )
        return len({tuple(row) for row in (*wrong, *put)}), held

    async def holds(self, held: Sequence[Held]) -> bool:
        """Whether all of this stands there."""
        query = f"SELECT count(*) {self._mine} AND {self._as_wanted}"
        return int(await self._connection.fetchval(query, self._request_id, *_columns(held))) == len(held)


def _columns(rows: Sequence[Held]) -> list[list[object]]:
    return [[row[position] for row in rows] for position in range(3)]
