"""How much of a table is due, exactly, and of how many rows: these exactly as well where they decide what may go.

Statistics may be older than a mass delete, so they decide nothing. What random pages of a table hold now bounds its
rows from below; all of them are counted only where so many would not do.
"""

# ruff: noqa: S608 - names are quoted, and every value a parameter

from dataclasses import dataclass
from math import sqrt

from shared.downstreams.sql.store import Session
from shared.downstreams.sql.sweeping.rows import DueRows
from shared.downstreams.sweepable import Counted

# Of a table, or of its partitions; of what lies elsewhere (a foreign table) no page is known.
_PAGES = """
SELECT CASE WHEN bool_and(c.relkind = 'r') THEN sum(pg_relation_size(c.oid)) / b.size END::float8, b.size
FROM pg_class c, (SELECT current_setting('block_size')::int AS size) b
WHERE c.relkind <> 'p'
  AND (c.oid = $1::text::regclass OR c.oid IN (SELECT relid FROM pg_partition_tree($1::text::regclass)))
GROUP BY b.size
"""
_ENOUGH = 500
"""Pages to look at; of a table that has fewer, every row is counted."""
_LEAST_BYTES = 28
"""Of a row on a page: its header and the pointer to it."""
_CERTAINTY = 20.0
"""The bound is too high in one of e^20 nights."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows on random pages of a table, each of which was looked at with the probability ``share``."""

    rows: int
    share: float
    page_bytes: int

    @property
    def about(self) -> int:
        """How many rows the table has, by these pages."""
        return round(self.rows / self.share)

    @property
    def at_least(self) -> int:
        """How many rows it has for certain, however unlike its pages are.

        In full pages, x rows were seen of m that were to be expected: a sum of independent parts, each at most 1, so
        P(X ≥ x) ≤ exp(-(x - m)² / 2x) for m < x (Chernoff).
        """
        full = self.page_bytes // _LEAST_BYTES
        seen = self.rows / full
        return max(0, int((seen - sqrt(2 * _CERTAINTY * seen)) * full / self.share))


async def counted(session: Session, rows: DueRows) -> Counted:
    """How many rows are due, of how many; within the transaction of whoever asks."""
    query, *arguments = rows.count()
    # All rows are asked for: with a limit, as of ``fetchval``, PostgreSQL does not share a query among its workers.
    [(due,)] = await session.connection.fetch(query, *arguments)
    sample = await _sampled(session, rows.table.source)
    if sample is None or rows.due.stops is None or rows.due.stops(Counted(due, sample.at_least)):
        [(there,)] = await session.connection.fetch(f"SELECT count(*) FROM {rows.table.source}")
        return Counted(due, max(due, there))
    return Counted(due, max(due, sample.about))


async def _sampled(session: Session, source: str) -> Sample | None:
    """What some of its pages hold; None: it has few, or is not to be asked for some."""
    [(pages, page_bytes)] = await session.connection.fetch(_PAGES, source)
    if pages is None or pages <= _ENOUGH:
        return None
    share = _ENOUGH / pages
    looked = f"SELECT count(*) FROM {source} TABLESAMPLE SYSTEM ($1)"
    return Sample(await session.connection.fetchval(looked, 100 * share), share, page_bytes)
