"""Search in the evidence: who has done what, and when; a page at a time, the newest first, each by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

import asyncpg

from shared.storage.postgres import Connection

_ENTRY = "e.chain, e.seq, e.at, e.request_id, e.actor, e.action, e.detail"
# From a place on, backwards; of entries of one instant each chain is in its own order.
_WITHIN = """
e.at >= $2 AND e.at < $3 AND e.at <= $4 AND (e.at, e.chain, e.seq) < ($4::timestamptz, $5::text, $6::bigint)
"""
_ORDER = "ORDER BY at DESC, chain DESC, seq DESC LIMIT $7"
# Each action once, by one look into the index for each: there are some hundred of them.
_ACTIONS = """
WITH RECURSIVE known AS (
    (SELECT action FROM evidence.entry ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT action FROM evidence.entry WHERE action > known.action ORDER BY action LIMIT 1)
    FROM known WHERE known.action IS NOT NULL
) SELECT action FROM known WHERE action IS NOT NULL
"""
_OF_REQUEST = f"""
SELECT {_ENTRY} FROM evidence.entry AS e
WHERE e.request_id = $1 AND {_WITHIN} AND ($8::text[] IS NULL OR e.action = ANY($8))
      AND ($9::text[] IS NULL OR e.actor = ANY($9)) {_ORDER}
"""  # noqa: S608  # constants
_BY_ACTOR = f"""
SELECT found.* FROM unnest($1::text[]) AS who, LATERAL (
    SELECT {_ENTRY} FROM evidence.entry AS e
    WHERE e.actor = who AND e.actor NOT LIKE 'service:%' AND {_WITHIN} AND ($8::text[] IS NULL OR e.action = ANY($8))
    {_ORDER}) AS found {_ORDER}
"""  # noqa: S608  # constants
_BY_ACTION = f"""
SELECT found.* FROM unnest($1::text[]) AS what, LATERAL (
    SELECT {_ENTRY} FROM evidence.entry AS e WHERE e.action = what AND {_WITHIN} {_ORDER}) AS found {_ORDER}
"""  # noqa: S608  # constants


@dataclass(frozen=True, slots=True)
class Place:
    """An entry in the order of a search, from which on the next page begins."""

    at: datetime
    chain: str
    seq: int

    def __str__(self) -> str:
        return f"{self.at.isoformat()}~{self.chain}~{self.seq}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The place that a page has named; raises ``ValueError`` if it is none."""
        at, chain, seq = text.split("~")
        place = cls(datetime.fromisoformat(at), chain, int(seq))
        if place.at.tzinfo is None or not 2000 <= place.at.year < 9999 or not 0 <= place.seq < 2**62:  # noqa: PLR2004
            raise ValueError("no place in the evidence")
        if not (chain.isascii() and chain.isprintable()):
            raise ValueError("no chain of the evidence")
        return place


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for, in a time from ``since`` until ``until``, its end excluded.

    ``actors``: any of these, as the evidence names them; ``actions``: any of these; None: whoever, whatever.
    """

    since: datetime
    until: datetime
    request_id: UUID | None = None
    actors: Sequence[str] | None = None
    actions: Sequence[str] | None = None
    after: Place | None = None


async def actions(connection: Connection) -> list[str]:
    """Every action that the evidence knows, in the order of the alphabet."""
    return [row[0] for row in await connection.fetch(_ACTIONS)]


async def search(connection: Connection, query: Query, limit: int) -> list[asyncpg.Record]:
    """So many entries at most, the newest first."""
    after = query.after or Place(query.until, "\U0010ffff", 0)
    within = (query.since, query.until, after.at, after.chain, after.seq, limit)
    known = list(query.actions) if query.actions is not None else None
    if query.request_id is not None:
        actors = list(query.actors) if query.actors is not None else None
        return list(await connection.fetch(_OF_REQUEST, query.request_id, *within, known, actors))
    if query.actors is not None:
        return list(await connection.fetch(_BY_ACTOR, list(query.actors), *within, known))
    return list(await connection.fetch(_BY_ACTION, await actions(connection) if known is None else known, *within))
